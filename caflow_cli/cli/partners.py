"""Files that belong together: an image and its mask, a target and its condition."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ..errors import EXIT_USAGE, CaflowError
from ..paths import exists, is_folder, without_ending
from .inputs import InputPicture, find_inputs

__all__ = ["Masks", "Pair", "plan_pairs"]

_Stem = tuple[Path, str]  # the subfolder of an image, and its stem


class Masks:
    """The masks of images: one file for all, or a folder with a mask of each image's stem.

    Images found in subfolders have their masks in subfolders of the same names.

    Args:
        mask: As typed; None: there are no masks.
        images: Those that `of` is asked about.

    Raises:
        CaflowError: (exit 2) there is no such mask, the folder lacks one or has two for an image,
            or stdin is named twice.
    """

    def __init__(self, mask: str | None, images: Sequence[InputPicture]) -> None:
        self._for_all: InputPicture | None = None
        self._by_stem: dict[_Stem, InputPicture] | None = None
        if mask is None:
            return
        if mask == "-" and (len(images) > 1 or any(one.name == "-" for one in images)):
            raise CaflowError("stdin holds one image", "name the mask's file", EXIT_USAGE)
        if is_folder(mask):
            known = self._by_stem = _by_stem(find_inputs([mask], recursive=True).sources)
            missing = [one for one in images if (one.inside, one.stem) not in known]
            if missing:
                first = Path(mask) / missing[0].inside / f"{missing[0].stem}.png"
                raise CaflowError(
                    f"no mask in {mask!r} for {_named(missing)}",
                    f"{first}, white where the image is filled",
                    EXIT_USAGE,
                )
            return
        self._for_all = find_inputs([mask]).sources[0]
        if self._for_all.path is not None and not exists(self._for_all.path):
            raise CaflowError(f"no mask {mask!r}", "check the path for a typing error", EXIT_USAGE)

    def of(self, image: InputPicture) -> InputPicture | None:
        """The mask of one image; None if there are no masks."""
        if self._by_stem is None:
            return self._for_all
        return self._by_stem[image.inside, image.stem]


@dataclass(frozen=True)
class Pair:
    """A target, the condition that it was made from, and the mask if there is one."""

    cond: InputPicture
    target: InputPicture
    mask: InputPicture | None = None

    @property
    def sources(self) -> list[InputPicture]:
        """All images that are read."""
        return [one for one in (self.cond, self.target, self.mask) if one is not None]

    @property
    def names(self) -> dict[str, str]:
        """Its images' names, as JSON states them."""
        names = {"cond": self.cond.name, "target": self.target.name}
        return names if self.mask is None else {**names, "mask": self.mask.name}


def plan_pairs(cond: str, target: str, mask: str | None, *, recursive: bool = False) -> list[Pair]:
    """The pairs to be scored, in the order of the targets.

    Two files are a pair. With a file and a folder of targets, every target is scored under that
    file. With two folders, a target belongs to the condition with its stem, or with its stem
    without the ending that our commands add (`face_superres_01` belongs to `face`). With
    `recursive`, both lie in subfolders of the same name. The mask is one file for all, or a folder
    in which the stems are those of the conditions.

    Args:
        cond, target, mask: As typed.
        recursive: Search the folders in folders too.

    Raises:
        CaflowError: (exit 2) an image has no partner (the message names it), stdin is named twice,
            or there is a folder of conditions for one target.
    """
    if (cond, target, mask).count("-") > 1:
        raise CaflowError("stdin cannot be two images", "name a file", EXIT_USAGE)
    if is_folder(cond) and not is_folder(target):
        message = f"{cond!r} is a folder, {target!r} is one image"
        raise CaflowError(message, "--cond FILE", EXIT_USAGE)
    # Targets, or masks, may lie in a folder within that of the conditions.
    aside = [Path(name) for name in (target, mask) if name is not None]
    conditions = find_inputs([cond], recursive=recursive, aside=aside).sources
    targets = find_inputs([target], recursive=recursive).sources
    of_target: dict[int, InputPicture] = {}  # by the target's place
    known = _by_stem(conditions) if is_folder(cond) else {}
    for place, one in enumerate(targets):
        stems = (one.stem, without_ending(one.stem) or "")
        found = [known[one.inside, stem] for stem in stems if (one.inside, stem) in known]
        if found or not is_folder(cond):
            of_target[place] = (found or conditions)[0]
    alone = [one for place, one in enumerate(targets) if place not in of_target]
    used = {one.name for one in of_target.values()}
    alone += [one for one in conditions if one.name not in used]
    if alone:
        raise CaflowError(
            f"no partner for {_named(alone)}",
            "give both folders images of the same names, whatever their suffixes",
            EXIT_USAGE,
        )
    masks = Masks(mask, list(of_target.values()))
    return [
        Pair(condition, targets[place], masks.of(condition))
        for place, condition in of_target.items()
    ]


def _by_stem(sources: Sequence[InputPicture]) -> dict[_Stem, InputPicture]:
    """Images by subfolder and stem. CaflowError (exit 2) if two have one stem."""
    found: dict[_Stem, InputPicture] = {}
    for source in sources:
        other = found.setdefault((source.inside, source.stem), source)
        if other is not source:
            raise CaflowError(
                f"{other.name!r} and {source.name!r} differ only in their suffix",
                "give images of a folder names that differ in more than the suffix",
                EXIT_USAGE,
            )
    return found


def _named(sources: Sequence[InputPicture]) -> str:
    """The names; if there are many, only the first ones."""
    names = ", ".join(repr(source.name) for source in sources[:5])
    return names if len(sources) <= 5 else f"{names} and {len(sources) - 5} more"
