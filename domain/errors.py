"""The errors of the domain: one root exception, and one subclass for each situation.

An error has the details of its situation as attributes; its message names the thing, the place and the remedy.
"""

from __future__ import annotations


class SagaledgerError(Exception):
    """The root of every error that sagaledger raises on purpose."""


class DefinitionError(SagaledgerError):
    """A saga, participant or event definition cannot work as written."""


class StepRejected(SagaledgerError):
    """A business rule refuses the step: it did nothing, and another attempt would not help.

    A step raises this to refuse. It is the only exception that proves that the action had no effect, so the step itself
    is not compensated; the steps before it are.
    """


class InvalidInput(SagaledgerError):
    """A value does not fit the type that its definition declares."""


class PayloadTooLarge(SagaledgerError):
    """A value is larger than the log accepts."""

    def __init__(self, what: str, size_bytes: int, bytes_max: int) -> None:
        super().__init__(
            f"{what} is {size_bytes:,} bytes, more than the {bytes_max:,} that one value may have: "
            "store it elsewhere and pass a reference"
        )
        self.what = what
        self.size_bytes = size_bytes
        self.bytes_max = bytes_max


class NotSerialisable(SagaledgerError):
    """A value cannot be written as JSON."""


class UnknownEvent(SagaledgerError):
    """A stored event has a name or a schema version that no registered type reads."""

    def __init__(self, topic: str, schema_version: int, remedy: str) -> None:
        super().__init__(f"event {topic!r} schema version {schema_version} is not registered: {remedy}")
        self.topic = topic
        self.schema_version = schema_version


class CorruptEvent(SagaledgerError):
    """The bytes of a stored event cannot be decoded as its type."""

    def __init__(self, topic: str, detail: str) -> None:
        super().__init__(f"event {topic!r} cannot be read: {detail}; run `sagaledger verify` to find what was edited")
        self.topic = topic
        self.detail = detail
