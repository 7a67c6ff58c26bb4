"""The bounds of a request: its size, its time, and how many are served at once."""

from __future__ import annotations

from typing import Final

BODY_BYTES_MAX: Final = 2 * 1024 * 1024
"""Of one request. An event has at most 256 KiB; JSON with white space is longer than what is stored of it."""
BATCH_BYTES_MAX: Final = 16 * 1024 * 1024
BODY_SECONDS: Final = 20.0
"""How long a client may take to send a body."""
QUERY_BYTES_MAX: Final = 16 * 1024
PATH_BYTES_MAX: Final = 8 * 1024
KEY_CHARACTERS_MAX: Final = 200
"""Of an idempotency key."""
PAGE_ROWS: Final = 50
PAGE_ROWS_MAX: Final = 500
COUNTED_MAX: Final = 100_000
"""How many sagas `GET /sagas/counts` counts at most."""
THREADS: Final = 8
"""How many calls to the database run at once."""
REQUEST_SECONDS: Final = 30.0
"""How long a request may take before it is answered with 504."""
WAIT_SECONDS_MAX: Final = 60.0
"""How long a request may wait for a saga or a view."""
WAIT_SECONDS_MIN: Final = 0.2
"""How long it waits at least, so that what is there already is seen."""
REQUESTS_MAX: Final = 1_000
"""How many requests wait or are answered at once; further ones are told to come again."""
STREAMS_MAX: Final = 500
"""How many streams of events are open at once."""
CONNECTIONS_MAX: Final = 4_000
"""How many connections a server process has at once; further ones are answered with 503."""
HEADER_SECONDS: Final = 60.0
"""How long a connection may take to send the head of its next request."""
DRAIN_SECONDS: Final = 20
"""How long a server that stops waits for the requests under way."""
RETRY_AFTER_SECONDS: Final = 2
"""When a client that was turned away should come again."""
