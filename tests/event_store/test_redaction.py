"""Whatever form a URL has, no message shows what is secret in it."""

from __future__ import annotations

import pytest
from psycopg.conninfo import conninfo_to_dict

from sagaledger.infrastructure.cli.options import Options
from sagaledger.infrastructure.errors import Unavailable
from sagaledger.infrastructure.event_store.connect import open_backend
from sagaledger.infrastructure.event_store.redaction import has_secret, redacted

WITH_SECRETS = [
    "postgresql://ann:geheim@host/db",
    "postgres://ann:ge:heim@host/db",
    "postgresql://ann:ge%40heim@host:5433/db",
    "postgresql://ann:geheim@one:5432,two:5433/db?target_session_attrs=read-write",
    "postgresql://ann@host/db?password=geheim",
    "postgresql://ann@host/db?%70assword=geheim",
    "postgresql://ann@host/db?sslmode=require&sslpassword=geheim",
    "postgresql://ann@host/db?passfile=/home/ann/geheim",
    "postgresql://ann@host/db?scram_client_key=geheim",
    "postgresql://ann@host/db?scram_server_key=geheim",
    "postgresql://ann:geheim@host:1:2/db",
    "postgresql://ann:geheim@host/db?nonsense=1",
    "postgresql:ann:geheim@host",
    "host=host user=ann password=geheim dbname=db",
    "host=host user=ann password = 'ge heim' dbname=db",
    "password=geheim",
    "postgresql+psycopg://ann:geheim@host/db",
    "mysql://ann:geheim@host/db",
    "nats://ann:geheim@one:4222,bob:geheim@two:4222",
    "nats://geheim@host:4222",
    "tls://ann:geheim@host:4222",
    "postgres://ann@host/db?%70assword=geheim",
    r"host=host/ user=ann password=ge\ heim dbname=db",
    "mysql://host/db?password=geheim",
    "nats://host/?token=geheim",
    "postgresql://ann:geheim@127.0.0.1/d\udcffb",
    "postgresql://ann:geheim@host/db?schema=shop",
    "postgresql://ann:geheim@host/db?schema=",
]


@pytest.mark.parametrize("url", WITH_SECRETS)
def test_no_secret_is_shown(url: str) -> None:
    """Neither by the redactor, nor by the command line, nor by the error of a database that cannot be opened."""
    assert "heim" not in redacted(url)
    assert has_secret(url)
    assert "heim" not in Options(db=url).again("list")
    if "host/" not in url and "two" not in url:  # names that would be looked up
        with pytest.raises(Unavailable) as raised:
            open_backend(url)
        assert "heim" not in str(raised.value)


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://ann@host:5433/db?sslmode=require",
        "postgresql:///db?host=/run/postgresql&options=-csearch_path%3Dledger",
        "host=host user=ann dbname=db",
        "sqlite:///a:b@c/password=x.db",
        "nats://host:4222",
    ],
)
def test_a_url_without_secrets_is_shown_as_it_is(url: str) -> None:
    """It can be copied from the message."""
    assert redacted(url) == url
    assert not has_secret(url)


def test_what_is_shown_leads_to_the_same_database() -> None:
    """Apart from the password it is the same URL to the driver."""
    url = "postgresql://ann:geheim@one:5432,two:5433/d%2Fb?target_session_attrs=read-write&options=-csearch_path%3Da"

    assert conninfo_to_dict(redacted(url)) == {**conninfo_to_dict(url), "password": "***"}


@pytest.mark.timeout(30)
@pytest.mark.parametrize("text", ["x" * 120_000, "pass" * 30_000, "pass " + " " * 120_000])
def test_a_long_text_takes_no_longer_than_its_length(text: str) -> None:
    """An argument of a shell may have 128 KiB; with a search from each character this took half an hour."""
    assert redacted(f"nats://{text}") == f"nats://{text}"
