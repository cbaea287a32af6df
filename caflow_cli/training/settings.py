"""The config of a run, from a file's values, settings, a preset and a task."""

from __future__ import annotations

import contextlib
import copy
import dataclasses
import json
import typing
from collections.abc import Sequence
from typing import Any

from ..config import Config, FlowConfig, TaskConfig
from ..config import preset as preset_flow
from ..data import condition_channels
from ..errors import EXIT_USAGE, CaflowError
from ..records import parse
from ..tasks import task_named
from .config import RunConfig

__all__ = ["apply_settings", "build_config", "merged", "with_method"]

# Presets of the paper set more than the architecture (appendix B). Their budget is how long the
# training took on one Tesla P100: 4.5, 3 and 5 days.
_PAPER = {
    "schedule": "paper",
    "method": "adam",
    "cond_weight": 0.01,
    "lr": 1e-3,
    "invconv_lr_width": 0,
}
_PRESET_OPTIM: dict[str, dict[str, Any]] = {
    "ffhq-superres-x4": {**_PAPER, "minutes": 6480.0},
    "lsun-colorize": {**_PAPER, "minutes": 4320.0},
    "celeba-inpaint": {**_PAPER, "minutes": 7200.0, "lr": 1e-4, "cond_weight": 0.05},
}
_PRESET_TASK: dict[str, dict[str, Any]] = {
    "ffhq-superres-x4": {"name": "superres"},
    "lsun-colorize": {"name": "colorize"},
    "celeba-inpaint": {"name": "inpaint"},
}
# Defaults of a run with a guide: a new one learns alone first. Behind an anchor it is best left as
# it has learned then. Without an anchor it learns on, since what the condition tells to the last
# level is still to be learned.
_GUIDED: dict[str, Any] = {"guide_first": 0.15}
_ANCHORED_AND_GUIDED: dict[str, Any] = {"guide_first": 0.25, "guide_lr_share": 0.0}
_TAUGHT = {"guide_loss": "picture", "guide_first": 0.35}
# Of a run that goes on with a constant rate from another one's weights: they stand the rate at
# once, and the optimiser needs some steps to know their gradients.
_CONTINUED = {"warmup": 150}
_UNET = {"guide_first_lr": 7e-4}  # rates above 1e-3 were not tried


def build_config(
    values: dict[str, Any],
    settings: Sequence[str] = (),
    *,
    preset: str | None = None,
    task: str | None = None,
    start: Config | None = None,
) -> RunConfig:
    """Build a run's config from a user's values, and fill in defaults that depend on them.

    Args:
        values: Nested, as in `config.toml`.
        settings: `key=value`, which override everything else.
        preset: Names the architecture, by default `compact`. The paper's presets also set task,
            schedule and budget, unless values or settings do.
        task: Name.
        start: Config of the model whose weights the run starts from. What values and settings do
            not say of flow and task is as it says.

    Unless values or settings give the condition's channels, they are the task's. For paired data
    they are 1 if its pictures are grey, else 3.

    Raises:
        CaflowError: (exit 2) as for `apply_settings`; or the preset or task is unknown.
    """
    values = copy.deepcopy(values)
    _check_tables(values)
    _check_tables(merged({}, settings))
    if preset is None and start is None and not values.get("flow"):
        preset = "compact"
    if preset is not None:
        values["task"] = {**_PRESET_TASK.get(preset, {}), **values.get("task", {})}
    if start is not None:
        for table, own in (("flow", start.flow), ("task", start.task)):
            values[table] = {**dataclasses.asdict(own), **values.get(table, {})}
    if task is not None:
        values.setdefault("task", {})["name"] = task
    name = merged(values, settings).get("task", {}).get("name", TaskConfig().name)
    preset_channels: int | None = None
    if preset is not None:
        flow = dataclasses.asdict(preset_flow(preset, str(name)))
        factor = merged(values, settings).get("task", {}).get("factor", TaskConfig().factor)
        flow["guide_factor"] = _power_of_two(factor, flow["guide_factor"])
        preset_channels = flow.pop("cond_channels")
        # A preset replaces the file's flow, channels included; a setting still counts.
        set_flow = merged({"flow": {}}, settings)["flow"]
        if set_flow.get("cond_channels", preset_channels) != preset_channels:
            flow["anchor"] = FlowConfig.anchor  # the preset's is for its channels alone
        if set_flow.get("guide") == 0:
            flow["spread"] = FlowConfig.spread
        values["flow"] = flow
    values = merged(values, settings)
    if preset is not None:
        optim = values.get("optim", {})
        papers = {k: v for k, v in _PRESET_OPTIM.get(preset, {}).items() if k not in optim}
        if {"images", "minutes"} & {k for k, v in optim.items() if v is not None}:
            papers.pop("minutes", None)
        values["optim"] = {**papers, **optim}
    wants_net = False
    flow = values.setdefault("flow", {})
    if isinstance(flow, dict) and isinstance(name, str) and "cond_channels" not in flow:
        if preset is not None and _PRESET_TASK.get(preset, {}).get("name") == name:
            flow["cond_channels"] = preset_channels
        elif not task_named(name).derives_condition and isinstance(values.get("data"), str):
            flow["cond_channels"] = condition_channels(values["data"])
        else:
            flow["cond_channels"] = task_named(name).channels[0]
    if preset is not None or start is not None:
        guided = _guided(flow, start)
        wants_net = "guide_loss" in guided and "guide_perceptual" not in values.get("optim", {})
        values["optim"] = {**guided, **values.get("optim", {})}
    if start is not None and values["optim"].get("schedule") == "stable":
        values["optim"] = {**_CONTINUED, **values["optim"]}
    run = parse(RunConfig, values)
    if wants_net and not _net_at_hand(run):
        # Without LPIPS there is no grid to weigh.
        alone = dataclasses.replace(run.optim, guide_perceptual=0.0, guide_lattice=0.0)
        return dataclasses.replace(run, optim=alone)
    return run


def _net_at_hand(run: RunConfig) -> bool:
    """Whether there is a net that teaches a guide how pictures of this run's size look."""
    from ..perceptual import LEAST_SIDE, VGG, at_hand  # asks PyTorch where it keeps nets

    return run.task.size >= LEAST_SIDE and at_hand(VGG, run.perceptual_weights)


def _guided(flow: Any, start: Config | None) -> dict[str, Any]:
    """The default settings by which the guide of `[flow]` learns.

    Args:
        flow: The table.
        start: Config of the model whose weights the run starts from.
    """
    own = parse(FlowConfig, flow, "flow")
    if not own.guides:
        return {}
    known = start is not None and start.flow.same_guide(own)
    said = _GUIDED if own.anchor == "none" else _ANCHORED_AND_GUIDED
    said = {**said, **_TAUGHT}
    if own.guide_net == "unet":
        said = {**said, **_UNET}
    return {k: v for k, v in said.items() if not (known and k == "guide_first")}


def _power_of_two(factor: Any, otherwise: int) -> int:
    """The largest power of 2 that is at most a task's factor, and at most 16."""
    if not isinstance(factor, int) or not 2 <= factor <= 64:
        return otherwise  # an error says so later
    return int(2 ** min(4, factor.bit_length() - 1))


def apply_settings(values: dict[str, Any], settings: Sequence[str]) -> RunConfig:
    """Build a config from `values` (nested); every `key=value` of `settings` overrides them.

    Raises:
        CaflowError: A setting has no `=`, a key is unknown, or a value has a wrong type.
    """
    return parse(RunConfig, merged(values, settings))


def with_method(values: dict[str, Any], run: dict[str, Any]) -> dict[str, Any]:
    """Values with the method of a run that goes on, where they say none.

    Args:
        values: Nested, as in `config.toml`.
        run: Those of the run's `config.toml`. One of version 0.1.0 has no method: it was Adam.
    """
    optim, known = values.get("optim", {}), run.get("optim", {})
    if not isinstance(optim, dict) or not isinstance(known, dict):
        return values  # `parse` refuses it
    return {**values, "optim": {"method": known.get("method", "adam"), **optim}}


def _check_tables(values: dict[str, Any]) -> None:
    for name in ("flow", "task", "optim", "samples"):
        if not isinstance(values.get(name, {}), dict):
            raise CaflowError(
                f"config key {name!r} is {values[name]!r}, not a table",
                f"set keys of it, {name}.KEY=VALUE, or a table [{name}] in a file",
                EXIT_USAGE,
            )


def merged(values: dict[str, Any], settings: Sequence[str]) -> dict[str, Any]:
    """A copy of `values` (nested), which every `key=value` of `settings` overrides.

    Raises:
        CaflowError: (exit 2) a setting has no `=`, or its key is that of no table.
    """
    values = copy.deepcopy(values)
    for setting in settings:
        key, equals, text = setting.partition("=")
        if not equals:
            raise CaflowError(
                f"setting {setting!r} has no value", "--set optim.lr=0.001", EXIT_USAGE
            )
        *tables, name = key.strip().split(".")
        table = values
        for part in tables:
            table = table.setdefault(part, {})
            if not isinstance(table, dict):
                raise CaflowError(f"unknown config key {key!r}", "--set optim.lr=0.001", EXIT_USAGE)
        table[name] = _value(key.strip(), text.strip())
    return values


def _value(key: str, text: str) -> Any:
    """The value of a setting: JSON; else, of a field of numbers, one as Python writes it (`.5`);
    else text."""
    try:
        return json.loads(text)
    except ValueError:
        pass
    for kind in (int, float) if _is_number(key) else ():
        with contextlib.suppress(ValueError):
            return kind(text)
    return text


def _is_number(key: str) -> bool:
    """Whether the field that a key names may be a number; False for a field that there is not."""
    kind: Any = RunConfig
    for part in key.split("."):
        kind = typing.get_type_hints(kind).get(part) if dataclasses.is_dataclass(kind) else None
    return bool({int, float} & {kind, *typing.get_args(kind)})
