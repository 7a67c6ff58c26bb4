"""Making one attempt: calling a step's action or compensation, and turning what happens into an outcome."""

from __future__ import annotations

import asyncio
import inspect
from functools import partial
from typing import Any

from ....domain.saga.outcome import AttemptOutcome, Success, failure_of
from ....domain.saga.step import AnyStep
from ....domain.saga.step_context import StepContext
from ...runtime.failpoints import failpoint
from ..messages import AttemptEnded, Dispatch
from .thread_runner import NoThreadFree, ThreadRunner


async def attempt(dispatch: Dispatch, threads: ThreadRunner) -> AttemptEnded:
    """Make an attempt: coroutines run on the event loop, plain functions on a thread.

    Whatever the step raises is its outcome, also `KeyboardInterrupt` and `SystemExit`, and so is the cancellation of
    its task. Ctrl-C reaches the program by its signal handler, which `asyncio.run` sets.
    """
    saga, step, context = dispatch.saga, dispatch.step, dispatch.context
    outcome: AttemptOutcome
    called = False
    try:
        value = saga.definition.read_argument(saga.state, dispatch.attempt.step)
        called = True
        with failpoint("call", step.name, context.direction):
            result = await _call(step, context, value, threads)
        outcome = Success(step.write_result(context.direction, result))
    except NoThreadFree as error:
        outcome = failure_of(error, local=True)
    except TimeoutError as error:
        seconds = step.timeout_of(context.direction)
        outcome = failure_of(error)
        if not outcome.error.message and seconds is not None:
            outcome = failure_of(TimeoutError(f"no outcome in {seconds:g} s"))
    except BaseException as error:
        if issubclass(type(error), GeneratorExit) and not _on_running_loop():
            raise  # this coroutine is closed, and no one waits for its outcome
        outcome = failure_of(error, local=not called)  # a step that was not called had no effect
    return AttemptEnded(saga, dispatch.attempt, outcome)


async def _call(step: AnyStep, context: StepContext, value: Any, threads: ThreadRunner) -> Any:
    timeout_seconds = step.timeout_of(context.direction)
    if step.is_async(context.direction):
        if timeout_seconds is None:
            return await step.invoke(context, value)
        async with asyncio.timeout(timeout_seconds):
            return await step.invoke(context, value)
    result = await threads.run(partial(step.invoke, context, value), timeout_seconds)
    if inspect.isawaitable(result):  # a partial, or an object whose __call__ is async
        async with asyncio.timeout(timeout_seconds):
            return await result
    return result


def _on_running_loop() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True
