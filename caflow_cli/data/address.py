"""The address of a set of pictures: what `--data` names, and how it is to be read."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePath
from typing import Literal

from ..errors import EXIT_USAGE, CaflowError
from ..paths import exists

__all__ = ["COLUMNS", "MANIFESTS", "PARQUET", "SHARDS", "Address"]

COLUMNS = ("image", "condition", "target", "mask")  # of a set, by what they hold
SHARDS, PARQUET, MANIFESTS = (".tar",), (".parquet",), (".csv", ".jsonl")
_KEYS = (*COLUMNS, "split", "subset")
_HUB = re.compile(r"\w[\w.-]*/[\w.-]+(@[\w./-]+)?")
_URL = re.compile(r"[a-zA-Z][a-zA-Z0-9+.-]+://")
_FILES = (".zip", *SHARDS, *PARQUET, *MANIFESTS)


@dataclass(frozen=True)
class Address:
    """A set of pictures, as `--data` names it.

    `PLACE#key=value,...` says after the place how a set with columns is read: which column holds
    what (`image`, `condition`, `target`, `mask`), which `split` and which `subset` is meant, and
    `stream` for one that is read as it comes.

    Attributes:
        text: All of it, as typed.
        place: A path, a pattern of shards, a URL, or `owner/name` of the Hub, without `hf://`.
        kind: Which of them it is.
        columns: The column of each that is named.
        split: The one split that is read as the whole set.
        subset: The configuration of a set of the Hub.
        stream: Whether it is read as it comes, without an order that can be repeated.

    Examples:
        >>> from caflow_cli.data.address import Address
        >>> address = Address.of("hf://owner/photos@main#image=photo,stream")
        >>> address.place, address.kind, address.columns, address.stream
        ('owner/photos@main', 'hub', {'image': 'photo'}, True)
    """

    text: str
    place: str
    kind: Literal["path", "hub", "url"] = "path"
    columns: Mapping[str, str] = field(default_factory=dict)
    split: str | None = None
    subset: str | None = None
    stream: bool = False

    @classmethod
    def of(cls, data: str | Path) -> Address:
        """Read what was typed.

        Raises:
            CaflowError: (exit 2) a key is unknown, a URL is none of shards, or what follows `hf://`
                is no name.
        """
        text = str(data)
        if isinstance(data, Path) or exists(text):
            return cls(text, text)
        place, mark, words = text.partition("#")
        options = _options(words, text) if mark else {}
        stream = options.pop("stream", "") == "true"
        split, subset = options.pop("split", None), options.pop("subset", None)
        kind: Literal["path", "hub", "url"] = "path"
        if place.startswith("hf://"):
            kind, place = "hub", place[5:].removeprefix("datasets/").rstrip("/")
            if not _HUB.fullmatch(place):
                raise CaflowError(
                    f"{text!r} names no data set of the Hub",
                    "--data hf://owner/name, or hf://owner/name@revision",
                    EXIT_USAGE,
                )
        elif _URL.match(place):
            kind = "url"
            if not place.endswith(SHARDS):
                raise CaflowError(
                    f"--data is the URL {place!r}, which is not read",
                    "download it, and give the folder or zip; or hf://owner/name of the Hub",
                    EXIT_USAGE,
                )
            if not stream:
                raise CaflowError(
                    f"shards at a URL are read as they come: {place!r}",
                    f"--data '{text}{',' if mark else '#'}stream', or download them",
                    EXIT_USAGE,
                )
        elif _may_be_hub(place):
            kind = "hub"
        return cls(text, place, kind, options, split, subset, stream)

    @property
    def path(self) -> Path:
        """The path, if it is one."""
        return Path(self.place)


def _may_be_hub(place: str) -> bool:
    """Whether `owner/name` can be no path: a wrong path must not be sent over the network."""
    return (
        _HUB.fullmatch(place) is not None
        and not place.endswith(_FILES)
        and not exists(place)
        and not exists(PurePath(place).parts[0])
    )


def _options(words: str, text: str) -> dict[str, str]:
    options: dict[str, str] = {}
    for word in words.split(","):
        key, equals, value = word.strip().partition("=")
        if key == "stream" and value in ("", "true"):
            options[key] = "true"
        elif key in _KEYS and equals and value:
            options[key] = value
        else:
            raise CaflowError(
                f"{word!r} in {text!r} says nothing known",
                f"{', '.join(f'{key}=NAME' for key in _KEYS)}, or stream",
                EXIT_USAGE,
            )
    return options
