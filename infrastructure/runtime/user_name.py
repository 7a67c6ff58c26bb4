"""The name of the user who runs this process."""

from __future__ import annotations

import getpass
import os


def user_name() -> str:
    """Return the name of the user who runs this process; `uid 1000` where that user has no name."""
    try:
        return getpass.getuser().encode("utf-8", "backslashreplace").decode()  # the name may not be Unicode
    except (KeyError, OSError):  # a container may run as a user that has no name
        return f"uid {os.getuid()}"
