"""Sets that Hugging Face `datasets` reads: of the Hub, Parquet, WebDataset, `save_to_disk`."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any

from ..errors import EXIT_WEIGHTS, CaflowError, usage_error
from ..images import SUFFIXES
from .folder import read_file, walk
from .manifest import choose_columns, lay_out, split_of
from .split import ImageFiles, Role, Split

_HUB = "hf://"
_BUILDERS = {".parquet": "parquet", ".tar": "webdataset"}
_SAVED = ("dataset_dict.json", "state.json")  # of `save_to_disk`


def is_remote(data: str) -> bool:
    """Whether `datasets` reads it: `hf://owner/name`, a Parquet file or tar, or a folder of any."""
    if data.startswith(_HUB) or PurePosixPath(data).suffix.lower() in _BUILDERS:
        return True
    path, endings = Path(data), tuple(_BUILDERS)
    saved = any((path / name).is_file() for name in _SAVED)
    return saved or bool(walk(path, lambda name: name.lower().endswith(endings)))


def open_remote(data: str, role: Role) -> ImageFiles:
    """Open a set by `datasets`, which keeps it in its cache.

    Its splits are used if their names, or those of files, state train, validation or test.

    Raises:
        CaflowError: (exit 2) `datasets` is not installed, there is no such set, or no column holds
            images. (exit 3) the Hub cannot be reached.
    """
    try:
        import datasets
    except ImportError as error:
        message = f"{data!r} is read by the package datasets, which is not installed"
        raise usage_error(message, "pip install datasets") from error
    with _errors(data):
        parts = _load(data)
        known: dict[str, str] = {}
        for column, feature in (pair for part in parts.values() for pair in part.features.items()):
            binary = getattr(feature, "dtype", None) in ("binary", "large_binary")
            stored = isinstance(feature, dict) and "bytes" in feature
            if binary or stored or isinstance(feature, datasets.Image):
                known.setdefault(_name(column), column)
        columns = choose_columns(known, role, data)
        tables = []
        for split, part in parts.items():
            table = part.select_columns(list(columns))
            for column in columns:
                table = table.cast_column(column, datasets.Image(decode=False))
            tables.append((split, table))
    places = [(table, row) for _, table in tables for row in range(len(table))]
    named = ((split, f"{row:08d}") for split, table in tables for row in range(len(table)))
    layout = lay_out(named, columns)

    def load(member: str) -> bytes:
        number, column = layout[member]
        table, row = places[number]
        value = table[row][column]
        if value is None:
            raise CaflowError("a row has no image", "remove it, or up to 1 % is skipped")
        data: bytes | None = value["bytes"]  # or the row names a file
        return data if data is not None else read_file(Path(value["path"]))

    return ImageFiles(data, list(layout), load)


def _load(data: str) -> dict[Split | None, Any]:
    """The tables of a set by split; None: all of a set whose splits have other names."""
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
        known.setdefault(split_of(name), part)
    return {k: v for k, v in known.items() if k is not None} or known


def _name(column: str) -> str:
    """The name of a column: in WebDataset `condition.png` is `condition`, and `png` is `image`."""
    stem, _, suffix = column.rpartition(".")
    return (stem or "image") if f".{suffix.lower()}" in SUFFIXES else column


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
            raise usage_error(f"cannot read {data!r}: {text}", "give a whole copy of it") from error
        missing = ("NotFound", "EmptyDataset", "ValueError", "HFValidationError")
        if any(part in name for part in missing):
            raise usage_error(
                f"the Hub has no data set {data!r}: {text}",
                "correct the name; for a private or gated set: hf auth login (or set HF_TOKEN)",
            ) from error
        raise CaflowError(
            f"cannot download {data!r}: {text}",
            "check the network (HF_ENDPOINT, HF_HUB_OFFLINE), and run the command again",
            EXIT_WEIGHTS,
        ) from error
