"""The files that an evaluation writes along the way, and the rows left by an earlier run.

`evaluate.jsonl` has one row per line. `DIR/NAME.png` is the kept candidate (for N > 1,
`NAME_01.png` etc.); a sweep has a folder per setting. `evaluate.png` shows the first images beside
baseline and truth.
"""

import json
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path, PurePosixPath

from ..errors import CaflowError, check_usage
from ..images import (
    SUFFIXES,
    Pixels,
    atomic_write,
    encode_png,
    in_8_bits,
    make_folder,
    read_image,
    write_png,
)
from ..names import numbered
from ..paths import exists
from ..records import Table
from ..restoration.figures import captioned_row, sheet
from .examples import run_baseline
from .kinds import Cell
from .measure import Measured, Measurer
from .metrics import METRICS
from .result import Result
from .rows import Row, Values
from .settings import LOG, Settings

SHEET = "evaluate.png"
_MOST_ROWS = 20  # of the sheet


def earlier_rows(settings: Settings, origin: str, names: Sequence[str]) -> dict[int, Row]:
    """The rows left by an earlier run, by index. An incomplete last line is removed.

    `origin` is JSON with everything that the rows depend on, the first line of the log.

    Raises:
        CaflowError: (exit 2) there is a log with another origin, or one that must not be continued;
            or two images would be saved under one name.
    """
    if settings.folder is None:
        return {}
    log = settings.folder / LOG
    _check_distinct(names)
    text = log.read_text("utf-8") if exists(log) else ""
    if not text:
        return {}
    check_usage(
        settings.given["skip_existing"],
        f"{str(log)!r} exists",
        "choose another folder, or --skip-existing",
    )
    # A write that was cut short has no end of line.
    lines = [line for line in text.splitlines(True) if line.endswith("\n")]
    before: Table = {}
    with suppress(ValueError, TypeError, IndexError):
        before = dict(json.loads(lines[0]))
    ours = json.loads(origin)
    changed = [key for key in ours | before if before.get(key) != ours.get(key)]
    check_usage(
        not changed,
        f"{str(log)!r} belongs to another run: {', '.join(changed)} differ",
        "choose another folder",
    )
    log.write_text("".join(lines), "utf-8")
    wanted = dict(enumerate(names))
    rows = {}
    for line in lines[1:]:
        row = Row.of_json(json.loads(line))
        if wanted.get(row.index) == row.name:
            rows[row.index] = row
    return rows


def _file_of(name: str) -> PurePosixPath:
    """The file of an image: names of pairs have no suffix, but may have dots."""
    path = PurePosixPath(name)
    stem = path.stem if path.suffix.lower() in SUFFIXES else path.name
    return path.with_name(f"{stem}.png")


def _check_distinct(names: Sequence[str]) -> None:
    files = [_file_of(name) for name in names]
    files.append(PurePosixPath(SHEET))
    for file, count in Counter(files).items():
        check_usage(count == 1, f"{count} images would be saved as {str(file)!r}", "rename them")


def write(settings: Settings, origin: str, measured: Measured, *, has_row: bool) -> None:
    """Write the files of an image, and finally its row, unless the log has it.

    Raises:
        CaflowError: That fails.
    """
    folder = settings.folder
    if folder is None:
        return
    for cell in settings.cells:
        paths = _paths(settings, folder, cell, measured.row.name)
        make_folder(paths[0].parent)
        for path, image in zip(paths, measured.kept(cell), strict=False):  # all may diverge
            write_png(path, image)
    if has_row:
        return
    log = folder / LOG
    try:
        make_folder(folder)
        with log.open("a", encoding="utf-8") as file:
            if file.tell() == 0:
                file.write(f"{origin}\n")
            line = json.dumps(measured.row.as_json(), allow_nan=False)
            file.write(f"{line}\n")
    except OSError as error:
        raise CaflowError(
            f"cannot write {str(log)!r}: {error.strerror}", "choose another folder"
        ) from error


def write_sheet(measurer: Measurer, rows: Sequence[Row]) -> None:
    """Write a sheet of the first images: baseline, best candidate of each setting, and truth.

    Raises:
        CaflowError: It cannot be written.
    """
    folder = measurer.run.folder
    if folder is None or not measurer.run.cells:
        return
    drawn = [_row(measurer, folder, row) for row in rows[:_MOST_ROWS]]
    atomic_write(folder / SHEET, encode_png(sheet(drawn)))


def _row(measurer: Measurer, folder: Path, row: Row) -> Pixels:
    """The row of an image in the sheet."""
    settings = measurer.run
    example = measurer.example(row.index).example
    cells = []
    baseline = measurer.baselines[0]
    image = run_baseline(measurer.task, baseline, example)
    if image is not None:
        figures = _figures(row.baselines[baseline])
        cells.append((image, [row.name, baseline, *figures]))
    for cell in settings.cells:
        best = row.at(cell.tau).ranked(cell.rank)
        path = _paths(settings, folder, cell, row.name)[0]
        if best and exists(path):  # an earlier run's may have been removed
            label = Result("model", {}, cell).label
            figures = _figures(best[0].values)
            cells.append((read_image(path), [label, *figures]))
    cells.append((example.truth, ["truth"]))
    shown = [(in_8_bits(image), lines) for image, lines in cells]
    return captioned_row(shown)


def _figures(values: Values) -> list[str]:
    """The metrics of an image that are numbers, as lines of text."""
    return [
        f"{name} {value:.{METRICS[name].decimals}f}"
        for name, value in values.items()
        if isinstance(value, float)
    ]


def _paths(settings: Settings, folder: Path, cell: Cell, name: str) -> list[Path]:
    if len(settings.cells) > 1:
        tau = str(cell.tau).replace("/", "-")
        setting = f"tau{tau}_m{cell.candidates}_n{cell.keep}"
        if len(settings.rank) > 1:
            setting += f"_{cell.rank}"
        folder /= setting
    return numbered(folder / _file_of(name), cell.keep)
