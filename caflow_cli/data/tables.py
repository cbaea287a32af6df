"""Data sets with rows and columns: manifests (CSV, JSON lines), and what `datasets` reads."""

import csv
import json
import re
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from ..errors import EXIT_WEIGHTS, CaflowError, check_usage, ensure, reason_of, usage_error
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
_BUILDERS = {".parquet": "parquet", ".tar": "webdataset"}
_SAVED = ("dataset_dict.json", "state.json")  # files of `save_to_disk`


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


def _lay_out(
    rows: Iterable[tuple[str | None, str]], columns: Sequence[str]
) -> dict[str, tuple[int, str]]:
    """Give every image a member name as in a folder; return its row and column by that name.

    Args:
        rows: The split (if any) and name of each row. A name that leads out of its folder, or that
            differs from another row's at most in its suffix, is prefixed with the row's number.
        columns: From `_choose_columns`; two columns are a pair, in `A/` and `B/`.
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
            member = PurePosixPath(folder, side, path)
            members[str(member)] = (row, column)
    return members


def _split_of(name: str) -> Split | None:
    """The split in the name of a split, or of a file such as `data/train-00000.parquet`."""
    *folders, last = PurePosixPath(name.lower()).parts or ("",)
    first = re.split(r"[^a-z]", last, maxsplit=1)[0]
    for word in (first, *reversed(folders)):
        if word in _SPLITS:
            return _SPLITS[word]
    return None


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
    splits = [_split_of(row.get("split", "")) for row in kept]
    if None in splits and set(splits) != {None}:
        raise usage_error(
            f"{str(path)!r} has a split for some rows, but none, or an unknown one, for "
            f"{kept[splits.index(None)][columns[-1]]!r}",
            "write train, val or test in every row, or remove the column split",
        )
    names = [row[columns[-1]] for row in kept]
    layout = _lay_out(zip(splits, names, strict=True), columns)

    def read(member: str) -> bytes:
        row, column = layout[member]
        return read_file(path.parent / kept[row][column])

    return ImageFiles(str(path), list(layout), read)


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
    if data.startswith(_HUB) or PurePosixPath(data).suffix.lower() in _BUILDERS:
        return True
    path = Path(data)
    if any((path / name).is_file() for name in _SAVED):
        return True
    return bool(walk(path, lambda name: name.lower().endswith(tuple(_BUILDERS))))


def open_remote(data: str, role: Role) -> ImageFiles:
    """Open a data set through `datasets`, which caches it.

    Its splits are used if their names, or those of files, are train, validation or test.

    Raises:
        CaflowError: (exit 2) `datasets` is not installed, there is no such set, or no column has
            images. (exit 3) the Hub cannot be reached.
    """
    try:
        import datasets
    except ImportError as error:
        raise usage_error(
            f"{data!r} needs the package datasets, which is not installed",
            "pip install datasets",
        ) from error
    names = []
    try:
        parts = _load(data)
        columns = _choose_columns(_image_columns(parts), role, data)
        for split, part in parts.items():
            names.extend([(split, f"{row:08d}") for row in range(len(part))])
        tables = [part.select_columns(list(columns)) for part in parts.values()]
        table = datasets.concatenate_datasets(tables)
        for column in columns:
            table = table.cast_column(column, datasets.Image(decode=False))
    except (CaflowError, MemoryError):
        raise
    except Exception as error:
        raise _failure(data, error) from error
    layout = _lay_out(names, columns)

    def load(member: str) -> bytes:
        row, column = layout[member]
        value = table[row][column]
        ensure(value is not None, "a row has no image", "remove it; up to 1 % are skipped")
        data: bytes | None = value["bytes"]  # None if the row names a file
        return data if data is not None else read_file(Path(value["path"]))

    return ImageFiles(data, list(layout), load)


def _load(data: str) -> dict[Split | None, Any]:
    import datasets

    if not sys.stderr.isatty():
        datasets.disable_progress_bars()
    path = Path(data)
    if data.startswith(_HUB):
        name, _, revision = data.removeprefix(_HUB).removeprefix("datasets/").partition("@")
        loaded = datasets.load_dataset(name.rstrip("/"), revision=revision or None)
    elif any((path / name).is_file() for name in _SAVED):
        loaded = datasets.load_from_disk(data)
    elif path.is_dir():
        loaded = datasets.load_dataset(data)
    else:
        loaded = datasets.load_dataset(_BUILDERS[path.suffix.lower()], data_files={"whole": data})
    if not isinstance(loaded, dict):
        return {None: loaded}
    parts: dict[Split | None, Any] = {}
    for name, part in loaded.items():
        parts.setdefault(_split_of(name), part)
    if len(parts) > 1:  # beside known splits, others are not read
        parts.pop(None, None)
    return parts


def _image_columns(parts: dict[Split | None, Any]) -> dict[str, str]:
    """The columns that may hold images, by lookup name."""
    import datasets

    columns: dict[str, str] = {}
    for part in parts.values():
        for column, feature in part.features.items():
            binary = getattr(feature, "dtype", None) in ("binary", "large_binary")
            stored = isinstance(feature, dict) and "bytes" in feature
            if binary or stored or isinstance(feature, datasets.Image):
                columns.setdefault(_name(column), column)
    return columns


def _name(column: str) -> str:
    """A column's lookup name: in WebDataset, `condition` for `condition.png`, `image` for `png`."""
    stem, _, suffix = column.rpartition(".")
    return (stem or "image") if f".{suffix.lower()}" in SUFFIXES else column


def _failure(data: str, error: Exception) -> CaflowError:
    from huggingface_hub.errors import LocalEntryNotFoundError

    text = reason_of(error)
    if not data.startswith(_HUB):
        return usage_error(f"cannot read {data!r}: {text}", "use a complete copy")
    # `datasets` raises FileNotFoundError for a set that does not exist or has no images, and
    # ValueError for a name that cannot exist.
    missing = isinstance(error, FileNotFoundError | ValueError)
    if missing and not isinstance(error, LocalEntryNotFoundError):
        return usage_error(
            f"the Hub has no data set {data!r}: {text}",
            "check the name; for a private or gated set: hf auth login (or set HF_TOKEN)",
        )
    return CaflowError(
        f"cannot download {data!r}: {text}",
        "check the network (HF_ENDPOINT, HF_HUB_OFFLINE), and run the command again",
        EXIT_WEIGHTS,
    )
