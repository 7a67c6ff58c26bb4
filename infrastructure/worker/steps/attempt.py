"""Making one attempt: calling a step's action or compensation, and turning what happens into an outcome."""

from __future__ import annotations

import asyncio
import inspect
from functools import partial
from typing import Any

from msgspec.structs import replace

from ....domain.saga.outcome import AttemptOutcome, Failed, Success, failure_of
from ....domain.saga.step import AnyStep
from ....domain.saga.step_context import StepContext
from ...runtime.current_saga import current_saga
from ...runtime.failpoints import failpoint
from ..saga_log import log_failed_attempt
from .running_attempt import RunningAttempt
from .thread_runner import NoThreadFree, ThreadRunner
from .time_limit import TimeLimit


async def attempt(running: RunningAttempt, threads: ThreadRunner) -> AttemptOutcome:
    """Make an attempt, and return its outcome: coroutines run on the event loop, plain functions on a thread.

    Whatever the step raises is its outcome, also `KeyboardInterrupt` and `SystemExit`, and so is the cancellation of
    its task. Ctrl-C reaches the program by its signal handler, which `asyncio.run` sets.
    """
    dispatch = running.dispatch
    saga, step = dispatch.saga, dispatch.step
    trace = saga.trace
    if trace is None:
        context = replace(dispatch.context, listener=running)
    else:
        context = replace(dispatch.context, listener=running, traceparent=trace.enter(dispatch.attempt))
    current_saga.set(dispatch.saga.saga_id)  # this task has a context of its own
    called = False
    try:
        value = saga.definition.read_argument(saga.state, dispatch.attempt.step)
        called = True
        with failpoint("call", step.name, context.direction):
            result = await _call(step, context, value, threads, running)
        return Success(step.write_result(context.direction, result))
    except NoThreadFree as error:
        return _failed(running, error, local=True)
    except BaseException as error:
        if issubclass(type(error), GeneratorExit) and not _on_running_loop():
            raise  # this coroutine is closed, and no one waits for its outcome
        return _failed(running, error, local=not called)  # a step that was not called had no effect


def _failed(running: RunningAttempt, error: BaseException, *, local: bool) -> Failed:
    """Return what an error proves, and log it here, where its traceback is."""
    dispatch = running.dispatch
    failed = failure_of(error, local=local, policies=dispatch.step.policies_of(dispatch.attempt.direction))
    log_failed_attempt(dispatch.saga, dispatch.attempt, failed, error, dispatch.worker)
    return failed


async def _call(step: AnyStep, context: StepContext, value: Any, threads: ThreadRunner, running: RunningAttempt) -> Any:
    timeout_seconds = step.timeout_of(context.direction)
    if step.is_async(context.direction):
        if timeout_seconds is None and running.heartbeat_timeout is None:
            return await step.invoke(context, value)
        async with TimeLimit(timeout_seconds, running):
            return await step.invoke(context, value)
    result = await threads.run(partial(step.invoke, context, value), timeout_seconds, running)
    if inspect.isawaitable(result):  # a partial, or an object whose __call__ is async
        async with TimeLimit(timeout_seconds, running):
            return await result
    return result


def _on_running_loop() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True
