"""The files that an evaluation writes along the way, and the rows left by an earlier run.

`evaluate.jsonl` has one row per line. `DIR/NAME.png` is the kept candidate (for N > 1,
`NAME_01.png` etc.); a sweep has a folder per setting. `REPORT/images/00012/` has input, baseline,
truth, candidates by rank, and the error of the first.
"""

import json
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from ..errors import CaflowError, check_usage, usage_error
from ..images import make_folder, write_png
from ..paths import exists, numbered
from .measure import Measured
from .rows import Row
from .settings import Cell, Settings


def shown_cell(settings: Settings) -> Cell | None:
    """The setting shown in the gallery: first temperature and rule, largest M."""
    cells = [cell for cell in settings.cells if cell.tau == settings.tau[0]]
    if not cells:
        return None
    m = max(cell.m for cell in cells)
    return cells[0]._replace(m=m, n=m)


def earlier_rows(settings: Settings, origin: str, names: Sequence[str]) -> dict[int, Row]:
    """The rows left by an earlier run, by index. An incomplete last line is removed.

    `origin` is JSON with everything that the rows depend on, the first line of the log.

    Raises:
        CaflowError: (exit 2) there is a log with another origin, or one that must not be continued;
            or two images would be saved under one name.
    """
    if settings.save_images:
        _check_names(names)
    log = settings.log
    page = None if settings.report is None else Path(settings.report) / "index.html"
    for path in (log, page):
        check_usage(
            path is None or not exists(path) or settings.skip_existing,
            f"{str(path)!r} exists",
            "choose another folder, or --skip-existing",
        )
    if log is None or not exists(log):
        return {}
    head, *lines = log.read_text("utf-8").splitlines(keepends=True) or [""]
    if head and head.strip() != origin:
        try:
            before = dict(json.loads(head))
        except (ValueError, TypeError):
            before = {}
        now = json.loads(origin)
        changed = [key for key in now if before.get(key) != now[key]]
        raise usage_error(
            f"{str(log)!r} belongs to another run: {', '.join(changed)} differ",
            "choose another folder",
        )
    lines = [line for line in lines if line.endswith("\n")]
    log.write_text("".join([head, *lines]), "utf-8")
    if settings.sets:  # these metrics need every image
        return {}
    rows = {}
    for line in lines:
        row = Row.of_json(json.loads(line))
        if row.index < len(names) and names[row.index] == row.name:
            rows[row.index] = row
    return rows


def _check_names(names: Sequence[str]) -> None:
    saved: dict[str, str] = {}
    for name in names:
        file = str(PurePosixPath(name).with_suffix(".png"))
        other = saved.setdefault(file, name)
        check_usage(
            other == name,
            f"{other!r} and {name!r} would both be saved as {file!r}",
            "rename one of them",
        )


def write(settings: Settings, origin: str, measured: Measured) -> None:
    """Write the files of an image, and finally its row; CaflowError if that fails."""
    if settings.save_images is not None:
        for cell in settings.cells:
            paths = _paths(settings, cell, measured.example.name)
            make_folder(paths[0].parent)
            for path, image in zip(paths, measured.kept(cell), strict=False):  # some may diverge
                write_png(path, image)
    if settings.report is not None:
        _write_gallery(settings, Path(settings.report), measured)
    log = settings.log
    if log is None:
        return
    lines = json.dumps(measured.row.as_json(), allow_nan=False) + "\n"
    if not (log.exists() and log.stat().st_size):
        lines = f"{origin}\n{lines}"
    try:
        make_folder(log.parent)
        with log.open("a", encoding="utf-8") as file:
            file.write(lines)
    except OSError as error:
        raise CaflowError(
            f"cannot write {str(log)!r}: {error.strerror}", "choose another folder"
        ) from error


def _write_gallery(settings: Settings, report: Path, measured: Measured) -> None:
    example = measured.example
    images = {"input": example.input, "truth": example.truth}
    for image in list(measured.baselines.values())[:1]:
        images["baseline"] = image
    shown = shown_cell(settings)
    if shown is not None:
        for rank, image in enumerate(measured.kept(shown), 1):
            images[f"c{rank:02d}"] = image
    folder = report / "images" / f"{example.index:05d}"
    make_folder(folder)
    for name, image in images.items():
        write_png(folder / f"{name}.png", image)


def _paths(settings: Settings, cell: Cell, name: str) -> list[Path]:
    folder = Path(settings.save_images or "")
    if len(settings.cells) > 1:
        setting = f"tau{cell.tau}_m{cell.m}_n{cell.n}".replace("/", "-")
        if len(settings.rank) > 1:
            setting += f"_{cell.rank}"
        folder /= setting
    path = folder / PurePosixPath(name).with_suffix(".png")
    return numbered(path, cell.n)
