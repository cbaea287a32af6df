"""Streams: sets that are read as they come, because they are too large to be kept or are far away.

A stream has no place to go back to. So a run that goes on reads it from its beginning, in another
order of its files, and does not repeat an uninterrupted run bit for bit.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from itertools import islice

from ..errors import EXIT_USAGE, CaflowError
from .address import Address
from .files import PictureFiles, Role, Split
from .shards import is_shard, stream_shards
from .tables import stream_table

__all__ = ["endless", "first_of"]

_Files = tuple[bytes, ...]  # of an example


def first_of(address: Address, role: Role, split: Split | None, limit: int | None) -> PictureFiles:
    """The first examples of a stream, kept in memory as files.

    Args:
        address: The set.
        role: What is wanted of it.
        split: None: test if there is one, else train, without a name. Without a split "val", these
            are the first examples of "train", which `endless` leaves out.
        limit: How many.

    Raises:
        CaflowError: (exit 2) there is no limit, or as for the kind of data.
    """
    if limit is None:
        raise CaflowError(
            f"{address.text!r} is a stream, whose end is not known",
            "--limit N takes its first pictures",
            EXIT_USAGE,
        )
    held: dict[str, bytes] = {}
    examples = _once(address, split or "test", role, None)
    folder = f"{split}/" if split else "test/" if examples is not None else ""
    examples = examples or _once(address, "train", role, None)
    for number, files in enumerate(islice(examples or (), limit)):
        sides = ("A/", "B/") if len(files) == 2 else ("",)
        for side, data in zip(sides, files, strict=True):
            held[f"{folder}{side}{number:08d}"] = data
    return PictureFiles(
        address.text,
        list(held),
        held.__getitem__,
        lambda m: hashlib.sha256(held[m]).hexdigest(),
        lambda m: len(held[m]),
    )


def endless(
    address: Address, role: Role, seed: int, held_out: int, share: tuple[int, int] = (0, 1)
) -> Iterator[_Files]:
    """The training examples of a stream, over and over, in another order of its files each time.

    Args:
        address: The set.
        role: What is wanted of it.
        seed: Chooses the orders.
        held_out: How many examples `first_of` takes for validation; they are left out here if the
            set has no split for them. Copies of them are left out, too.
        share: Of all examples, those of one process: (its number, their count).
    """
    apart: set[bytes] = set()
    if _once(address, "val", role, None) is None:
        first = _once(address, "train", role, None) or iter(())
        apart = {_digest(files) for files in islice(first, held_out)}
    process, processes = share
    while True:
        examples = _once(address, "train", role, seed)
        own = islice(examples or (), process, None, processes)
        some = False
        for files in own:
            if not apart or _digest(files) not in apart:
                some = True
                yield files
        if not some:
            raise CaflowError(
                f"{address.text!r} has no pictures to learn from, beside {len(apart)} to validate",
                "--set validation_images=N takes fewer, or give a longer set",
                EXIT_USAGE,
            )
        seed += 1


def _once(address: Address, split: Split, role: Role, seed: int | None) -> Iterator[_Files] | None:
    if is_shard(address.place):
        return stream_shards(address, split, role, seed)
    return stream_table(address, split, role, seed)


def _digest(files: _Files) -> bytes:
    return hashlib.sha256(b"".join(files)).digest()
