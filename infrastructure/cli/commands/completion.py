"""`completion`: the script by which a shell completes commands, options and their choices."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from ..exit_codes import ExitCode
from ..options import DEFAULTS, Options
from ..output.answer import answer
from ..usage import UsageError

ShellName = Literal["bash", "zsh", "fish"]


def completion(
    shell: Annotated[ShellName | None, Parameter(help="The shell [default: the one that runs this command].")] = None,
    *,
    install: Annotated[
        bool, Parameter(negative="", help="Write the script to where that shell looks for it, and name the file.")
    ] = False,
    options: Options = DEFAULTS,
) -> ExitCode:
    """The script that completes this command line: eval "$(sagaledger completion bash)", or --install it.

    With --install it is written to a file in your home folder, and a line that reads it is added to the settings of
    bash or zsh. Install it again after an upgrade.
    """
    from ..registry import build

    chosen = shell or _this_shell()
    app = build()
    if install:
        try:
            file: Path = app.install_completion(shell=chosen)
        except OSError as error:
            raise UsageError(
                f"the script for {chosen} cannot be written ({error.strerror}: {error.filename}): write it to a file "
                f"of your choice with sagaledger completion {chosen}"
            ) from error
        answer(
            options,
            {"shell": chosen, "file": str(file)},
            lambda: [f"{file} completes sagaledger in {chosen}: begin a new shell"],
        )
    else:
        script = app.generate_completion(shell=chosen)
        answer(options, {"shell": chosen, "script": script}, lambda: script.splitlines())
    return ExitCode.OK


def _this_shell() -> ShellName:
    from cyclopts.completion.detect import ShellDetectionError, detect_shell

    try:
        found = detect_shell()
    except ShellDetectionError:
        found = None
    if found not in ("bash", "zsh", "fish"):
        raise UsageError("the shell that runs this command cannot be told: name it, as bash, zsh or fish")
    return found
