"""Making one attempt: calling a step's action or compensation, and saying what it came to."""

from __future__ import annotations

import asyncio
import inspect
from functools import partial
from typing import Any

import msgspec
from msgspec import Raw

from ....domain.errors import NotSerialisable, PayloadTooLarge
from ....domain.saga.outcome import AttemptOutcome, Success, failure_of
from ....domain.saga.step import Step, StepContext
from ...event_store.event_row import STATE_BYTES_MAX
from ...runtime.failpoints import failpoint
from ..messages import AttemptEnded, Dispatch
from .thread_runner import ThreadRunner

RESULT_BYTES_MAX = STATE_BYTES_MAX - 4096
"""A result shares its event with a few other fields."""


async def attempt(dispatch: Dispatch, threads: ThreadRunner) -> AttemptEnded:
    """Make an attempt: coroutines on the event loop, plain functions on a thread.

    Whatever a step raises is its outcome, and so is that its task was cancelled. Raises what ends the program.
    """
    execution, step, context = dispatch.execution, dispatch.step, dispatch.context
    outcome: AttemptOutcome
    called = False
    try:
        value = execution.definition.read_input(execution.state.input)
        called = True
        with failpoint("call", step.name, context.direction):
            result = await _call(step, context, value, threads)
        outcome = Success(write_result(step.name, result))
    except (KeyboardInterrupt, GeneratorExit):  # the program ends, or the event loop
        raise
    except TimeoutError as error:
        seconds = step.timeout_of(context.direction)
        outcome = failure_of(error if str(error) or seconds is None else TimeoutError(f"no outcome in {seconds:g} s"))
    except BaseException as error:  # noqa: BLE001 -- it goes on record; no step may end the worker, or go unheard
        outcome = failure_of(error, local=not called)  # one that was not called did nothing
    return AttemptEnded(execution, dispatch.run, outcome)


async def _call(step: Step, context: StepContext, value: Any, threads: ThreadRunner) -> Any:
    timeout_seconds = step.timeout_of(context.direction)
    if step.is_async(context.direction):
        if timeout_seconds is None:
            return await step.invoke(context, value)
        async with asyncio.timeout(timeout_seconds):
            return await step.invoke(context, value)
    result = await threads.run(partial(step.invoke, context, value), timeout_seconds)
    if inspect.isawaitable(result):  # a plain function that made a coroutine: a partial, or an object's __call__
        async with asyncio.timeout(timeout_seconds):
            return await result
    return result


def write_result(step: str, result: Any) -> Raw:
    """A result as JSON. Raises `NotSerialisable` or `PayloadTooLarge`, which say what the step returned."""
    try:
        written = msgspec.json.encode(result)
    except (TypeError, ValueError, OverflowError) as error:
        raise NotSerialisable(f"step {step!r} returned a {type(result).__name__} that is not JSON: {error}") from error
    if len(written) > RESULT_BYTES_MAX:
        raise PayloadTooLarge(f"the result of step {step!r}", len(written), RESULT_BYTES_MAX)
    return Raw(written)
