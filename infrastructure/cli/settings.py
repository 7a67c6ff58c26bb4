"""Settings from the environment, for what the command line does not say."""

from __future__ import annotations

from pydantic_settings import BaseSettings, SettingsConfigDict


class Settings(BaseSettings):
    """`SAGALEDGER_DB` and `SAGALEDGER_APP`; an empty variable counts as unset."""

    model_config = SettingsConfigDict(env_prefix="SAGALEDGER_", env_ignore_empty=True)

    db: str = "sqlite:///sagaledger.db"
    app: str | None = None
