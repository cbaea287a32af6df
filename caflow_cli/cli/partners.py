"""Files that belong together: a picture and its mask, a target and its condition."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ..errors import EXIT_USAGE, CaflowError
from ..paths import exists, is_folder, without_ending
from .inputs import InputPicture, find_inputs

__all__ = ["Masks", "Pair", "plan_pairs"]

_NAMED = 5  # of the names that an error lists


class Masks:
    """The masks of pictures: one file for all, or a folder with a mask of each picture's stem.

    Pictures found in subfolders have their masks in subfolders of the same names.

    Args:
        mask: As typed; None: there are no masks.
        pictures: Those that `of` is asked about.

    Raises:
        CaflowError: (exit 2) there is no such mask, the folder lacks one or has two for a picture,
            or stdin is named twice.
    """

    def __init__(self, mask: str | None, pictures: Sequence[InputPicture]) -> None:
        self._for_all: InputPicture | None = None
        self._by_stem: dict[tuple[Path, str], InputPicture] | None = None
        if mask is None:
            return
        if mask == "-" and (len(pictures) > 1 or any(one.name == "-" for one in pictures)):
            raise CaflowError("stdin holds one picture", "name the mask's file", EXIT_USAGE)
        if is_folder(mask):
            self._by_stem = _by_stem(find_inputs([mask], recursive=True).sources)
            self._check_complete(mask, pictures)
            return
        self._for_all = find_inputs([mask]).sources[0]
        if self._for_all.path is not None and not exists(self._for_all.path):
            raise CaflowError(f"no mask {mask!r}", "check the path for a typing error", EXIT_USAGE)

    def of(self, picture: InputPicture) -> InputPicture | None:
        """The mask of one picture; None if there are no masks."""
        if self._by_stem is None:
            return self._for_all
        return self._by_stem[picture.inside, picture.stem]

    def _check_complete(self, mask: str, pictures: Sequence[InputPicture]) -> None:
        known = self._by_stem or {}
        missing = [one for one in pictures if (one.inside, one.stem) not in known]
        if missing:
            first = Path(mask) / missing[0].inside / f"{missing[0].stem}.png"
            raise CaflowError(
                f"no mask in {mask!r} for {_named(missing)}",
                f"{first}, white where the picture is filled",
                EXIT_USAGE,
            )


@dataclass(frozen=True)
class Pair:
    """A target, the condition that it was made from, and the mask if there is one."""

    cond: InputPicture
    target: InputPicture
    mask: InputPicture | None = None

    @property
    def sources(self) -> list[InputPicture]:
        """All pictures that are read."""
        pair = [self.cond, self.target]
        return pair if self.mask is None else [*pair, self.mask]

    @property
    def names(self) -> dict[str, str]:
        """Its pictures' names, as JSON states them."""
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
        CaflowError: (exit 2) a picture has no partner (the message names it), stdin is named twice,
            or there is a folder of conditions for one target.
    """
    if (cond, target, mask).count("-") > 1:
        raise CaflowError("stdin cannot be two pictures", "name a file", EXIT_USAGE)
    if is_folder(cond) and not is_folder(target):
        raise CaflowError(
            f"{cond!r} is a folder, {target!r} is one picture", "--cond FILE", EXIT_USAGE
        )
    # Targets, or masks, may lie in a folder within that of the conditions.
    aside = [Path(name) for name in (target, mask) if name is not None]
    conditions = find_inputs([cond], recursive=recursive, aside=aside).sources
    targets = find_inputs([target], recursive=recursive).sources
    if is_folder(cond):
        pairs = _match(conditions, targets)
    else:
        pairs = [(conditions[0], one) for one in targets]
    masks = Masks(mask, [condition for condition, _ in pairs])
    return [Pair(condition, one, masks.of(condition)) for condition, one in pairs]


def _match(
    conditions: list[InputPicture], targets: list[InputPicture]
) -> list[tuple[InputPicture, InputPicture]]:
    known = _by_stem(conditions)
    pairs, alone = [], []
    for target in targets:
        keys = [(target.inside, stem) for stem in (target.stem, without_ending(target.stem) or "")]
        partner = next((known[key] for key in keys if key in known), None)
        if partner is None:
            alone.append(target)
        else:
            pairs.append((partner, target))
    used = {condition.name for condition, _ in pairs}
    alone += [condition for condition in conditions if condition.name not in used]
    if alone:
        raise CaflowError(
            f"no partner for {_named(alone)}",
            "give both folders pictures of the same names, whatever their suffixes",
            EXIT_USAGE,
        )
    return pairs


def _by_stem(sources: Sequence[InputPicture]) -> dict[tuple[Path, str], InputPicture]:
    """Pictures by subfolder and stem.

    Raises:
        CaflowError: (exit 2) two pictures have one stem.
    """
    found: dict[tuple[Path, str], InputPicture] = {}
    for source in sources:
        other = found.setdefault((source.inside, source.stem), source)
        if other is not source:
            raise CaflowError(
                f"{other.name!r} and {source.name!r} differ only in their suffix",
                "give pictures of a folder names that differ in more than the suffix",
                EXIT_USAGE,
            )
    return found


def _named(sources: Sequence[InputPicture]) -> str:
    """The names; if there are many, only the first ones."""
    names = ", ".join(repr(source.name) for source in sources[:_NAMED])
    return names if len(sources) <= _NAMED else f"{names} and {len(sources) - _NAMED} more"
