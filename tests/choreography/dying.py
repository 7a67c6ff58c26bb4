"""The command line in a process that is killed where it meets the world: `python dying.py CROSSING before|after …`."""

from __future__ import annotations

import os
import signal
import sys

from sagaledger.infrastructure.cli.main import main
from sagaledger.infrastructure.runtime import failpoints


def die_at(crossing: str, moment: str) -> None:
    """End as a power cut would, the first time that this crossing is about to happen, or has happened."""

    def look(name: str, after: bool) -> None:
        if name == crossing and after is (moment == "after"):
            os.kill(os.getpid(), signal.SIGKILL)

    failpoints.set_listener(look)


if __name__ == "__main__":
    die_at(sys.argv[1], sys.argv[2])
    sys.argv = ["sagaledger", *sys.argv[3:]]
    main()
