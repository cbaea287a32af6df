"""Files of data sets: folders, zips, manifests (CSV, JSON lines), and what `datasets` reads."""

import csv
import json
import os
import re
import sys
import zipfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any

from ..errors import EXIT_WEIGHTS, CaflowError, check_usage, ensure, usage_error
from ..images import MAX_BYTES, SUFFIXES
from .split import ImageFiles, Role, Split, leads_out

MANIFESTS = (".csv", ".jsonl")
# Accepted names of columns, the preferred one first.
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
_HUB = "hf://"
_BUILDERS = {".parquet": "parquet", ".tar": "webdataset"}
_OF_RUN = {"config.toml", "metrics.jsonl"}  # files in the folder of a training run
_SAVED = ("dataset_dict.json", "state.json")  # files of `save_to_disk`


def open_folder(path: Path) -> ImageFiles:
    """Open a folder with its subfolders, ignoring hidden files and training runs."""
    return ImageFiles(str(path), _walk(path, _is_image), lambda member: _read_file(path / member))


def _walk(root: Path, wanted: Callable[[str], bool]) -> list[str]:
    found, seen = list[str](), set[str]()
    for folder, folders, files in os.walk(root, followlinks=True):
        real = os.path.realpath(folder)
        # Reached again through a link, or the plots and samples of a training run.
        if real in seen or _OF_RUN.issubset(files):
            folders.clear()
            continue
        seen.add(real)
        inside = Path(folder).relative_to(root)
        found += [p for file in files if wanted(p := (inside / file).as_posix())]
    return found


def _is_image(member: str) -> bool:
    path = PurePosixPath(member)
    hidden = any(part.startswith(".") or part == "__MACOSX" for part in path.parts)
    return path.suffix.lower() in SUFFIXES and not hidden


@contextmanager
def open_zip(path: Path) -> Iterator[ImageFiles]:
    """Open a zip, whose members are unpacked in memory.

    Raises:
        CaflowError: (exit 2) it is not a zip, is encrypted or has an unusual compression, or has a
            member whose path leads out of it.
    """
    try:
        archive = zipfile.ZipFile(path)
    except Exception as error:  # a broken file may cause errors of any kind
        raise usage_error(
            f"{str(path)!r} is neither a folder nor a readable zip",
            "--data FOLDER or --data FILE.zip",
        ) from error
    with archive:
        entries = {
            entry.filename: entry
            for entry in archive.infolist()
            if _is_image(entry.filename) and not entry.is_dir()
        }
        for name, entry in entries.items():
            # Results get the names of their inputs, hence no paths that lead out. `zipfile` unpacks
            # other compressions all at once, possibly from a kilobyte to a gigabyte.
            check_usage(
                not leads_out(name)
                and entry.compress_type in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
                and not entry.flag_bits & 1,
                f"{str(path)!r} has a member {name!r} whose path leads out of it, or that is "
                "encrypted, or not compressed by deflate",
                "unpack it with care, and use the folder",
            )
        yield ImageFiles(str(path), list(entries), lambda member: _unpack(archive, member))


def _read_file(path: Path) -> bytes:
    """Read a file, up to one byte above the limit for images, which decoding then rejects."""
    with path.open("rb") as file:
        return file.read(MAX_BYTES + 1)


def _unpack(archive: zipfile.ZipFile, name: str) -> bytes:
    """Unpack a member in bounded memory, because a zip may be a decompression bomb."""
    info = archive.getinfo(name)
    ensure(
        info.file_size <= MAX_BYTES,
        f"{name!r} has more than {MAX_BYTES >> 20} MiB",
        "crop or shrink the image first",
    )
    with archive.open(info) as file:
        # `read()` would unpack everything, even beyond the size in the zip's directory.
        return b"".join(iter(lambda: file.read(info.file_size + 1), b""))


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
    paths = dict.fromkeys(k for row in rows for k in row if k != "split" and _is_image(row[k]))
    columns = _choose_columns({name: name for name in paths}, role, str(path))
    # Rows may lack what is needed here, such as a mask.
    kept = [row for row in rows if all(row.get(column) for column in columns)]
    splits = [_split_of(row.get("split", "")) for row in kept]
    if None in splits and set(splits) != {None}:
        raise usage_error(
            f"{str(path)!r} has a split for some rows, but none, or an unknown one, for "
            f"{kept[splits.index(None)][columns[-1]]!r}",
            "write train, val or test in every row, or remove the column split",
        )
    named = ((split, row[columns[-1]]) for split, row in zip(splits, kept, strict=True))
    layout = _lay_out(named, columns)

    def read(member: str) -> bytes:
        row, column = layout[member]
        return _read_file(path.parent / kept[row][column])

    return ImageFiles(str(path), list(layout), read)


def _choose_columns(known: dict[str, str], role: Role, where: str) -> tuple[str, ...]:
    """Choose the columns for a role: (image,), (condition, image) or (mask,).

    `known` are the columns with images, by the names under which they are looked up.

    Raises:
        CaflowError: (exit 2) no column has an accepted name, and there is no single candidate.
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
        f"{where!r} has no column {wanted}, only {', '.join(known) or 'columns without images'}",
        "rename its columns, or write a manifest with image, condition, mask and split",
    )
    return tuple(columns[0] for columns in found)


def _lay_out(
    rows: Iterable[tuple[str | None, str]], columns: Sequence[str]
) -> dict[str, tuple[int, str]]:
    """Give every image a member name as in a folder; return its row and column by that name.

    Args:
        rows: The split (if any) and name of each row. A name that leads out of its folder, or that
            differs from another row's at most in its suffix, is prefixed with the row's number.
        columns: From `_choose_columns`; two columns are a pair, in `A/` and `B/`.
    """
    sides = ("A/", "B/") if len(columns) == 2 else ("",)
    found, taken = dict[str, tuple[int, str]](), set[str]()
    for row, (split, text) in enumerate(rows):
        folder = f"{split}/" if split else ""
        path = PurePosixPath(text.replace("\\", "/"))
        if leads_out(text) or folder + str(path.with_suffix("")) in taken:
            path = PurePosixPath(f"{row:08d}-{path.name}")
        taken.add(folder + str(path.with_suffix("")))
        for side, column in zip(sides, columns, strict=True):
            found[f"{folder}{side}{path}"] = row, column
    return found


def _split_of(name: str) -> Split | None:
    """The split in the name of a split, or of a file such as `data/train-00000.parquet`."""
    *folders, last = PurePosixPath(name.lower()).parts or ("",)
    first = re.split(r"[^a-z]", last, maxsplit=1)[0]
    return next((_SPLITS[w] for w in (first, *reversed(folders)) if w in _SPLITS), None)


def _checked(row: dict[str, str]) -> dict[str, str]:
    """Return the row; ValueError if a path has characters that file systems cannot have."""
    if b"\0" in "".join(row.values()).encode():
        raise ValueError("a path cannot contain a NUL character")
    return row


def _read(path: Path) -> list[dict[str, str]]:
    rows, line = list[dict[str, str]](), 0
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            if path.suffix.lower() == ".csv":
                reader = csv.DictReader(file, strict=True)
                if any(_is_image(name) for name in reader.fieldnames or ()):
                    raise ValueError("the first line must name columns: image, or condition,image")
                for row in reader:
                    line = reader.line_num
                    if None in row or None in row.values():
                        raise ValueError("it does not have as many fields as the first line")
                    rows.append(_checked(row))
            else:
                for text in file:
                    line += 1
                    if text.strip():
                        fields = dict(json.loads(text)).items()
                        rows.append(_checked({k: v for k, v in fields if isinstance(v, str)}))
    except (OSError, ValueError, TypeError, RecursionError, csv.Error) as error:
        reason = " ".join(str(getattr(error, "strerror", None) or error).split())[:200]
        raise usage_error(
            f"cannot read line {line or 1} of {str(path)!r}: {reason}",
            'use a CSV file with a header, or JSON lines such as {"image": "a.png"}, in UTF-8',
        ) from error
    check_usage(bool(rows), f"{str(path)!r} lists no images", "add lines to it")
    return rows


# --- what `datasets` reads: of the Hub, Parquet, WebDataset, `save_to_disk` -----------------------


def is_remote(data: str) -> bool:
    """Whether `datasets` reads it: `hf://owner/name`, Parquet or tar, or a folder of such files."""
    if data.startswith(_HUB) or PurePosixPath(data).suffix.lower() in _BUILDERS:
        return True
    path, endings = Path(data), tuple(_BUILDERS)
    saved = any((path / name).is_file() for name in _SAVED)
    return saved or bool(_walk(path, lambda name: name.lower().endswith(endings)))


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
    with _errors(data):
        parts = _load(data)
        known: dict[str, str] = {}
        for column, feature in (pair for part in parts.values() for pair in part.features.items()):
            binary = getattr(feature, "dtype", None) in ("binary", "large_binary")
            stored = isinstance(feature, dict) and "bytes" in feature
            if binary or stored or isinstance(feature, datasets.Image):
                known.setdefault(_name(column), column)
        columns = _choose_columns(known, role, data)
        tables = []
        for split, part in parts.items():
            table = part.select_columns(list(columns))
            for column in columns:
                table = table.cast_column(column, datasets.Image(decode=False))
            tables.append((split, table))
    places = [(table, row) for _, table in tables for row in range(len(table))]
    named = ((split, f"{row:08d}") for split, table in tables for row in range(len(table)))
    layout = _lay_out(named, columns)

    def load(member: str) -> bytes:
        number, column = layout[member]
        table, row = places[number]
        value = table[row][column]
        ensure(value is not None, "a row has no image", "remove it; up to 1 % are skipped")
        data: bytes | None = value["bytes"]  # None if the row names a file
        return data if data is not None else _read_file(Path(value["path"]))

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
    known: dict[Split | None, Any] = {}
    for name, part in loaded.items():
        known.setdefault(_split_of(name), part)
    return {k: v for k, v in known.items() if k is not None} or known


def _name(column: str) -> str:
    """A column's lookup name: in WebDataset, `condition` for `condition.png`, `image` for `png`."""
    stem, _, suffix = column.rpartition(".")
    return (stem or "image") if f".{suffix.lower()}" in SUFFIXES else column


@contextmanager
def _errors(data: str) -> Iterator[None]:
    try:
        yield
    except (CaflowError, MemoryError):
        raise
    except Exception as error:
        name = type(error).__name__
        text = " ".join(str(error).split())[:200] or name
        if not data.startswith(_HUB):
            raise usage_error(f"cannot read {data!r}: {text}", "use a complete copy") from error
        if any(part in name for part in ("NotFound", "EmptyDataset", "ValueError", "HFValidation")):
            raise usage_error(
                f"the Hub has no data set {data!r}: {text}",
                "check the name; for a private or gated set: hf auth login (or set HF_TOKEN)",
            ) from error
        raise CaflowError(
            f"cannot download {data!r}: {text}",
            "check the network (HF_ENDPOINT, HF_HUB_OFFLINE), and run the command again",
            EXIT_WEIGHTS,
        ) from error
