"""How a broker is reached: over TLS or not at all, under which identity, and what is said when it refuses."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import quote
from urllib.request import urlopen

import pytest

from sagaledger.domain.saga.state import Status
from sagaledger.infrastructure.choreography.nats.connection import check, connected
from sagaledger.infrastructure.choreography.nats.consumer import NatsConsumer
from sagaledger.infrastructure.choreography.nats.errors import BrokerUnavailable
from sagaledger.infrastructure.choreography.nats.outbox_relay import OutboxRelay

from .conftest import Shop, order
from .identities import Authority, NKey, Operator
from .processes import PATIENCE_SECONDS, PROGRAM, Nats, free_port

PASSWORD = "ge:h@ei/m%"  # noqa: S105  # of this test

StartNats = Callable[[str], Nats]


@pytest.fixture
def start_nats(tmp_path: Path) -> Iterator[StartNats]:
    """Starts a NATS server with these settings."""
    started: list[Nats] = []

    def start(settings: str) -> Nats:
        started.append(Nats(tmp_path, settings))
        started[-1].start()
        return started[-1]

    yield start
    for server in started:
        server.kill()


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    """The authority that signed the server's certificate."""
    return Authority(tmp_path)


def _tls(authority: Authority, more: str = "") -> str:
    certificate, key = authority.issue("server")
    return f"tls {{cert_file: '{certificate}', key_file: '{key}', ca_file: '{authority.certificate}'{more}}}\n"


def _refusal(url: str) -> str:
    with pytest.raises(BrokerUnavailable) as raised:
        asyncio.run(check(url))
    assert "heim" not in str(raised.value)
    assert PASSWORD not in str(raised.value)
    return str(raised.value)


# TLS


def test_an_order_goes_through_services_over_tls(
    sqlite_shop: Shop, start_nats: StartNats, authority: Authority
) -> None:
    """Server and client prove who they are, and the URL has a password beside."""
    user = f"authorization {{user: ann, password: {json.dumps(PASSWORD)}}}\n"
    server = start_nats(_tls(authority, ", verify: true") + user)
    certificate, key = authority.issue("client")
    files = f"tlsca={authority.certificate}&tlscert={certificate}&tlskey={key}"
    url = f"tls://ann:{quote(PASSWORD, safe='')}@{server.host}?{files}"
    sqlite_shop.place(order("1"))

    async def run() -> None:
        stopping = asyncio.Event()
        services = sqlite_shop.ledger.app.services.values()
        runners = [OutboxRelay(sqlite_shop.ledger, url), *(NatsConsumer(sqlite_shop.ledger, s, url) for s in services)]
        running = [asyncio.create_task(runner.run(stopping)) for runner in runners]
        log = sqlite_shop.ledger.backend
        async with asyncio.timeout(PATIENCE_SECONDS):
            while sqlite_shop.ledger.state("order_flow-1").status is not Status.COMPLETED:
                await asyncio.to_thread(log.wait_beyond, log.head().position, 0.05)
        stopping.set()
        await asyncio.gather(*running)

    asyncio.run(run())

    assert "if it asks for a client certificate" in _refusal(f"tls://{server.host}?tlsca={authority.certificate}")


def test_tls_is_used_where_the_server_leaves_the_choice(start_nats: StartNats, authority: Authority) -> None:
    """The server's own list of connections says so."""
    port = free_port()
    server = start_nats(f"{_tls(authority)}allow_non_tls: true\nhttp: 127.0.0.1:{port}\n")

    async def tls_version(url: str) -> str | None:
        async with connected(url):
            with await asyncio.to_thread(urlopen, f"http://127.0.0.1:{port}/connz", timeout=10) as answer:
                [connection] = json.load(answer)["connections"]
                version: str | None = connection.get("tls_version")
                return version

    assert asyncio.run(tls_version(f"tls://{server.host}?tlsca={authority.certificate}")) == "1.3"
    assert asyncio.run(tls_version(f"nats://{server.host}")) is None


def test_nothing_is_sent_in_clear_to_a_server_without_tls(nats: Nats) -> None:
    """Neither to one that never had TLS, nor to one in between that takes it out of the first message."""
    sent = bytearray()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b'INFO {"server_id":"x","version":"2.12.0","max_payload":1048576,"auth_required":true}\r\n')
        sent.extend(await reader.read())
        writer.close()

    async def listen() -> str:
        async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
            port = server.sockets[0].getsockname()[1]
            with pytest.raises(BrokerUnavailable) as raised:
                await check(f"tls://ann:geheim@127.0.0.1:{port}")
            return str(raised.value)

    for refusal in (asyncio.run(listen()), _refusal(f"tls://ann:geheim@{nats.host}")):
        assert "offers no TLS, and nothing was sent to it in clear" in refusal
    assert sent == b""


def test_a_server_of_an_unknown_authority_is_not_trusted(
    tmp_path: Path, start_nats: StartNats, authority: Authority
) -> None:
    """Neither the operating system's authorities nor those of another file signed its certificate."""
    server = start_nats(_tls(authority))
    other = Authority(tmp_path, "other")

    for url in (f"tls://{server.host}", f"tls://{server.host}?tlsca={other.certificate}"):
        assert "is not trusted" in _refusal(url)
        assert "?tlsca=FILE" in _refusal(url)


# Identities


@pytest.mark.parametrize("identity", ["password", "token", "nkey", "creds"])
def test_a_broker_takes_the_right_identity_and_says_that_it_refuses_another(
    tmp_path: Path, start_nats: StartNats, identity: str
) -> None:
    """A wrong password is no broker that is down."""
    right, wrong = NKey(), NKey()
    operator = Operator()
    settings = {
        "password": f"authorization {{user: ann, password: {json.dumps(PASSWORD)}}}",
        "token": f"authorization {{token: {json.dumps(PASSWORD)}}}",
        "nkey": f"authorization {{users: [{{nkey: {right.public}}}]}}",
        "creds": operator.settings,
    }
    for name, content in {
        "right.nk": right.seed,
        "wrong.nk": wrong.seed,
        "right.creds": operator.credentials(),
        "wrong.creds": Operator().credentials(),
    }.items():
        (tmp_path / name).write_text(content)
    host = start_nats(settings[identity]).host
    quoted = quote(PASSWORD, safe="")
    accepted, refused = {
        "password": (f"nats://ann:{quoted}@{host}", f"nats://ann:geheim@{host}"),
        "token": (f"nats://{quoted}@{host}", f"nats://geheim@{host}"),
        "nkey": (f"nats://{host}?nkey={tmp_path}/right.nk", f"nats://{host}?nkey={tmp_path}/wrong.nk"),
        "creds": (f"nats://{host}?creds={tmp_path}/right.creds", f"nats://{host}?creds={tmp_path}/wrong.creds"),
    }[identity]

    asyncio.run(check(accepted))

    for url in (refused, f"nats://{host}"):
        assert "refuses the credentials, or wants some" in _refusal(url)
        assert "start nats-server" not in _refusal(url)


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("ann:geheim@host", "names no NATS server"),
        ("http://ann:geheim@host", "names no NATS server"),
        ("nats://ann:ge/heim@host", "names no NATS server"),
        ("nats://ann:12/heim@host", "names no NATS server"),
        ("nats://ann:12#heim@host", "names no NATS server"),
        ("nats://ann:geheim@host:x", "names no NATS server"),
        ("nats://ann:geheim@", "names no NATS server"),
        ("nats://ann:geheim@host?user=bob", "has the parameter 'user'"),
        ("nats://ann:geheim@host?tlsca=ca.pem", "use tls://"),
        ("nats://ann:geheim@host?nkey=absent.nk", "cannot be read, nkey=absent.nk: No such file"),
        ("nats://ann:geheim@host?creds=empty", "no seed of a user, creds=empty"),
        ("nats://host?nkey=empty", "no seed of a user, nkey=empty"),
        ("nats://ann:geheim@host?nkey=right.nk", "two identities"),
        ("tls://ann:geheim@host?tlsca=absent.pem", "tlsca=absent.pem): No such file"),
        ("tls://ann:geheim@host?tlsca=empty", "cannot be used (tlsca=empty)"),
        ("tls://ann:geheim@host?tlscert=client.pem", "a client certificate needs its key"),
    ],
)
def test_a_url_that_cannot_be_used_is_refused_without_its_secrets(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, url: str, why: str
) -> None:
    """The message says which part it is."""
    monkeypatch.chdir(tmp_path)
    Path("empty").touch()
    Path("right.nk").write_text(NKey().seed)

    assert why in _refusal(url)


# The command line


@pytest.mark.parametrize(
    "command", [("relay",), ("run",), ("run", "payment")], ids=["relay", "every service", "one service"]
)
def test_the_environment_names_the_broker(sqlite_shop: Shop, start_nats: StartNats, command: tuple[str, ...]) -> None:
    """So its password is not on the command line, which others can read; nor is it in the error."""
    host = start_nats(f"authorization {{user: ann, password: {json.dumps(PASSWORD)}}}").host
    environment = {
        **os.environ,
        "SAGALEDGER_DB": sqlite_shop.ledger.backend.url,
        "SAGALEDGER_APP": "shop",
        "SAGALEDGER_BROKER": f"nats://ann:geheim@{host}",
    }

    refused = subprocess.run(
        [PROGRAM, "participants", *command], env=environment, capture_output=True, text=True, timeout=60, check=False
    )

    assert refused.returncode == 5, refused.stderr
    assert f"nats://***@{host} refuses the credentials" in refused.stderr
    assert "heim" not in refused.stderr + refused.stdout
