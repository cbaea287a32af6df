"""kill -9 just before each change to a file that train, superres and `models pack` make.

Random moments rarely fall between two system calls; here each such gap is hit.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

from .kill_superres import command, content, make_model
from .processes import Forked
from .report import Report, main
from .training import commands, differences, make_pictures
from .whole import leftovers, problems_in

Line = list[object]


def soak(report: Report, count: int, seed: int, folder: Path) -> None:
    """Kill before every change, or so many of them, evenly spread.

    Args:
        seed: How many changes to leave out at first.
    """
    train(report, count, seed, folder / "train")
    superres(report, count, seed, folder / "superres")
    pack(report, count, seed, folder / "pack")


def train(report: Report, count: int, seed: int, folder: Path) -> None:
    """Two kinds of run: with states as often as validations, and with fewer."""
    make_pictures(folder / "data" / "train", 10, 8)
    make_pictures(folder / "data" / "val", 2, 8, seed=1)
    start, resume = commands(folder / "data", Path("out"), steps=4, every=2)

    def again(out: Path) -> Line:
        return resume if (out / "config.toml").exists() else start

    _kill(report, "train", count, seed, folder, start, again, differences)


def superres(report: Report, count: int, seed: int, folder: Path) -> None:
    """Three pictures, two results each."""
    make_pictures(folder / "in", 3, 8)
    make_model(folder / "model.safetensors")
    line = command(folder, Path("out"))

    def other(out: Path, reference: Path) -> list[str]:
        return [] if content(out) == content(reference) else ["other pictures"]

    _kill(report, "superres", count, seed, folder, line, lambda _: line, other)


def pack(report: Report, count: int, seed: int, folder: Path) -> None:
    """One model and its manifest; `--overwrite` goes over what a kill has left."""
    folder.mkdir(exist_ok=True)
    make_model(folder / "model.safetensors")
    shared = ["models", "pack", folder / "model.safetensors", "--id", "small", "-o", "out", "-q"]
    line = [*shared, "--overwrite"]

    def other(out: Path, reference: Path) -> list[str]:
        return [] if content(out) == content(reference) else ["another model or manifest"]

    _kill(report, "pack", count, seed, folder, line, lambda _: line, other)


def _kill(
    report: Report,
    name: str,
    count: int,
    seed: int,
    folder: Path,
    start: Line,
    again: Callable[[Path], Line],
    differences: Callable[[Path, Path], list[str]],
) -> None:
    """Kill `start`, which writes into `out`, and run `again(out)`; compare with undisturbed."""
    reference, work = folder / "reference", folder / "work"
    reference.mkdir()
    undisturbed = Forked(start, reference)
    report.check(f"{name}, undisturbed", undisturbed.end().problems(0))
    changes = undisturbed.changes
    report.counts[f"{name}: changes to files"] = len(changes)
    for number in sorted({1 + seed + len(changes) * k // count for k in range(count)}):
        if number > len(changes):
            continue
        shutil.rmtree(work, ignore_errors=True)
        work.mkdir()
        ended = Forked(start, work, kill_at=number).end()
        report.counts[f"{name}: killed" if ended.killed else f"{name}: ended before"] += 1
        where = f"{name} killed before change {number} ({changes[number - 1]})"
        out = work / "out"
        wrote_all = False
        if out.exists():
            report.check(where, problems_in(out))
            report.counts[f"{name}: left hidden files"] += bool(leftovers(out))
            wrote_all = name == "superres" and content(out) == content(reference / "out")
        ended = Forked(again(out), work).end()
        report.check(f"{where}, run again", ended.problems(0))
        if ended.code == 0:
            report.check(f"{where}, run again", differences(out, reference / "out"))
            # A command that finds all pictures there writes nothing, and so cleans nothing.
            report.check(f"{where}, run again", [] if wrote_all else leftovers(out))


if __name__ == "__main__":
    main("kill_at_writes", 1000, soak)
