"""Completion: what a shell proposes while a command line is typed."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from .shell import Shell

PROPOSE = """
eval "$(cat script)"
propose() { COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); COMPREPLY=(); _sagaledger; echo "${COMPREPLY[*]}"; }
complete -p sagaledger
propose sagaledger inter
propose sagaledger intervene re
propose sagaledger worker --until
"""


def test_bash_completes_commands_and_options(tmp_path: Path) -> None:
    """The script is for `eval`: it proposes commands, the commands of a command, and options."""
    script = Shell(tmp_path)("completion", "bash")
    (tmp_path / "script").write_text(script.stdout)

    proposed = subprocess.run(
        ["bash", "--norc", "-c", PROPOSE], cwd=tmp_path, capture_output=True, text=True, check=True
    )

    assert proposed.stdout.splitlines()[0] == "complete -F _sagaledger sagaledger"
    assert proposed.stdout.splitlines()[1:] == ["intervene", "retry resolve", "--until-idle"], proposed.stderr


def test_the_script_is_installed_where_the_shell_looks(tmp_path: Path) -> None:
    """In the user's home folder; the answer names the file, whose syntax is that shell's."""
    user = Shell(tmp_path)
    user.environment["HOME"] = str(tmp_path)

    done = user.json("completion", "zsh", "--install")

    file = Path(done["file"])
    assert file.is_relative_to(tmp_path)
    assert all(command in file.read_text() for command in ("intervene", "projections", "completion"))
    if shutil.which("zsh"):
        subprocess.run(["zsh", "-n", file], check=True)


def test_a_shell_that_is_not_known_is_refused(tmp_path: Path) -> None:
    """A script that no shell reads is not printed."""
    user = Shell(tmp_path)

    assert user("completion", "tcsh").returncode == 2
    user.environment["HOME"] = "/proc/none"
    refused = user("completion", "fish", "--install")
    assert refused.returncode == 2
    assert "sagaledger completion fish" in refused.stderr
