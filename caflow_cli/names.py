"""Names of files: `face` becomes `face_superres_01`, and has a mask `face_mask`."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

# Files that belong to one image each: the option that names them, and the ending of their names.
COMPANIONS = ("mask", "hints")
MARKS = "marks"  # the ending of the image with its mask
INFRARED = ("IR", "ir")  # endings of a scan's infrared channel
ENDS = ("low", "high")  # of an interval's two images, beside a result
CROP = "crop"  # of the result of a part of an image


class Name(NamedTuple):
    """The parts of a stem."""

    source: str  # the stem of the image that it was made from, or belongs to; else the whole
    kind: str = ""  # the command that made it, one of COMPANIONS or INFRARED, or MARKS
    part: str = ""  # CROP, or nothing
    rank: str = ""  # its digits, if several results were written
    end: str = ""  # one of ENDS

    @property
    def is_result(self) -> bool:
        """Whether it is a candidate for a whole image that a command wrote."""
        return self.kind in commands() and not self.end and not self.part


def commands() -> set[str]:
    """The commands that write candidates."""
    from .tasks import TASKS  # here, so that `--help` needs no NumPy

    return {task.command for task in TASKS.values()}


def parse(stem: str) -> Name:
    """Take a stem apart.

    Examples:
        >>> parse("face_superres_01")
        Name(source='face', kind='superres', part='', rank='01', end='')
        >>> parse("face_mask")
        Name(source='face', kind='mask', part='', rank='', end='')
        >>> parse("face_01")
        Name(source='face_01', kind='', part='', rank='', end='')
    """
    result = rf"({'|'.join(commands())})(?:_({CROP}))?(?:_(\d+))?(?:_({'|'.join(ENDS)}))?"
    other = "|".join((*COMPANIONS, MARKS, *INFRARED))
    match = re.fullmatch(rf"(.+)_(?:{result}|({other}))", stem)
    if match is None:
        return Name(stem)
    source, command, part, rank, end, kind = match.groups(default="")
    return Name(source, command or kind, part, rank, end)


def make(stem: str, *parts: str) -> str:
    """Join a stem and the parts of a name; empty ones are left out.

    Examples:
        >>> make("face", "superres", "01")
        'face_superres_01'
    """
    return "_".join(filter(None, (stem, *parts)))


def numbered(path: Path, keep: int) -> list[Path]:
    """The path for each rank: the path itself if `keep` is 1, else with `_01`, ... in its stem."""
    digits = max(2, len(str(keep)))
    ranks = [f"{rank:0{digits}d}" for rank in range(1, keep + 1)] if keep > 1 else [""]
    return [path.with_stem(make(path.stem, rank)) for rank in ranks]
