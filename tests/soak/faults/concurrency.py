"""Many processes at once on one output folder, one training folder, one Hub cache."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

from .kill_pull import BYTES, REPOSITORY, hub_environment, problems_in_cache, start_hub
from .kill_superres import content, make_model
from .processes import Ended, Program, run
from .report import Report, main
from .training import commands, differences, make_pictures
from .whole import leftovers, problems_in

PICTURES = 6
TRAININGS = 4  # at most: each holds a model


def soak(report: Report, count: int, seed: int, folder: Path, trainings: int = TRAININGS) -> None:
    """So many processes at once, in each way.

    Args:
        seed: Of nothing: which process is first is left to the machine.
    """
    superres(report, count, folder / "superres")
    train(report, min(count, trainings), folder / "train")
    pull(report, count, folder / "pull")


def _at_once(lines: Sequence[Sequence[object]], cwd: Path, **options: object) -> list[Ended]:
    programs = [Program(line, cwd, **options) for line in lines]  # type: ignore[arg-type]
    return [program.end() for program in programs]


def _codes(report: Report, what: str, ends: Sequence[Ended]) -> None:
    for code in sorted({end.code for end in ends}):
        report.counts[f"{what}: exit code {code}"] = sum(end.code == code for end in ends)


def superres(report: Report, count: int, folder: Path) -> None:
    folder.mkdir()
    make_model(folder / "model.safetensors")
    for index in range(count):
        make_pictures(folder / f"in-{index}", PICTURES, 24, seed=index)
    fixed = ["--model", folder / "model.safetensors", "--device", "cpu", "-m", 2]

    def line(inputs: str, out: str, *options: str) -> list[object]:
        return ["superres", folder / inputs, "-o", f"{folder / out}/", *fixed, *options]

    report.check("undisturbed", run(line("in-0", "reference"), folder).problems(0))
    wanted = content(folder / "reference")
    # Same inputs. Without a flag the first to write a picture wins, and the others say so.
    ways: list[tuple[str, list[str], set[int]]] = [
        ("the same inputs, --skip-existing", ["--skip-existing"], {0}),
        ("the same inputs, --overwrite", ["--overwrite"], {0}),
        ("the same inputs", [], {0, 1, 2}),
    ]
    for what, options, codes in ways:
        out = folder / "out"
        shutil.rmtree(out, ignore_errors=True)
        ends = _at_once([line("in-0", "out", *options)] * count, folder)
        _codes(report, what, ends)
        for end in ends:
            report.check(what, end.problems(*codes))
            if end.code == 1 and "was created by another program in the meantime" not in end.stderr:
                report.check(what, [end.stderr[-300:]])
        report.check(what, leftovers(out) + problems_in(out))
        if content(out) != wanted:
            report.check(what, ["not the pictures of one undisturbed process"])
    # Different inputs whose results have different names.
    for index in range(count):
        for path in (folder / f"in-{index}").iterdir():
            path.rename(path.with_name(f"{index}-{path.name}"))
    lines = [line(f"in-{index}", "mixed") for index in range(count)]
    ends = _at_once(lines, folder)
    _codes(report, "different inputs", ends)
    for end in ends:
        report.check("different inputs", end.problems(0))
    mixed = content(folder / "mixed")
    report.check("different inputs", leftovers(folder / "mixed") + problems_in(folder / "mixed"))
    if len(mixed) != count * PICTURES or any(mixed[f"0-{n}"] != wanted[n] for n in wanted):
        report.check("different inputs", [f"{len(mixed)} pictures, or others"])


def train(report: Report, count: int, folder: Path) -> None:
    make_pictures(folder / "data" / "train", 10, 8)
    make_pictures(folder / "data" / "val", 2, 8, seed=1)
    start, _ = commands(folder / "data", folder / "reference")
    report.check("undisturbed", run(start, folder).problems(0))
    start, resume = commands(folder / "data", folder / "run")
    what = "one training folder"
    ends = _at_once([start] * count, folder)
    _codes(report, what, ends)
    _check_trainings(report, what, ends, folder)
    # Going on together with a run whose last state is gone.
    last = max((folder / "run" / "state").glob("step-*"))
    shutil.rmtree(last)
    what = "one training folder, --resume"
    ends = _at_once([resume] * count, folder)
    _codes(report, what, ends)
    _check_trainings(report, what, ends, folder)


def _check_trainings(report: Report, what: str, ends: Sequence[Ended], folder: Path) -> None:
    for end in ends:
        report.check(what, end.problems(0, 2))
        known = ("another process is training", "holds a run already")
        if end.code == 2 and not any(text in end.stderr for text in known):
            report.check(what, [end.stderr[-300:]])
    if all(end.code for end in ends):
        report.check(what, ["no process trained"])
        return
    report.check(what, differences(folder / "run", folder / "reference"))
    report.check(what, leftovers(folder / "run") + problems_in(folder / "run"))


def pull(report: Report, count: int, folder: Path, size: int = BYTES) -> None:
    folder.mkdir()
    hub, weights = start_hub(size)
    home = folder / "home"
    environment = hub_environment(hub, home)
    ends = _at_once([["models", "pull", REPOSITORY]] * count, folder, env=environment)
    what = "one Hub cache"
    _codes(report, what, ends)
    for end in ends:
        report.check(what, end.problems(0))
        if end.code == 0 and Path(end.stdout.strip()).read_bytes() != weights:
            report.check(what, ["another file"])
    report.counts[f"{what}: downloads"] = len(hub.downloads())
    if len(hub.downloads()) != 1:
        report.check(what, [f"{len(hub.downloads())} downloads"])
    report.check(what, problems_in_cache(home))
    if any(home.rglob("*.incomplete")) or any(home.rglob("*.tmp")):
        report.check(what, ["something is left of a download"])
    hub.close()


if __name__ == "__main__":
    main("concurrency", 10, soak)
