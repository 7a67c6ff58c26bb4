"""The address of a broker: which server, whether over TLS, and under which identity.

One URL says all of it, so that the environment can carry it (`SAGALEDGER_BROKER`):

    nats://USER:PASSWORD@HOST:4222                          or TOKEN@HOST; in clear, unless the server requires TLS
    tls://HOST:4222?tlsca=FILE&tlscert=FILE&tlskey=FILE     over TLS or not at all
    tls://HOST:4222?creds=FILE                              a credentials file; `nkey=FILE`: the seed of an nkey

The parameters are named after the options of the `nats` command. No message shows a URL that cannot be read: what is
secret in it is unknown.
"""

from __future__ import annotations

import ssl
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final, NamedTuple
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

from ...event_store.redaction import redacted
from .errors import BrokerUnavailable

PORT: Final = 4222
_FORMS: Final = "use nats://HOST:4222 or tls://HOST:4222, with the special characters of a password written as %XX"
_TLS: Final = frozenset({"tlsca", "tlscert", "tlskey"})
_PARAMETERS: Final = _TLS | {"creds", "nkey"}


class BrokerAddress(NamedTuple):
    """A broker's server, and how to connect to it."""

    shown: str
    """The URL without its secrets."""
    server: str
    """The URL of the server alone."""
    over_tls: bool
    """Whether nothing may be sent in clear."""
    options: dict[str, Any]
    """The options of the NATS client for TLS and the identity."""


def address_of(url: str) -> BrokerAddress:
    """Read the URL of a broker, and the files that it names. Raises `BrokerUnavailable` if one cannot be used."""
    parts, host = _split(url)
    parameters = dict(parse_qsl(parts.query, keep_blank_values=True))
    unknown = parameters.keys() - _PARAMETERS
    if unknown:
        raise BrokerUnavailable(
            f"the broker's URL has the parameter {min(unknown)!r}: it may have {', '.join(sorted(_PARAMETERS))}"
        )
    over_tls = parts.scheme == "tls"
    if not over_tls and not _TLS.isdisjoint(parameters):
        raise BrokerUnavailable("the broker's URL has parameters of TLS, and nats:// may connect in clear: use tls://")
    options = _identity(parts, parameters)
    if over_tls:
        options["tls"] = _tls_context(parameters)
    return BrokerAddress(redacted(url), f"{parts.scheme}://{host}", over_tls, options)


def _split(url: str) -> tuple[SplitResult, str]:
    """Return the parts of a URL, and its host and port."""
    try:
        parts = urlsplit(url)
        host = parts.netloc.rpartition("@")[2]
        known = parts.scheme in ("nats", "tls") and parts.hostname and parts.path in ("", "/") and not parts.fragment
        if known:
            return parts, host if parts.port is not None else f"{host.removesuffix(':')}:{PORT}"
    except ValueError:  # its text may have a part of the password
        pass
    raise BrokerUnavailable(f"the broker's URL names no NATS server: {_FORMS}") from None


def _identity(parts: SplitResult, parameters: dict[str, str]) -> dict[str, Any]:
    """Return the client's options for the identity under which to connect. Raises `BrokerUnavailable` for two."""
    options: dict[str, Any] = {}
    if parts.password is not None:
        options |= {"user": unquote(parts.username or ""), "password": unquote(parts.password)}
    elif parts.username:
        options["token"] = unquote(parts.username)
    if "creds" in parameters:
        content = _read("creds", parameters["creds"])
        seed = content.partition("-----BEGIN USER NKEY SEED-----")[2].split()[:1]
        _check_seed("creds", parameters["creds"], seed[0] if "BEGIN NATS USER JWT" in content and seed else "")
        options["user_credentials"] = parameters["creds"]
    if "nkey" in parameters:
        options["nkeys_seed_str"] = _read("nkey", parameters["nkey"]).strip()
        _check_seed("nkey", parameters["nkey"], options["nkeys_seed_str"])
    if len(options.keys() - {"password"}) > 1:
        raise BrokerUnavailable("the broker's URL has two identities: leave all but one of them out")
    return options


def _tls_context(parameters: dict[str, str]) -> ssl.SSLContext:
    """Return what verifies the server's certificate, by the authorities of `tlsca` or of the operating system."""
    authorities, certificate, key = (parameters.get(name) for name in ("tlsca", "tlscert", "tlskey"))
    if (certificate is None) != (key is None):
        raise BrokerUnavailable("a client certificate needs its key: name both, tlscert=FILE and tlskey=FILE")
    try:
        context = ssl.create_default_context(cafile=authorities)
        if certificate is not None:
            context.load_cert_chain(certificate, key, password="")  # an encrypted key: ask no terminal
    except OSError as error:  # an `SSLError` is one
        files = ", ".join(f"{name}={parameters[name]}" for name in sorted(_TLS & parameters.keys()))
        raise BrokerUnavailable(f"the files for TLS cannot be used ({files}): {error.strerror or error}") from error
    return context


def _read(name: str, file: str) -> str:
    try:
        return Path(file).read_text(encoding="ascii")
    except (OSError, ValueError) as error:
        raise BrokerUnavailable(
            f"the file of the broker's URL cannot be read, {name}={file}: {getattr(error, 'strerror', error)}"
        ) from error


def _check_seed(name: str, file: str, seed: str) -> None:
    """Raise `BrokerUnavailable` for what is no seed of a user's nkey: the client would end on it."""
    if find_spec("nkeys") is None:
        raise BrokerUnavailable(f"{name}= needs the package nkeys: pip install 'sagaledger[broker]'")
    import nkeys  # type: ignore[import-untyped]  # noqa: PLC0415  # only for those who use one

    try:
        nkeys.from_seed(seed.encode()).wipe()
    except (nkeys.NkeysError, ValueError) as error:
        raise BrokerUnavailable(f"the file of the broker's URL holds no seed of a user, {name}={file}") from error
