"""Sets that Hugging Face `datasets` reads: of the Hub, Parquet, WebDataset, `save_to_disk`."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any

from ..errors import EXIT_USAGE, EXIT_WEIGHTS, CaflowError
from ..images import SUFFIXES
from .folder import read_file, reading, walk
from .manifest import choose_columns, lay_out, split_of
from .split import ImageFiles, Role, Split

__all__ = ["is_remote", "open_remote"]

_HUB = "hf://"
_BUILDERS = {".parquet": "parquet", ".tar": "webdataset"}
_SAVED = ("dataset_dict.json", "state.json")  # of `save_to_disk`


def is_remote(data: str) -> bool:
    """Whether `datasets` reads it: `hf://owner/name`, a Parquet file or tar, or a folder of any."""
    if data.startswith(_HUB) or PurePosixPath(data).suffix.lower() in _BUILDERS:
        return True
    path = Path(data)
    return path.is_dir() and (any((path / s).is_file() for s in _SAVED) or bool(_tables(path)))


def open_remote(data: str, role: Role) -> ImageFiles:
    """Open a set by `datasets`, which keeps it in its cache.

    Its splits are used if their names, or those of files, state train, validation or test.

    Raises:
        CaflowError: (exit 2) `datasets` is not installed, there is no such set, or no column holds
            images. (exit 3) the Hub cannot be reached.
    """
    with _errors(data):
        parts = _load(data)
        known: dict[str, str] = {}
        for part in parts.values():
            for column in _image_columns(part):
                known.setdefault(_name(column), column)
        columns = choose_columns(known, role, data)
        tables = [(split, _undecoded(part, columns)) for split, part in parts.items()]
    places = [(table, row) for _, table in tables for row in range(len(table))]
    named = ((split, f"{row:08d}") for split, table in tables for row in range(len(table)))
    layout = lay_out(named, columns)

    def read(member: str) -> bytes:
        number, column = layout[member]
        table, row = places[number]
        return reading(lambda: _bytes(table[row][column]), member)

    return ImageFiles(data, list(layout), read)


def _load(data: str) -> dict[Split | None, Any]:
    """The tables of a set by split; None: all of a set whose splits have other names."""
    try:
        import datasets
    except ImportError as error:
        raise CaflowError(
            f"{data!r} is read by the package datasets, which is not installed",
            "pip install datasets",
            EXIT_USAGE,
        ) from error
    if not sys.stderr.isatty():
        datasets.disable_progress_bars()
    path = Path(data)
    if data.startswith(_HUB):
        name, _, revision = data.removeprefix(_HUB).removeprefix("datasets/").partition("@")
        loaded = datasets.load_dataset(name.rstrip("/"), revision=revision or None)
    elif any((path / name).is_file() for name in _SAVED):
        loaded = datasets.load_from_disk(data)
    else:
        tables = [str(path / t) for t in sorted(_tables(path))] if path.is_dir() else [data]
        by_split: dict[str, list[str]] = {}
        for table in tables:
            by_split.setdefault(split_of(table.removeprefix(data)) or "whole", []).append(table)
        if "whole" in by_split:
            by_split = {"whole": tables}
        loaded = datasets.load_dataset(
            _BUILDERS[Path(tables[0]).suffix.lower()], data_files=by_split
        )
    if not isinstance(loaded, dict):
        return {None: loaded}
    known: dict[Split | None, Any] = {}
    for name, part in loaded.items():
        known.setdefault(split_of(name), part)
    return {k: v for k, v in known.items() if k is not None} or known


def _tables(folder: Path) -> list[str]:
    """The Parquet files, or tars, in a folder that holds no images."""
    for suffix in _BUILDERS:
        if found := walk(folder, lambda name, s=suffix: name.lower().endswith(s)):  # type: ignore[misc]
            return found
    return []


def _image_columns(part: Any) -> list[str]:
    import datasets

    def holds(feature: Any) -> bool:
        if isinstance(feature, datasets.Value):
            return feature.dtype in ("binary", "large_binary")
        return isinstance(feature, datasets.Image) or (
            isinstance(feature, dict) and "bytes" in feature
        )

    return [name for name, feature in part.features.items() if holds(feature)]


def _name(column: str) -> str:
    """The name of a column: in WebDataset `condition.png` is `condition`, and `png` is `image`."""
    stem, _, suffix = column.rpartition(".")
    return (stem or "image") if f".{suffix.lower()}" in SUFFIXES else column


def _undecoded(part: Any, columns: tuple[str, ...]) -> Any:
    import datasets

    part = part.select_columns(list(columns))
    for column in columns:
        part = part.cast_column(column, datasets.Image(decode=False))
    return part


def _bytes(value: Any) -> bytes:
    """The file of an image, which a row holds, or names."""
    if value is None:
        raise CaflowError("a row has no image", "remove it, or up to 1 % is skipped")
    data: bytes | None = value["bytes"]
    return data if data is not None else read_file(Path(value["path"]))


@contextmanager
def _errors(data: str) -> Iterator[None]:
    """Turn failures of `datasets`, the client of the Hub and the disk into CaflowErrors."""
    try:
        yield
    except (CaflowError, MemoryError):
        raise
    except Exception as error:
        name = type(error).__name__
        text = " ".join(str(error).split())[:200] or name
        if not data.startswith(_HUB):
            raise CaflowError(
                f"cannot read {data!r}: {text}", "give a whole copy of it", EXIT_USAGE
            ) from error
        if (
            "NotFound" in name
            or "EmptyDataset" in name
            or name in ("ValueError", "HFValidationError")
        ):
            raise CaflowError(
                f"the Hub has no data set {data!r}: {text}",
                "correct the name; for a private or gated set: hf auth login (or set HF_TOKEN)",
                EXIT_USAGE,
            ) from error
        raise CaflowError(
            f"cannot download {data!r}: {text}",
            "check the network (HF_ENDPOINT, HF_HUB_OFFLINE), and run the command again",
            EXIT_WEIGHTS,
        ) from error
