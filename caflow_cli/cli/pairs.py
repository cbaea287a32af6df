"""Which picture belongs to which: files, or folders matched by stem."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from ..errors import EXIT_USAGE, CaflowError
from ..paths import is_folder
from .inputs import Source, find_inputs
from .masks import by_stem, named, plan_masks

__all__ = ["Pair", "plan_pairs"]

# What commands put behind the stem of an input.
_RESULT = re.compile(r"(?P<stem>.+)_(superres|colorize|inpaint|sample)(_\d+)?")


@dataclass(frozen=True)
class Pair:
    """A target, what it was made from, and the mask if there is one."""

    cond: Source
    target: Source
    mask: Source | None = None

    @property
    def names(self) -> dict[str, str | None]:
        """As JSON states them."""
        mask = self.mask.name if self.mask is not None else None
        return {"cond": self.cond.name, "target": self.target.name, "mask": mask}


def plan_pairs(cond: str, target: str, mask: str | None, *, recursive: bool = False) -> list[Pair]:
    """What is scored, in the order of the targets.

    Two files are a pair. A file and a folder of targets: every one of them given that file. Two
    folders: a target belongs to the condition of its stem, or of its stem without what our commands
    put behind it (`face_superres_01` to `face`), in a folder of the same name where folders are
    searched too. A mask is a file for all, or a folder in which the stems are those of the
    conditions.

    Args:
        cond, target, mask: As typed.
        recursive: Search the folders in folders too.

    Raises:
        CaflowError: (exit 2) what has no partner, by name; stdin asked for twice; a folder of
            conditions for one target.
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
    masks = plan_masks(mask, [condition for condition, _ in pairs])
    return [Pair(*pair, one) for pair, one in zip(pairs, masks, strict=True)]


def _match(conditions: list[Source], targets: list[Source]) -> list[tuple[Source, Source]]:
    known = by_stem(conditions)
    pairs, alone = [], []
    for target in targets:
        match = _RESULT.fullmatch(target.stem)
        keys = [(target.inside, target.stem), (target.inside, match["stem"] if match else "")]
        partner = next((known[key] for key in keys if key in known), None)
        if partner is None:
            alone.append(target)
        else:
            pairs.append((partner, target))
    used = {condition.name for condition, _ in pairs}
    alone += [condition for condition in conditions if condition.name not in used]
    if alone:
        raise CaflowError(
            f"no partner for {named(alone)}",
            "give both folders pictures of the same names, whatever their suffixes",
            EXIT_USAGE,
        )
    return pairs
