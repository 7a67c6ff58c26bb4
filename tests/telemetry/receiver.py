"""A receiver of spans over OTLP/HTTP, as a collector is: it parses the protobuf that is posted to it."""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any, NamedTuple

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest


class Received(NamedTuple):
    """A span as it came."""

    name: str
    kind: str
    trace_id: str
    span_id: str
    parent_id: str
    links: tuple[str, ...]
    """The ids of the spans that it links to."""
    attributes: dict[str, Any]
    failed: bool
    seconds: float
    service: str


class Receiver:
    """What was received so far."""

    def __init__(self) -> None:
        self.spans: list[Received] = []
        self.endpoint = ""

    def named(self, name: str) -> list[Received]:
        """The spans of a name, in the order in which they came."""
        return [span for span in self.spans if span.name == name]

    def one(self, name: str) -> Received:
        """The only span of a name."""
        [span] = self.named(name)
        return span

    def tree(self, root: str) -> dict[str, Any]:
        """The names of the spans below a span, as a tree; spans of one name are told apart by their attempts."""
        below: dict[str, Any] = {}
        for span in self.spans:
            if span.parent_id == root:
                attempt = span.attributes.get("saga.attempt", 1)
                name = span.name if attempt == 1 else f"{span.name} #{attempt}"
                below.setdefault(name, {}).update(self.tree(span.span_id))
        return below

    def take(self, body: bytes) -> None:
        """Read one request."""
        for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
            service = _attributes(resource.resource.attributes)["service.name"]
            self.spans += [
                Received(
                    span.name,
                    type(span).SpanKind.Name(span.kind).removeprefix("SPAN_KIND_").lower(),
                    span.trace_id.hex(),
                    span.span_id.hex(),
                    span.parent_span_id.hex(),
                    tuple(link.span_id.hex() for link in span.links),
                    _attributes(span.attributes),
                    span.status.code == 2,
                    (span.end_time_unix_nano - span.start_time_unix_nano) / 1e9,
                    service,
                )
                for scope in resource.scope_spans
                for span in scope.spans
            ]


@contextmanager
def receiving() -> Iterator[Receiver]:
    """Run a receiver on a port of its own."""
    receiver = Receiver()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            receiver.take(gzip.decompress(body) if self.headers.get("content-encoding") == "gzip" else body)
            self.send_response(200)
            self.send_header("content-type", "application/x-protobuf")
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = Thread(target=lambda: server.serve_forever(poll_interval=0.01))
        thread.start()
        receiver.endpoint = f"http://127.0.0.1:{server.server_port}"
        try:
            yield receiver
        finally:
            server.shutdown()
            thread.join()


def _attributes(pairs: Any) -> dict[str, Any]:
    return {pair.key: getattr(pair.value, pair.value.WhichOneof("value")) for pair in pairs}
