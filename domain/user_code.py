"""What the code of an app raises, kept from ending the program or the thread that called it.

Steps, participants, upcasters and hooks are the app's. Whatever they raise concerns the saga or the stream for which
they were called, and nothing else, even `SystemExit`, `GeneratorExit` or `asyncio.CancelledError`.
"""

from __future__ import annotations

import traceback
from threading import current_thread, main_thread
from typing import cast


def is_interruption(error: BaseException) -> bool:
    """Returns whether an error may be Ctrl-C, which Python raises in the main thread wherever that is."""
    return issubclass(type(error), KeyboardInterrupt) and current_thread() is main_thread()


def shown(error: BaseException) -> str:
    """Returns the text of an error, or what there is to say of one that cannot be shown."""
    try:
        return str(error)
    except BaseException as failure:
        if is_interruption(failure):
            raise
        return f"its text cannot be shown: __str__ raised {type(failure).__name__}"


def traced(error: BaseException) -> str:
    """Returns an error's traceback, or what there is to say of one whose code keeps it from being shown."""
    try:
        return "".join(traceback.format_exception(error)).rstrip()
    except BaseException as failure:
        if is_interruption(failure):
            raise
        return f"{type.__dict__['__name__'].__get__(type(error))}, whose traceback cannot be shown"


def contained(error: BaseException) -> Exception:
    """Returns an error that can be raised and handled anywhere: itself, or a `RuntimeError` that it caused."""
    if issubclass(type(error), Exception):  # `isinstance` may call code of the error's class
        return cast("Exception", error)
    standing_in = RuntimeError(f"code of the app raised {type(error).__name__} ({shown(error)})")
    standing_in.__cause__ = error
    return standing_in
