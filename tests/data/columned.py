"""Sets with columns for tests: manifests, tables and shards of the same small pictures."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

from .stored import flat

Rows = list[dict[str, bytes]]


def rows(count: int, first: int = 0) -> Rows:
    """So many rows: a picture `image`, and a `condition` that is 100 levels darker."""
    numbers = range(first, first + count)
    return [{"condition": flat(i), "image": flat(100 + i)} for i in numbers]


def shard(path: Path, some: Rows, first: int = 0, mode: str = "w") -> Path:
    """The rows as a WebDataset shard: `000003.condition.png` and `000003.png`."""
    with tarfile.open(path, mode) as archive:
        for number, row in enumerate(some, first):
            for name, data in row.items():
                field = "" if name == "image" else f".{name}"
                member = tarfile.TarInfo(f"{number:06}{field}.png")
                member.size = len(data)
                archive.addfile(member, io.BytesIO(data))
            note = tarfile.TarInfo(f"{number:06}.json")
            archive.addfile(note, io.BytesIO(b""))
    return path


def parquet(path: Path, some: Rows, *, columns: tuple[str, ...] = ("image",)) -> Path:
    """The rows as a Parquet file as the Hub has them."""
    import datasets

    table = datasets.Dataset.from_dict({c: [{"bytes": r[c]} for r in some] for c in columns})
    for column in columns:
        table = table.cast_column(column, datasets.Image())
    path.parent.mkdir(parents=True, exist_ok=True)
    table.to_parquet(str(path))
    return path
