"""kill -9 at random moments of `caflow train`, again and again in one folder until it ends."""

from __future__ import annotations

import random
from pathlib import Path

from .processes import Forked, Program, duration
from .report import Report, main
from .training import commands, differences, make_pictures
from .whole import leftovers, problems_in


def soak(report: Report, count: int, seed: int, folder: Path, forked: bool = False) -> None:
    """Kill `count` times, each after a time that is uniform over that of an undisturbed run.

    After each kill the folder is looked through, and the run goes on; where it comes to its end it
    is compared with the undisturbed one, and another is begun.
    """
    random_ = random.Random(seed)
    program = Forked if forked else Program
    make_pictures(folder / "data" / "train", 10, 8)
    make_pictures(folder / "data" / "val", 2, 8, seed=1)
    undisturbed = []
    for name in ("reference", "again"):
        undisturbed.append(program(commands(folder / "data", folder / name)[0], folder).end())
        report.check(name, undisturbed[-1].problems(0))
    reference = folder / "reference"
    report.check("the same run again", differences(folder / "again", reference))
    limit = duration(undisturbed)
    report.counts["seconds undisturbed, x10"] = round(10 * limit)
    number = 0
    out = folder / "run-0"
    for kill in range(count + 1):  # the last one is left to end
        start, resume = commands(folder / "data", out)
        again = (out / "config.toml").exists()
        after = random_.uniform(0, limit) if kill < count else None
        ended = program(resume if again else start, folder).end(after)
        where = f"kill {kill} after {after or 0:.2f} s"
        if ended.killed:
            report.counts["kills"] += 1
            report.counts[_phase(out)] += 1
            if out.exists():
                report.check(where, problems_in(out))
                report.counts["left hidden files"] += bool(leftovers(out))
            continue
        report.check(where, ended.problems(0))
        if after is not None:
            report.counts["kills that came after the end"] += 1
            limit = limit if again else ended.seconds  # other work may have ended
        if ended.code == 0:
            report.counts["runs that ended after kills"] += again
            report.check(where, differences(out, reference) + leftovers(out) + problems_in(out))
        number += 1
        out = folder / f"run-{number}"


def _phase(out: Path) -> str:
    if any((out / "state").glob("step-*")):
        return "  while there was a state"
    if (out / "metrics.jsonl").exists():
        return "  before the first state"
    return "  before the run began"


if __name__ == "__main__":
    main("kill_train", 100, soak, forks=True)
