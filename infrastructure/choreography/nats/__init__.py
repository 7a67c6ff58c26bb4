"""Choreographies between processes: NATS JetStream announces the log's events; the log is the source of truth."""

from __future__ import annotations

from importlib.util import find_spec

from .errors import BrokerUnavailable

if find_spec("nats") is None:
    raise BrokerUnavailable("a broker needs the extra: pip install 'sagaledger[broker]'")
