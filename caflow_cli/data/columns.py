"""Sets with columns: which column holds what, and what each row is called."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import PurePosixPath

from ..errors import EXIT_USAGE, CaflowError
from .files import Role, Split, leads_out

__all__ = ["choose_columns", "lay_out", "split_of"]

# Names that columns are known by, the usual ones first.
_IMAGES = ("image", "target", "file_name", "img", "picture", "photo", "path")
_MASKS = ("mask", "masks")
_PAIRS = (
    ("condition", "target"),
    ("condition", "image"),
    ("conditioning_image", "image"),
    ("input", "target"),
    ("input", "output"),
    ("source", "target"),
    ("input_image", "edited_image"),
    ("a", "b"),
    ("lr", "hr"),
)
_SPLITS: dict[str, Split] = {
    "train": "train",
    "training": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "dev": "val",
    "test": "test",
}


def choose_columns(
    names: Sequence[str], role: Role, chosen: Mapping[str, str], where: str
) -> tuple[str, ...]:
    """Choose the columns of pictures: (picture,), (condition, target) or (mask,).

    Args:
        names: All columns that may hold pictures.
        role: What is wanted.
        chosen: Columns that the user has named, by what they hold.
        where: The set, for messages.

    Raises:
        CaflowError: (exit 2) a named column does not exist, or none is known and there are several.
    """
    for key, name in chosen.items():
        if name not in names:
            raise _refusal(f"{where!r} has no column {name!r} of pictures", key, names, where)
    known = {name.lower(): name for name in reversed(names)}
    if role == "pairs":
        for condition, target in (("", ""), *_PAIRS):
            pair = (
                chosen.get("condition") or known.get(condition),
                chosen.get("target") or chosen.get("image") or known.get(target),
            )
            if pair[0] and pair[1] and pair[0] != pair[1]:
                return pair[0], pair[1]
        message = f"{where!r} has no columns condition and target"
        raise _refusal(message, "condition", names, where)
    key, usual = ("mask", (*_MASKS, *_IMAGES)) if role == "masks" else ("image", _IMAGES)
    named = chosen.get(key) or (chosen.get("target") if role == "pictures" else None)
    found = named or next((known[name] for name in usual if name in known), None)
    if found is None and len(names) == 1:
        found = names[0]
    if found is None:
        raise _refusal(f"{where!r} has no column {key}", key, names, where)
    return (found,)


def _refusal(message: str, key: str, names: Sequence[str], where: str) -> CaflowError:
    if not names:
        return CaflowError(
            f"{where!r} has no column of pictures", "give a set that has one", EXIT_USAGE
        )
    place = where.partition("#")[0]
    more = ",target=..." if key == "condition" else ""
    listed = ", ".join(names[:8])
    return CaflowError(
        f"{message}, but {listed}", f"name it: '{place}#{key}={names[0]}{more}'", EXIT_USAGE
    )


def lay_out(
    rows: Iterable[tuple[str | None, str]], columns: Sequence[str]
) -> dict[str, tuple[int, str]]:
    """Give every picture of every row a name as in a folder: where it stands, by name.

    Args:
        rows: The split of each row, if it has one, and a name for it. A name that leads out of its
            folder, or that another row has, too, gets the row's number before it; of a pair, also
            one that differs from another row's in its suffix alone, because files match by stem.
        columns: As `choose_columns` gives them; two are a pair, in `A/` and `B/`.
    """
    sides = ("A/", "B/") if len(columns) == 2 else ("",)
    found: dict[str, tuple[int, str]] = {}
    taken: set[tuple[str, str]] = set()
    for row, (split, name) in enumerate(rows):
        folder = f"{split}/" if split else ""
        path = PurePosixPath(name)
        key = str(path.with_suffix("")) if len(columns) == 2 and path.name else name
        if leads_out(name) or (folder, key) in taken:
            name = f"{row:08d}-{path.name}"
        taken.add((folder, key))
        for side, column in zip(sides, columns, strict=True):
            found[f"{folder}{side}{name}"] = row, column
    return found


def split_of(name: str) -> Split | None:
    """The split that a name says: of a split, or of a file such as `data/train-00000.parquet`.

    Examples:
        >>> from caflow_cli.data.columns import split_of
        >>> split_of("validation"), split_of("data/train-00000-of-00002.parquet"), split_of("full")
        ('val', 'train', None)
    """
    *folders, last = PurePosixPath(name.lower()).parts or ("",)
    first = re.split(r"[^a-z]", last, maxsplit=1)[0]
    for word in (first, *reversed(folders)):
        if word in _SPLITS:
            return _SPLITS[word]
    return None
