"""The command line, killed at a failpoint: `python killed_at_failpoint.py FAILPOINT before|after …`."""

from __future__ import annotations

import os
import signal
import sys

from sagaledger.infrastructure.cli.main import main
from sagaledger.infrastructure.runtime import failpoints


def kill_at(failpoint: str, moment: str) -> None:
    """Kill this process, as a power cut would, just before or after the first call at a failpoint."""

    def listen(name: str, after: bool) -> None:
        if name == failpoint and after is (moment == "after"):
            os.kill(os.getpid(), signal.SIGKILL)

    failpoints.set_listener(listen)


if __name__ == "__main__":
    kill_at(sys.argv[1], sys.argv[2])
    sys.argv = ["sagaledger", *sys.argv[3:]]
    main()
