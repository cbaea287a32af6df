"""Tables with columns of pictures: sets of the Hub, Parquet files, and sets that `datasets` saved.

Hugging Face `datasets` reads them; rows are mapped from files, so any of them is read in any order.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ..errors import EXIT_USAGE, EXIT_WEIGHTS, CaflowError
from ..images import MAX_BYTES
from .address import PARQUET, Address
from .columns import choose_columns, lay_out, split_of
from .files import PictureFiles, Role, Split, reading
from .folders import walk

__all__ = ["is_saved_set", "is_table", "missing_extra", "open_table", "stream_table"]

_SAVED = (("dataset_dict.json",), ("state.json", "dataset_info.json"))  # of `save_to_disk`

_ALL = "pictures"  # name of the only split of a set without splits


def missing_extra(package: str, data: str) -> CaflowError:
    """The error for a kind of data whose library is not installed."""
    return CaflowError(
        f"{data!r} is read by the package {package}, which is not installed",
        'pip install "caflow-cli[data]"',
        EXIT_USAGE,
    )


def is_saved_set(folder: Path) -> bool:
    """Whether `datasets` has saved a set there."""
    return any(all((folder / name).is_file() for name in names) for names in _SAVED)


def is_table(name: str) -> bool:
    """Whether a file holds a table."""
    return name.lower().endswith(PARQUET)


def open_table(address: Address, role: Role) -> PictureFiles:
    """Open a set of the Hub (which is downloaded and kept in its cache), or one on disk.

    Raises:
        CaflowError: (exit 2) `datasets` is missing, there is no such set, or none of its columns
            holds pictures. (exit 3) the Hub cannot be reached.
    """
    parts = _load(address, streaming=False)
    names = list(dict.fromkeys(name for part in parts.values() for name in _columns(part)))
    columns = choose_columns(names, role, address.columns, address.text)
    starts, tables = [], []
    rows: list[tuple[str | None, str]] = []
    for split, part in parts.items():
        starts.append(len(rows))
        tables.append(_undecoded(part, columns))
        rows += [(split, f"{row:08d}") for row in range(len(part))]
    layout = lay_out(rows, columns)

    def place(member: str) -> tuple[Any, int, str]:
        row, column = layout[member]
        number = max(k for k, start in enumerate(starts) if start <= row)
        return tables[number], row - starts[number], column

    def read(member: str) -> bytes:
        table, row, column = place(member)
        return _bytes(table[row][column])

    def stamp(member: str) -> str:
        table, row, column = place(member)
        return f"{table._fingerprint} {row} {column}"

    return PictureFiles(address.text, list(layout), lambda m: reading(read, m), stamp, lambda _: 0)


def stream_table(
    address: Address, split: Split, role: Role, seed: int | None
) -> Iterator[tuple[bytes, ...]] | None:
    """Read a split once as it comes: the files of each example. None if there is no such split.

    Args:
        address: The set.
        split: The split.
        role: What is wanted of it.
        seed: Puts its files in another order; None: as they are stored.
    """
    parts = _load(address, streaming=True)
    part = parts.get(None if split == "train" and None in parts else split)
    if part is None:
        return None
    with _hub_errors(address):
        if part.features is None:
            first: dict[str, Any] = next(iter(part.take(1)), {})
            names = [name for name, value in first.items() if _is_stored_picture(value)]
        else:
            names = _columns(part)
        columns = choose_columns(names, role, address.columns, address.text)
        part = _undecoded(part, columns)
        if seed is not None:
            part = part.shuffle(seed=seed, buffer_size=1)  # of files: a buffer is the run's own

    def examples() -> Iterator[tuple[bytes, ...]]:
        with _hub_errors(address):
            for row in part:
                yield tuple(_bytes(row[column]) for column in columns)

    return examples()


def _load(address: Address, streaming: bool) -> dict[Split | None, Any]:
    """The tables of a set by split; None: all of a set without known splits."""
    try:
        import datasets
    except ImportError as error:
        raise missing_extra("datasets", address.text) from error
    if not sys.stderr.isatty():
        datasets.disable_progress_bars()
    with _hub_errors(address):
        if address.kind == "hub":
            name, _, revision = address.place.partition("@")
            loaded = datasets.load_dataset(
                name, address.subset, revision=revision or None, streaming=streaming
            )
        elif address.path.is_dir() and is_saved_set(address.path):
            loaded = datasets.load_from_disk(address.place)
            if streaming:
                raise CaflowError(
                    f"{address.place!r} is on disk, and needs no stream",
                    f"--data {address.place}",
                    EXIT_USAGE,
                )
        else:
            loaded = datasets.load_dataset(
                "parquet", data_files=_parquet_files(address.path), streaming=streaming
            )
    if not isinstance(loaded, dict):
        loaded = {_ALL: loaded}
    if address.split is not None:
        if address.split not in loaded:
            raise CaflowError(
                f"{address.text!r} has no split {address.split!r}, but {', '.join(loaded)}",
                f"split={next(iter(loaded))} there",
                EXIT_USAGE,
            )
        return {None: loaded[address.split]}
    known: dict[Split | None, Any] = {}
    for name, part in loaded.items():
        if split_of(name) is not None:
            known.setdefault(split_of(name), part)
    if known:
        return known
    if len(loaded) > 1:
        raise CaflowError(
            f"{address.text!r} has the splits {', '.join(loaded)}, none of which is train",
            f"--data '{address.text.partition('#')[0]}#split={next(iter(loaded))}'",
            EXIT_USAGE,
        )
    [only] = loaded.values()
    return {None: only}


def _parquet_files(path: Path) -> dict[str, list[str]]:
    """The Parquet files of a folder by split; a file, and files whose names say none, are all."""
    if path.is_file():
        return {_ALL: [str(path)]}
    files = sorted(walk(path, is_table))
    splits: dict[str, list[str]] = {}
    for name in files:
        splits.setdefault(split_of(name) or _ALL, []).append(str(path / name))
    return {_ALL: [str(path / name) for name in files]} if _ALL in splits else splits


def _columns(part: Any) -> list[str]:
    """The columns that hold pictures: files of them, in bytes or by path."""
    import datasets

    def holds(feature: Any) -> bool:
        if isinstance(feature, datasets.Value):
            return feature.dtype in ("binary", "large_binary")
        return isinstance(feature, datasets.Image) or (
            isinstance(feature, dict) and "bytes" in feature
        )

    return [name for name, feature in (part.features or {}).items() if holds(feature)]


def _undecoded(part: Any, columns: tuple[str, ...]) -> Any:
    import datasets

    part = part.select_columns(list(columns))
    for column in columns:
        part = part.cast_column(column, datasets.Image(decode=False))
    return part


def _is_stored_picture(value: Any) -> bool:
    return (
        isinstance(value, bytes)
        or hasattr(value, "getbands")
        or (isinstance(value, dict) and "bytes" in value)
    )


def _bytes(value: Any) -> bytes:
    """The file of a picture, which a row holds, or names."""
    if value is None:
        raise CaflowError("a row has no picture", "remove it, or up to 1 % is skipped")
    data: bytes | None = value["bytes"]
    if data is not None:
        return data
    import fsspec

    with fsspec.open(value["path"], "rb") as file:
        found: bytes = file.read(MAX_BYTES + 1)
    return found


@contextmanager
def _hub_errors(address: Address) -> Iterator[None]:
    """Turn failures of `datasets`, the client of the Hub and the disk into CaflowErrors."""
    try:
        yield
    except (CaflowError, MemoryError):
        raise
    except Exception as error:
        name = type(error).__name__
        text = " ".join(str(error).split())[:200] or name
        if address.kind != "hub":
            raise CaflowError(
                f"cannot read {address.text!r}: {text}", "give a whole copy of it", EXIT_USAGE
            ) from error
        if "NotFound" in name or "EmptyDataset" in name or name == "ValueError":
            raise CaflowError(
                f"the Hub gives no data set {address.place!r}: {text}",
                "correct the name; for a private or gated set: hf auth login (or set HF_TOKEN)",
                EXIT_USAGE,
            ) from error
        raise CaflowError(
            f"cannot download {address.place!r}: {text}",
            "check the network (HF_ENDPOINT, HF_HUB_OFFLINE), and run the command again",
            EXIT_WEIGHTS,
        ) from error
