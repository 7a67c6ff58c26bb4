"""The HTTP API: a ledger for programs in any language."""

try:
    import starlette as starlette
except ModuleNotFoundError as error:
    raise ModuleNotFoundError(
        "the HTTP API needs the extra `serve`: pip install 'sagaledger[serve]'", name="starlette"
    ) from error
