"""The report of a soak test: a table of counts, and its violations, also after an interruption."""

from __future__ import annotations

import argparse
import json
import signal
import sys
import tempfile
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

__all__ = ["Report", "main"]


@dataclass
class Report:
    """Counts by what happened, and what must not have happened."""

    name: str
    counts: Counter[str] = field(default_factory=Counter)
    violations: list[str] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)  # what this machine cannot do, and why

    def check(self, where: str, problems: list[str]) -> None:
        self.violations += [f"{where}: {problem}" for problem in problems]


def main(name: str, count: int, soak: Callable[..., None], *, forks: bool = False) -> None:
    """Run a soak from the command line; exit code 1 on any violation, else 130 if interrupted.

    SIGINT and SIGTERM end it early: what was counted by then is printed.

    Args:
        count: So many, unless `--count` says otherwise.
        soak: Called with a report to fill, count, seed, and an empty folder.
        forks: Whether it also takes `forked`.
    """
    parser = argparse.ArgumentParser(prog=f"python -m tests.soak.faults.{name}")
    parser.add_argument(
        "--count", type=int, default=count, metavar="N", help="default: %(default)s"
    )
    parser.add_argument(
        "--seed", type=int, default=0, metavar="S", help="of the moments; default: 0"
    )
    parser.add_argument("--json", action="store_true")
    if forks:
        parser.add_argument(
            "--forked",
            action="store_true",
            help="fork from what has imported everything: all kills fall into the work itself",
        )
    given = parser.parse_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    report, interrupted = Report(name), False
    with tempfile.TemporaryDirectory(prefix="caflow-soak-", ignore_cleanup_errors=True) as folder:
        options = {"forked": given.forked} if forks else {}
        try:
            soak(report, given.count, given.seed, Path(folder), **options)
        except KeyboardInterrupt:
            interrupted = True
    if given.json:
        about = {"count": given.count, "seed": given.seed, "interrupted": interrupted}
        print(json.dumps({**about, **vars(report)}))
    else:
        print(f"{name}, count {given.count}, seed {given.seed}{', interrupted' * interrupted}")
        width = max(map(len, [*report.counts, "violations"]))
        for what, number in [*report.counts.items(), ("violations", len(report.violations))]:
            print(f"  {what:{width}}  {number}")
        for kind, lines in (("VIOLATION", report.violations), ("skipped", report.skipped)):
            for line in lines:
                print(f"{kind}: {line}")
    sys.exit(1 if report.violations else 130 if interrupted else 0)
