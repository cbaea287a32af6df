"""WebDataset shards: tar files, of which each sample is the files of one key.

Shards on disk are indexed, so that samples are read in any order. Others are read as they come.
"""

from __future__ import annotations

import random
import re
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ..errors import EXIT_USAGE, EXIT_WEIGHTS, CaflowError
from ..images import MAX_BYTES
from .address import SHARDS, Address
from .columns import choose_columns, lay_out, split_of
from .files import PictureFiles, Role, Split, is_picture, reading
from .folders import walk
from .tables import missing_extra

__all__ = ["is_shard", "open_shards", "stream_shards"]

_SCHEME = re.compile(r"[a-zA-Z][a-zA-Z0-9+.-]+:")  # two letters and more: one is a drive
_PEEK = 8  # samples that tell the columns of a stream


def is_shard(name: str) -> bool:
    """Whether a path, a pattern or a URL is one of shards."""
    return name.lower().endswith(SHARDS)


def open_shards(address: Address, role: Role) -> PictureFiles:
    """Open shards on disk: a tar file, a pattern such as `photos-{000..009}.tar`, or a folder.

    A shard whose name begins with train, val or test, or that lies in such a folder, is of that
    split.

    Raises:
        CaflowError: (exit 2) `webdataset` is missing, a shard is missing, broken or compressed, or
            no column is known.
    """
    shards = _shards(address)
    samples: list[tuple[Split | None, str, dict[str, tuple[Path, int, int]]]] = []
    for shard in shards:
        samples += [(_split(address, shard), *sample) for sample in _index(Path(shard))]
    names = list(dict.fromkeys(name for _, _, fields in samples for name in fields))
    columns = choose_columns(names, role, address.columns, address.text)
    kept = [sample for sample in samples if all(column in sample[2] for column in columns)]
    layout = lay_out([(split, key) for split, key, _ in kept], columns)

    def place(member: str) -> tuple[Path, int, int]:
        row, column = layout[member]
        return kept[row][2][column]

    def read(member: str) -> bytes:
        path, start, size = place(member)
        with path.open("rb") as file:
            file.seek(start)
            return file.read(min(size, MAX_BYTES + 1))

    def stamp(member: str) -> str:
        path, start, size = place(member)
        return f"{path} {path.stat().st_mtime_ns} {start} {size}"

    return PictureFiles(
        address.text, list(layout), lambda m: reading(read, m), stamp, lambda m: place(m)[2]
    )


def stream_shards(
    address: Address, split: Split, role: Role, seed: int | None
) -> Iterator[tuple[bytes, ...]] | None:
    """Read the shards of a split once as they come: the files of each sample.

    Args:
        address: The shards.
        split: The split; shards whose names say none are all of train.
        role: What is wanted of them.
        seed: Puts the shards in another order; None: as they are named.

    Returns:
        None if there are no shards of this split.
    """
    import webdataset

    shards = [s for s in _shards(address) if (_split(address, s) or "train") == split]
    if not shards:
        return None
    if seed is not None:
        random.Random(seed).shuffle(shards)

    def raw() -> Iterator[dict[str, Any]]:
        source = ({"url": shard} for shard in shards)
        try:
            yield from webdataset.tariterators.tarfile_samples(source)
        except Exception as error:
            raise CaflowError(
                f"cannot read {address.place!r}: {' '.join(str(error.args[0]).split())[:200]}",
                "check the names of the shards, and the network",
                EXIT_WEIGHTS,
            ) from error

    def examples() -> Iterator[tuple[bytes, ...]]:
        columns: tuple[str, ...] = ()
        waiting: list[dict[str, bytes]] = []

        def files(sample: dict[str, bytes]) -> Iterator[tuple[bytes, ...]]:
            if all(column in sample for column in columns):
                yield tuple(sample[column] for column in columns)

        for sample in raw():
            pictures = {
                _field(name): data for name, data in sample.items() if is_picture(f"x.{name}")
            }
            if columns:
                yield from files(pictures)
                continue
            waiting.append(pictures)
            if len(waiting) == _PEEK:
                columns = _columns(waiting, role, address)
                for one in waiting:
                    yield from files(one)
        if not columns and waiting:
            columns = _columns(waiting, role, address)
            for one in waiting:
                yield from files(one)

    return examples()


def _columns(samples: list[dict[str, bytes]], role: Role, address: Address) -> tuple[str, ...]:
    names = list(dict.fromkeys(name for sample in samples for name in sample))
    return choose_columns(names, role, address.columns, address.text)


def _shards(address: Address) -> list[str]:
    """All shards, in order of name."""
    try:
        import webdataset
    except ImportError as error:
        raise missing_extra("webdataset", address.text) from error
    if address.kind == "path" and address.path.is_dir():
        found = [str(address.path / name) for name in sorted(walk(address.path, is_shard))]
    else:
        found = list(webdataset.shardlists.expand_urls(address.place))
    for shard in found:
        # `webdataset` would run what stands behind `pipe:`, and programs for other schemes.
        if _SCHEME.match(shard) and not shard.startswith(("http://", "https://")):
            raise CaflowError(
                f"shards are not read from {shard.partition(':')[0]}: {shard!r}",
                "give files, or a URL that begins with https://",
                EXIT_USAGE,
            )
    if address.split is not None:
        found = [shard for shard in found if split_of(shard) == split_of(address.split)]
    return found


def _split(address: Address, shard: str) -> Split | None:
    """The split that the shard's own name says, or the folders between it and what was typed."""
    if address.split is not None:
        return None
    root = address.place if address.kind == "path" and address.path.is_dir() else ""
    return split_of(shard.removeprefix(root) if root else shard.rpartition("/")[2])


def _index(path: Path) -> list[tuple[str, dict[str, tuple[Path, int, int]]]]:
    """The samples of a shard: a name, and where the picture of each column lies."""
    from webdataset.tariterators import base_plus_ext

    found: dict[str, dict[str, tuple[Path, int, int]]] = {}
    names: dict[str, str] = {}  # with the suffix of the first picture, as in a folder
    try:
        with tarfile.open(path, "r:") as archive:
            for member in archive:
                key, suffix = base_plus_ext(member.name)
                if member.isreg() and not member.sparse and key and is_picture(member.name):
                    names.setdefault(key, f"{key}.{suffix.rpartition('.')[2]}")
                    place = path, member.offset_data, member.size
                    found.setdefault(key, {})[_field(suffix.lower())] = place
    except (OSError, tarfile.TarError) as error:
        reason = getattr(error, "strerror", None) or "it is no tar file, or a compressed one"
        raise CaflowError(
            f"cannot read the shard {str(path)!r}: {reason}", "tar -cf SHARD.tar FILES", EXIT_USAGE
        ) from error
    return [(names[key], fields) for key, fields in found.items()]


def _field(suffix: str) -> str:
    """The column of a file: `condition.png` is of `condition`, and `png` of `image`."""
    return suffix.rpartition(".")[0] or "image"
