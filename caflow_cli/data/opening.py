"""The one way into every kind of set: a folder, a zip, a manifest, shards, a table, a stream."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ..errors import CaflowError
from ..images import read_image
from ..paths import is_folder
from .address import MANIFESTS, Address
from .files import PictureFiles, Role, Split, choose
from .folders import open_folder, walk
from .manifest import open_manifest
from .missing import check_there
from .shards import is_shard, open_shards
from .streams import first_of
from .tables import is_saved_set, is_table, open_table
from .zips import open_zip

__all__ = ["condition_channels", "count_pictures", "open_files"]

_PEEK = 32  # pictures that are looked at to tell whether conditions are grey


@contextmanager
def open_files(
    data: str | Path,
    role: Role = "pictures",
    split: Split | None = None,
    limit: int | None = None,
) -> Iterator[PictureFiles]:
    """Open a set of pictures of any kind, as an `Address` names it.

    Args:
        data: What `--data` says.
        role: What is taken from a set with columns. Folders and zips are taken as they are.
        split: Of a stream alone, whose first examples are held: the split that is read.
        limit: Of a stream alone: how many examples are held.

    Raises:
        CaflowError: (exit 2) there is nothing, or nothing that can be read.
    """
    check_there(data)
    address = Address.of(data)
    place = address.path
    if address.stream:
        yield first_of(address, role, split, limit)
    elif address.kind == "hub":
        yield open_table(address, role)
    elif is_folder(place):
        yield _in_folder(address, role)
    elif is_shard(address.place):
        yield open_shards(address, role)
    elif place.suffix.lower() in MANIFESTS:
        yield open_manifest(address, role)
    elif is_table(address.place):
        yield open_table(address, role)
    else:
        with open_zip(place) as files:
            yield files


def _in_folder(address: Address, role: Role) -> PictureFiles:
    """A folder of pictures; without any, of shards or tables; or a set that `datasets` saved."""
    place = address.path
    if is_saved_set(place):
        return open_table(address, role)
    files = open_folder(place)
    if not files.members:
        if walk(place, is_shard):
            return open_shards(address, role)
        if walk(place, is_table):
            return open_table(address, role)
    return files


def count_pictures(data: str | Path, *, seed: int = 0, paired: bool = False) -> dict[Split, int]:
    """Count the pictures, or pairs, of each split. Nothing is decoded.

    Raises:
        CaflowError: As for `choose`, with the splits that training needs.
    """
    with open_files(data, "pairs" if paired else "pictures") as files:
        splits: tuple[Split, ...] = ("train", "val", "test")
        return {split: len(choose(files, split, seed, paired=paired)) for split in splits}


def condition_channels(data: str | Path) -> int:
    """The number of channels for a paired set's conditions: 1 if the ones looked at are grey.

    They are spread evenly over the training pairs; of a stream they are its first.
    """
    split: Split = "train"
    with open_files(data, "pairs", split, _PEEK) as files:
        if Address.of(data).stream:
            members = files.members[::2]
        else:
            pairs = choose(files, split, 0, paired=True)
            count = min(_PEEK, len(pairs))
            members = [pairs[i * len(pairs) // count].members[0] for i in range(count)]
        for member in members:
            try:
                picture = read_image(io.BytesIO(files.read(member)), name=member)
            except CaflowError:
                continue  # loading names it
            if (picture != picture[..., :1]).any():
                return 3
    return 1
