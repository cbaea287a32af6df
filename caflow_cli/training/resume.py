"""The check that a run which goes on is still the run that began."""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path
from typing import Any

from ..errors import EXIT_USAGE, CaflowError
from ..model import upgrade
from ..records import parse
from .config import RunConfig
from .phases import Phase, phases_of
from .settings import with_method

__all__ = ["check_unchanged"]

_OF_RUN = ("seed", "flip", "zoom", "crop")
_OF_CROPS = ("crop_native", "crop_shrink")  # where crops are random
_DEFAULTS = ("tau", "candidates", "rank")  # of a task: they say how its model draws
_FREE = (
    "the budget, rates, weights above 0, intervals and device can change; for anything else start "
    "a new --out, with --init-from {out}"
)


def check_unchanged(config: RunConfig) -> None:
    """Compare the config with `config.toml` in the run's folder, if that can be read.

    Order and noise follow from the seed, what is held out does, too, and a state knows its phase by
    number alone. So these fields are those that the run began with.

    Raises:
        CaflowError: (exit 2) seed, method, task, flow or how examples are made of pictures differ,
            or the run would have other phases.
    """
    began = _began_with(Path(config.out) / "config.toml")
    if began is None:
        return
    hint = _FREE.format(out=config.out)
    for name, now, before in _fixed(config, began):
        if now != before:
            raise CaflowError(
                f"{name} is {now!r}, and the run in {config.out!r} began with {before!r}",
                f"leave it at that: {hint}",
                EXIT_USAGE,
            )
    phases, earlier = _kinds(config), _kinds(began)
    if phases != earlier:
        raise CaflowError(
            f"the phases of the run in {config.out!r} would be {', '.join(phases)}, "
            f"and they are {', '.join(earlier)}",
            "leave optim.guide_loss as it was, and at 0 or above 0 what was so of "
            f"optim.guide_first, optim.guide_perceptual and samples.share: {hint}",
            EXIT_USAGE,
        )


def _began_with(path: Path) -> RunConfig | None:
    """The config that a run wrote as it began; None if there is none that can be read."""
    if sys.version_info >= (3, 11):
        import tomllib
    else:
        import tomli as tomllib
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
        return parse(RunConfig, upgrade(with_method(values, values)))
    except (OSError, ValueError, CaflowError):
        return None


def _fixed(config: RunConfig, began: RunConfig) -> list[tuple[str, Any, Any]]:
    """Every field that stays, with its value now and when the run began."""
    names = [*_OF_RUN, *(_OF_CROPS if config.crop == "random" else ())]
    names += ["mask_share"] if config.masks is not None and began.masks is not None else []
    found = [(name, getattr(config, name), getattr(began, name)) for name in names]
    if (config.masks is None) != (began.masks is None):  # another place of the same is no change
        found.append(("masks", config.masks, began.masks))
    found.append(("optim.method", config.optim.method, began.optim.method))
    for table in ("task", "flow"):
        now, before = getattr(config, table), getattr(began, table)
        found += [
            (f"{table}.{field.name}", getattr(now, field.name), getattr(before, field.name))
            for field in dataclasses.fields(now)
            if not (table == "task" and field.name in _DEFAULTS)
        ]
    return found


def _kinds(config: RunConfig) -> list[str]:
    """The phases of a run, in words that do not depend on how long they last."""
    return [_kind(phase) for phase in phases_of(config.optim, config.flow, None, config.samples)]


def _kind(phase: Phase) -> str:
    if not phase.whole_model:
        return f"the guide alone ({phase.unit})"
    return "all" if phase.draws is None else "all with draws"
