"""Compares what a page says that is printed with what was printed.

What differs from run to run is compared as its kind: dates, times, durations, decimals, hashes, processes, bars. Runs
of spaces are compared as one. `…` stands for any part of a line, and a line that is only `…` for any lines.
"""

from __future__ import annotations

import re

KINDS = (
    (re.compile(r"\d{4}-\d\d-\d\d"), "<DATE>"),
    (re.compile(r"(?<!\d)\d\d:\d\d(:\d\d([.,]\d+)?)?(Z|[+-]\d\d:\d\d)?(?![\da-f])"), "<TIME>"),
    (re.compile(r"(?<=worker )\s*\S+-\d+\b|\S+ pid:\[\d+\]-\d+(-\d+)?"), "<PROCESS>"),
    (re.compile(r"\b\d+([.,]\d+)?\s?(µs|ms|s|min|h|seconds?|minutes?|hours?)\b"), "<DURATION>"),
    (re.compile(r"\b(?=[0-9a-f-]*[0-9])[0-9a-f]{8}[0-9a-f-]{4,}\b"), "<HASH>"),
    (re.compile(r"\b\d+\.\d+\b"), "<DECIMAL>"),
    (re.compile(r"[━✗]+"), "<BAR>"),
    (re.compile(r"[─-]{3,}"), "---"),
    (re.compile(r"[ \t]+"), " "),
)


def is_same(expected: str, printed: str) -> bool:
    """Whether a program printed what the page says."""
    parts = [_pattern(line) for line in _lines(expected)]
    return re.fullmatch("".join(parts), "".join(line + "\n" for line in _lines(printed))) is not None


def _lines(text: str) -> list[str]:
    lines = []
    for line in text.rstrip().split("\n"):
        kept = line
        for kind, name in KINDS:
            kept = kind.sub(name, kept)
        lines.append(kept.strip())
    return lines


def _pattern(line: str) -> str:
    if line == "…":
        return r"(?:[^\n]*\n)*?"
    return r"[^\n]*".join(re.escape(part) for part in line.split("…")) + "\n"
