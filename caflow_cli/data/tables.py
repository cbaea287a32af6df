"""Data sets with rows and columns: manifests (CSV, JSON lines), and what `datasets` reads."""

import csv
import json
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from ..errors import (
    EXIT_USAGE,
    EXIT_WEIGHTS,
    CaflowError,
    check_usage,
    ensure,
    reason_of,
    usage_error,
)
from ..images import SUFFIXES
from .files import is_image, read_file, walk
from .split import ImageFiles, Role, Split, leads_out

MANIFESTS = (".csv", ".jsonl")
# The columns that a role reads. A set with one column of images needs no name for it.
_COLUMNS = {
    "images": ("image",),
    "pairs": ("condition", "image"),
    "masks": ("mask",),
}
_SPLITS: dict[str, Split] = {
    "train": "train",
    "training": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "dev": "val",
    "test": "test",
}
_HUB = "hf://"
_TABLES = (".parquet", ".tar")


# --- rows and columns -----------------------------------------------------------------------------


def _choose_columns(known: dict[str, str], role: Role, where: str) -> tuple[str, ...]:
    """Choose the columns for a role: (image,), (condition, image) or (mask,).

    `known` are the columns with images, by the names under which they are looked up.

    Raises:
        CaflowError: (exit 2) a name is missing, and there is more than one column, or a pair needs
            two.
    """
    wanted = _COLUMNS[role]
    if len(wanted) == len(known) == 1:
        return tuple(known.values())
    check_usage(
        known.keys() >= set(wanted),
        f"{where!r} has no column {' and '.join(wanted)}, "
        f"only {', '.join(known) or 'columns without images'}",
        "rename its columns, or write a manifest with image, condition, mask and split",
    )
    return tuple(known[name] for name in wanted)


def _files(
    where: str,
    rows: Iterable[tuple[Split | None, str]],
    columns: Sequence[str],
    load: Callable[[int, str], bytes],
) -> ImageFiles:
    """Images by member names as in a folder.

    Args:
        where: The set, as typed.
        rows: The split (if any) and name of each row. A name that leads out of its folder, or that
            differs from another row's at most in its suffix, is prefixed with the row's number.
        columns: From `_choose_columns`; two columns are a pair, in `A/` and `B/`.
        load: Reads the image of a row and a column.
    """
    sides = ("A", "B") if len(columns) == 2 else ("",)
    members = {}
    stems: set[PurePosixPath] = set()
    for row, (split, name) in enumerate(rows):
        folder = split or ""
        path = PurePosixPath(name.replace("\\", "/"))
        if leads_out(name) or folder / path.with_suffix("") in stems:
            path = PurePosixPath(f"{row:08d}-{path.name}")
        stems.add(folder / path.with_suffix(""))
        for side, column in zip(sides, columns, strict=True):
            members[str(PurePosixPath(folder, side, path))] = (row, column)
    return ImageFiles(where, list(members), lambda member: load(*members[member]))


# --- manifests ------------------------------------------------------------------------------------


def open_manifest(path: Path, role: Role) -> ImageFiles:
    """Open a manifest, whose columns `image`, `condition` and `mask` are paths relative to it.

    A CSV file has a header; each line of a JSON lines file is an object. A column `split` assigns
    train, val or test to every row; without it, examples are held out as from a folder.

    Raises:
        CaflowError: (exit 2) the manifest or one of its lines cannot be read, a column is missing,
            or only some rows have a split.
    """
    rows = _read(path)
    # A dict, because it keeps the order of the columns.
    known = {}
    for row in rows:
        for name, value in row.items():
            is_image = PurePosixPath(value).suffix.lower() in SUFFIXES
            if name != "split" and is_image:
                known[name] = name
    columns = _choose_columns(known, role, str(path))
    # Rows may lack what is needed here, such as a mask.
    kept = [row for row in rows if all(row.get(column) for column in columns)]
    splits = [_SPLITS.get(row.get("split", "").lower()) for row in kept]
    if None in splits and set(splits) != {None}:
        raise usage_error(
            f"{str(path)!r} has a split for some rows, but none, or an unknown one, for "
            f"{kept[splits.index(None)][columns[-1]]!r}",
            "write train, val or test in every row, or remove the column split",
        )
    rows_of = zip(splits, (row[columns[-1]] for row in kept), strict=True)
    return _files(
        str(path), rows_of, columns, lambda row, column: read_file(path.parent / kept[row][column])
    )


def _read(path: Path) -> list[dict[str, str]]:
    rows = []
    line = 1
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            if path.suffix.lower() == ".csv":
                reader = csv.DictReader(file, strict=True)
                if any(is_image(name) for name in reader.fieldnames or ()):
                    raise ValueError("the first line must name columns: image, or condition,image")
                for row in reader:
                    line = reader.line_num
                    if None in row or None in row.values():
                        raise ValueError("it does not have as many fields as the first line")
                    rows.append(_texts(row))
            else:
                for number, text in enumerate(file, 1):
                    line = number
                    if text.strip():
                        rows.append(_texts(json.loads(text)))
    except (OSError, ValueError, RecursionError, csv.Error) as error:
        raise usage_error(
            f"cannot read line {line} of {str(path)!r}: {reason_of(error)}",
            'use a CSV file with a header, or JSON lines such as {"image": "a.png"}, in UTF-8',
        ) from error
    check_usage(bool(rows), f"{str(path)!r} lists no images", "add lines to it")
    return rows


def _texts(row: Any) -> dict[str, str]:
    """The values of a row that are texts, by column; ValueError if they cannot be paths."""
    if not isinstance(row, dict):
        raise ValueError("it is not an object")
    texts = {name: value for name, value in row.items() if isinstance(value, str)}
    if b"\0" in "".join(texts.values()).encode():
        raise ValueError("a path cannot contain a NUL character")
    return texts


# --- what `datasets` reads: of the Hub, Parquet, WebDataset, `save_to_disk` -----------------------


def is_remote(data: str) -> bool:
    """Whether `datasets` reads it: `hf://owner/name`, Parquet or tar, or a folder of such files."""
    path = Path(data)
    return (
        data.startswith(_HUB)
        or path.suffix.lower() in _TABLES
        or _is_saved(path)
        or bool(walk(path, lambda name: name.lower().endswith(_TABLES)))
    )


def open_remote(data: str, role: Role) -> ImageFiles:
    """Open a data set through `datasets`, which caches it.

    Its splits are used if they are named train, validation or test.

    Raises:
        CaflowError: (exit 2) `datasets` is not installed, there is no such set, or no column has
            images. (exit 3) the Hub has no such set, or cannot be reached.
    """
    try:
        import datasets
    except ImportError as error:
        raise usage_error(
            f"{data!r} needs the package datasets, which is not installed",
            "pip install datasets",
        ) from error
    try:
        loaded = _load(data)
        parts = {name: part for name, part in loaded.items() if name.lower() in _SPLITS} or loaded
        known = {
            _name(column): column
            for part in parts.values()
            for column, feature in part.features.items()
            if isinstance(feature, datasets.Image)
        }
        columns = _choose_columns(known, role, data)
        tables = [part.select_columns(list(columns)) for part in parts.values()]
        table = datasets.concatenate_datasets(tables)
        for column in columns:
            table = table.cast_column(column, datasets.Image(decode=False))
    except (CaflowError, MemoryError):
        raise
    except Exception as error:
        hint, code = "use a complete copy", EXIT_USAGE
        if data.startswith(_HUB):
            hint, code = (
                "check its name, the network and, for a private set, HF_TOKEN",
                EXIT_WEIGHTS,
            )
        raise CaflowError(f"cannot read {data!r}: {reason_of(error)}", hint, code) from error

    def load(row: int, column: str) -> bytes:
        value = table[row][column]
        ensure(value is not None, "a row has no image", "remove it; up to 1 % are skipped")
        stored: bytes | None = value["bytes"]  # None if the row names a file
        return stored if stored is not None else read_file(Path(value["path"]))

    splits = [_SPLITS.get(name.lower()) for name, part in parts.items() for _ in range(len(part))]
    rows = [(split, f"{row:08d}") for row, split in enumerate(splits)]
    return _files(data, rows, columns, load)


def _load(data: str) -> dict[str, Any]:
    """The tables of a set, by the names of its splits."""
    import datasets

    if not sys.stderr.isatty():
        datasets.disable_progress_bars()
    path = Path(data)
    if data.startswith(_HUB):
        name, _, revision = data.removeprefix(_HUB).removeprefix("datasets/").partition("@")
        return dict(datasets.load_dataset(name.rstrip("/"), revision=revision or None))
    if _is_saved(path):
        loaded = datasets.load_from_disk(data)
        return dict(loaded) if isinstance(loaded, dict) else {"whole": loaded}
    if path.is_dir():
        return dict(datasets.load_dataset(data))
    return dict(datasets.load_dataset(str(path.parent), data_files={"whole": path.name}))


def _is_saved(path: Path) -> bool:
    """Whether `save_to_disk` has written it."""
    return any((path / name).is_file() for name in ("dataset_dict.json", "state.json"))


def _name(column: str) -> str:
    """A column's lookup name: in WebDataset, `condition` for `condition.png`, `image` for `png`."""
    stem, _, suffix = column.rpartition(".")
    return (stem or "image") if f".{suffix.lower()}" in SUFFIXES else column
