"""Every metric that there is: its name, what it counts, and its labels. No label ever has a saga's id."""

from __future__ import annotations

from typing import Final, Literal, NamedTuple

Kind = Literal["counter", "gauge", "histogram"]

NAMESPACE: Final = "sagaledger_"
STEP_SECONDS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 3600.0)
SAGA_SECONDS: Final = (0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 10.0, 60.0, 300.0, 1800.0, 3600.0, 21600.0, 86400.0, 604800.0)
APPEND_SECONDS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)
APPEND_EVENTS: Final = (1.0, 2.0, 5.0, 10.0, 25.0, 50.0, 100.0, 250.0, 500.0, 1000.0, 2500.0, 5000.0)
REQUEST_SECONDS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 60.0)


class Metric(NamedTuple):
    """One metric."""

    name: str
    kind: Kind
    help: str
    labels: tuple[str, ...] = ()
    buckets: tuple[float, ...] = ()
    """The upper bounds of a histogram's buckets."""


SAGAS_STARTED: Final = Metric("sagas_started", "counter", "Sagas that were started.", ("definition",))
SAGAS_ENDED: Final = Metric("sagas_ended", "counter", "Sagas that ended, by how.", ("definition", "status"))
SAGA_DURATION: Final = Metric(
    "saga_duration_seconds", "histogram", "From a saga's begin to its end.", ("definition", "status"), SAGA_SECONDS
)
STEP_ATTEMPTS: Final = Metric(
    "step_attempts", "counter", "Attempts that were begun, waits included.", ("definition", "step", "direction")
)
STEP_DURATION: Final = Metric(
    "step_duration_seconds",
    "histogram",
    "From an attempt's recorded begin to its recorded outcome.",
    ("definition", "step", "direction", "outcome"),
    STEP_SECONDS,
)
SAGAS_OPEN: Final = Metric("sagas_open", "gauge", "Sagas that have not ended.", ("definition", "status"))
INTERVENTIONS_OPEN: Final = Metric("interventions_open", "gauge", "Steps that need a person.", ("definition", "step"))
INTERVENTION_OLDEST: Final = Metric(
    "intervention_oldest_seconds", "gauge", "How long the oldest of them has needed one.", ("definition", "step")
)
DUE_OVERDUE: Final = Metric("due_overdue", "gauge", "Sagas that are due and that no worker holds.", ("definition",))
DUE_OLDEST: Final = Metric("due_oldest_seconds", "gauge", "How long the first of them has been due.", ("definition",))
WORKER_SAGAS: Final = Metric("worker_sagas", "gauge", "Sagas that the worker in this process holds.")
WORKER_SLOTS: Final = Metric("worker_slots", "gauge", "Sagas that it may hold at once.")
WORKERS: Final = Metric("workers", "gauge", "Workers that have a lease, by whether it has run out.", ("lease",))
APPEND_DURATION: Final = Metric(
    "append_seconds", "histogram", "From sending an append call to its answer.", ("backend",), APPEND_SECONDS
)
APPEND_SIZE: Final = Metric(
    "append_events", "histogram", "Events that one append call wrote.", ("backend",), APPEND_EVENTS
)
APPEND_CONFLICTS: Final = Metric(
    "append_conflicts", "counter", "Appends that were not written, by why: others wrote first, or rejected.", ("kind",)
)
LOG_HEAD: Final = Metric("log_head_position", "gauge", "The position of the last event of the log.")
VIEW_LAG_EVENTS: Final = Metric("view_lag_events", "gauge", "Events that a view has not folded.", ("view",))
VIEW_LAG_SECONDS: Final = Metric(
    "view_lag_seconds", "gauge", "How long the first of them has been in the log.", ("view",)
)
VIEW_STOPPED: Final = Metric("view_stopped", "gauge", "1 if an event stopped the view.", ("view",))
SERVICE_LAG: Final = Metric("service_lag_events", "gauge", "Events that a service has not looked at.", ("service",))
DEAD_LETTERS: Final = Metric("dead_letters", "gauge", "Events that a service could not handle.", ("service", "status"))
REQUESTS_OPEN: Final = Metric("requests_open", "gauge", "Starts that were requested and are not made.")
REQUESTS_REFUSED: Final = Metric("requests_refused", "gauge", "Starts that were requested and cannot be made.")
VERIFIED_POSITION: Final = Metric("verified_position", "gauge", "Up to which position the log was last verified here.")
VERIFY_PROBLEMS: Final = Metric("verify_problems", "gauge", "Problems that the last verification found.")
CHECKPOINT_AGE: Final = Metric("checkpoint_age_seconds", "gauge", "How old the latest checkpoint of the log is.")
REQUEST_DURATION: Final = Metric(
    "http_request_seconds", "histogram", "Answers of the HTTP API.", ("route", "method", "status"), REQUEST_SECONDS
)
SSE_SUBSCRIBERS: Final = Metric("sse_subscribers", "gauge", "Readers that follow the log over HTTP.")
BUILD_INFO: Final = Metric("build_info", "gauge", "1, with the version of sagaledger.", ("version",))
GAUGE_ERRORS: Final = Metric(
    "gauges_unavailable", "gauge", "1 if the database could not be asked for its gauges; they are then absent."
)

METRICS: Final = tuple(value for value in tuple(globals().values()) if isinstance(value, Metric))
"""All of them, in the order of this page."""


def sample_names(metric: Metric) -> tuple[str, ...]:
    """Return the names under which a metric's values are scraped."""
    name = NAMESPACE + metric.name
    if metric.kind == "counter":
        return (f"{name}_total",)
    return (name,) if metric.kind == "gauge" else (f"{name}_bucket", f"{name}_count", f"{name}_sum")
