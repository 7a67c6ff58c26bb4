"""Certificates, nkeys and credentials files, made for one test each."""

from __future__ import annotations

import base64
import json
import secrets
import subprocess
from pathlib import Path
from typing import Any

import nkeys

ADDRESS = "subjectAltName=IP:127.0.0.1\nsubjectKeyIdentifier=hash\nauthorityKeyIdentifier=keyid\n"
NEW_KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
UNLIMITED = {**dict.fromkeys(("subs", "data", "payload", "imports", "exports", "conn", "leaf"), -1), "wildcards": True}
WITH_JETSTREAM = {**UNLIMITED, **dict.fromkeys(("mem_storage", "disk_storage", "streams", "consumer"), -1)}


class Authority:
    """An authority that signs certificates of servers and of clients."""

    def __init__(self, folder: Path, name: str = "ca") -> None:
        self._folder = folder
        self.certificate = folder / f"{name}.pem"
        self._key = folder / f"{name}.key"
        self._openssl("req", "-x509", *NEW_KEY, "-keyout", self._key, "-out", self.certificate, "-subj", f"/CN={name}")

    def issue(self, name: str) -> tuple[Path, Path]:
        """Make a certificate of 127.0.0.1; returns its file, and that of its key."""
        certificate, key, request = (self._folder / f"{name}.{suffix}" for suffix in ("pem", "key", "csr"))
        extensions = self._folder / f"{name}.ext"
        extensions.write_text(ADDRESS)
        self._openssl("req", *NEW_KEY, "-keyout", key, "-out", request, "-subj", f"/CN={name}")
        signed_by = ("-CA", self.certificate, "-CAkey", self._key, "-CAcreateserial")
        self._openssl("x509", "-req", "-in", request, *signed_by, "-out", certificate, "-extfile", extensions)
        return certificate, key

    def _openssl(self, *words: str | Path) -> None:
        subprocess.run(["openssl", *words], cwd=self._folder, check=True, capture_output=True, timeout=60)


class NKey:
    """A key pair of NATS, such as `nk -gen user` makes."""

    def __init__(self, prefix: int = nkeys.PREFIX_BYTE_USER) -> None:
        self.seed: str = nkeys.encode_seed(secrets.token_bytes(32), prefix).decode()
        self._pair = nkeys.from_seed(self.seed.encode())
        self.public: str = self._pair.public_key.decode()

    def sign(self, name: str, subject: NKey, claims: dict[str, Any]) -> str:
        """Returns a JWT in which this key says something of another one."""
        said = {"jti": name, "iat": 1, "iss": self.public, "name": name, "sub": subject.public, "nats": claims}
        signed = ".".join(_base64(json.dumps(part).encode()) for part in ({"typ": "JWT", "alg": "ed25519-nkey"}, said))
        return f"{signed}.{_base64(self._pair.sign(signed.encode()))}"


class Operator:
    """An operator of NATS servers with one account, which hands out credentials files."""

    def __init__(self) -> None:
        operator, self._account = NKey(nkeys.PREFIX_BYTE_OPERATOR), NKey(nkeys.PREFIX_BYTE_ACCOUNT)
        system = NKey(nkeys.PREFIX_BYTE_ACCOUNT)  # the server's own, without which there is no JetStream
        accounts = ", ".join(
            f"{account.public}: {operator.sign(name, account, {'type': 'account', 'version': 2, 'limits': limits})}"
            for name, account, limits in (("account", self._account, WITH_JETSTREAM), ("system", system, UNLIMITED))
        )
        of_operator = operator.sign("operator", operator, {"type": "operator", "version": 2})
        self.settings = (
            f"operator: {of_operator}\nsystem_account: {system.public}\n"
            f"resolver: MEMORY\nresolver_preload: {{{accounts}}}\n"
        )

    def credentials(self) -> str:
        """Returns the content of a credentials file for a new user."""
        user = NKey()
        limits = {"subs": -1, "data": -1, "payload": -1}
        of_user = self._account.sign("user", user, {"type": "user", "version": 2, **limits})
        return (
            f"-----BEGIN NATS USER JWT-----\n{of_user}\n------END NATS USER JWT------\n\n"
            f"-----BEGIN USER NKEY SEED-----\n{user.seed}\n------END USER NKEY SEED------\n"
        )


def _base64(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).decode().rstrip("=")
