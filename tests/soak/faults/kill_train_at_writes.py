"""kill -9 just before each change that `caflow train` makes to its folder."""

from __future__ import annotations

import shutil
from pathlib import Path

from .processes import run_to_change
from .report import Report, main
from .training import commands, differences, make_pictures
from .whole import leftovers, problems_in


def soak(count: int, seed: int, folder: Path, first: int = 1) -> Report:
    """Kill before the `first`-th change, and each `stride`-th from there, `count` in all.

    Args:
        seed: The stride, less one.
    """
    report = Report("kill_train_at_writes")
    data, work = folder / "data", folder / "work"
    make_pictures(data / "train", 10, 8)
    make_pictures(data / "val", 2, 8, seed=1)
    start, resume = commands(data, Path("run"), steps=6, every=2)
    reference = folder / "reference"
    reference.mkdir()
    ended, changes = run_to_change(start, reference, None)
    report.check("undisturbed", ended.problems(0))
    report.counts["changes of an undisturbed run"] = changes
    for number in range(first, changes + 1, 1 + seed)[:count]:
        shutil.rmtree(work, ignore_errors=True)
        work.mkdir()
        ended, _ = run_to_change(start, work, number)
        report.counts["killed" if ended.killed else "ended before"] += 1
        where = f"kill before change {number}"
        if work.joinpath("run").exists():
            report.check(where, problems_in(work / "run"))
            report.counts["left hidden files"] += bool(leftovers(work / "run"))
        again = resume if (work / "run" / "config.toml").exists() else start
        ended, _ = run_to_change(again, work, None)
        report.check(f"{where}, run again", ended.problems(0))
        if ended.code == 0:
            found = differences(work / "run", reference / "run")
            report.check(f"{where}, run again", found + leftovers(work / "run"))
    return report


if __name__ == "__main__":
    main("kill_train_at_writes", 1000, soak)
