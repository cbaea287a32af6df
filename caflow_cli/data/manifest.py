"""Manifests (CSV files and JSON lines), and the columns of every set that has some."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterable, Sequence
from pathlib import Path, PurePosixPath

from ..errors import check_usage, usage_error
from .folder import is_image, read_file
from .split import ImageFiles, Role, Split, leads_out

MANIFESTS = (".csv", ".jsonl")
# Names under which a set may have its columns, the usual one first.
_COLUMNS = {
    "image": ("image", "target", "output", "edited_image", "file_name", "img", "photo", "b", "hr"),
    "condition": ("condition", "conditioning_image", "input", "input_image", "source", "a", "lr"),
    "mask": ("mask",),
}
_SPLITS: dict[str, Split] = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("val", "valid", "validation", "dev"), "val"),
    "test": "test",
}


def open_manifest(path: Path, role: Role) -> ImageFiles:
    """Open a manifest: `image`, `condition` and `mask` are paths relative to its folder.

    A CSV file has a header; a line of JSON is an object. A column `split` states train, val or
    test for every row; without it, examples are held out as from a folder.

    Raises:
        CaflowError: (exit 2) the manifest or a line of it cannot be read, a column is missing, or
            only some rows state a split.
    """
    rows = _read(path)
    names = list(dict.fromkeys(key for row in rows for key in row if key != "split"))
    paths = [name for name in names if any(is_image(row.get(name, "")) for row in rows)]
    columns = choose_columns({name: name for name in paths}, role, str(path))
    # A row may lack what is wanted here: a mask, say.
    kept = [row for row in rows if all(row.get(column) for column in columns)]
    splits = [split_of(row.get("split", "")) for row in kept]
    if None in splits and set(splits) != {None}:
        stray = kept[splits.index(None)][columns[-1]]
        raise usage_error(
            f"{str(path)!r} states a split for some rows, but none, or an unknown one, for "
            f"{stray!r}",
            "write train, val or test in every row, or leave the column split out",
        )
    named = ((split, row[columns[-1]]) for split, row in zip(splits, kept, strict=True))
    layout = lay_out(named, columns)

    def read(member: str) -> bytes:
        row, column = layout[member]
        return read_file(path.parent / kept[row][column])

    return ImageFiles(str(path), list(layout), read)


def choose_columns(known: dict[str, str], role: Role, where: str) -> tuple[str, ...]:
    """Choose the columns of a role: (image,), (condition, image) or (mask,).

    `known` are the columns that hold images, by the names that they go by.

    Raises:
        CaflowError: (exit 2) none has a known name, and there are several.
    """
    lower = {name.lower(): column for name, column in reversed(known.items())}
    names = {kind: [lower[n] for n in _COLUMNS[kind] if n in lower] for kind in _COLUMNS}
    only = list(known.values()) if len(known) == 1 else []
    wanted, found = {
        "images": ("image", [names["image"] + only]),
        "pairs": ("condition and image", [names["condition"], names["image"]]),
        "masks": ("mask", [names["mask"] + names["image"] + only]),
    }[role]
    check_usage(
        all(found),
        f"{where!r} has no column {wanted}, but {', '.join(known) or 'none with images'}",
        "rename its columns, or write a manifest with image, condition, mask and split",
    )
    return tuple(columns[0] for columns in found)


def lay_out(
    rows: Iterable[tuple[str | None, str]], columns: Sequence[str]
) -> dict[str, tuple[int, str]]:
    """Name every image of every row as in a folder: its row and column, by member.

    Args:
        rows: The split of each row, if it has one, and its name. A name that leads out of its
            folder, or that another row has apart from the suffix, gets the row's number.
        columns: As of `choose_columns`; two are a pair, in `A/` and `B/`.
    """
    sides = ("A/", "B/") if len(columns) == 2 else ("",)
    found: dict[str, tuple[int, str]] = {}
    taken: set[str] = set()
    for row, (split, text) in enumerate(rows):
        folder = f"{split}/" if split else ""
        path = PurePosixPath(text.replace("\\", "/"))
        if leads_out(text) or folder + str(path.with_suffix("")) in taken:
            path = PurePosixPath(f"{row:08d}-{path.name}")
        taken.add(folder + str(path.with_suffix("")))
        for side, column in zip(sides, columns, strict=True):
            found[f"{folder}{side}{path}"] = row, column
    return found


def split_of(name: str) -> Split | None:
    """The split that a name states: of a split, or of a file such as `data/train-00000.parquet`."""
    *folders, last = PurePosixPath(name.lower()).parts or ("",)
    first = re.split(r"[^a-z]", last, maxsplit=1)[0]
    return next((_SPLITS[w] for w in (first, *reversed(folders)) if w in _SPLITS), None)


def _read(path: Path) -> list[dict[str, str]]:
    """The rows of a manifest; of JSON, the fields that are text."""
    rows: list[dict[str, str]] = []
    line = 0
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            if path.suffix.lower() == ".csv":
                reader = csv.DictReader(file, strict=True)
                if any(is_image(name) for name in reader.fieldnames or ()):
                    raise ValueError("the first line names the columns: image, or condition,image")
                for row in reader:
                    line = reader.line_num
                    if None in row or None in row.values():
                        raise ValueError("it has not as many fields as the first line")
                    rows.append(row)
            else:
                for text in file:
                    line += 1
                    if text.strip():
                        fields = dict(json.loads(text)).items()
                        rows.append({k: v for k, v in fields if isinstance(v, str)})
    except (OSError, ValueError, TypeError, RecursionError, csv.Error) as error:
        reason = " ".join(str(getattr(error, "strerror", None) or error).split())[:200]
        raise usage_error(
            f"cannot read line {line or 1} of {str(path)!r}: {reason}",
            'a CSV file with a header, or JSON lines such as {"image": "a.png"}, in UTF-8',
        ) from error
    check_usage(bool(rows), f"{str(path)!r} names no images", "add lines to it")
    return rows
