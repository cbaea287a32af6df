"""The config of a run, from a file's values, settings, a preset and a task."""

from __future__ import annotations

import contextlib
import copy
import dataclasses
import json
from collections.abc import Sequence
from typing import Any

from ..config import Config, FlowConfig, TaskConfig
from ..config import preset as preset_flow
from ..data.examples import condition_channels
from ..errors import EXIT_USAGE, CaflowError
from ..records import parse
from ..tasks import task_named
from .config import RunConfig, guide_defaults, without_missing_lpips

__all__ = ["build_config", "merged"]

# Presets of the paper set more than the architecture (appendix B). Their budget is how long the
# training took on one Tesla P100: 4.5, 3 and 5 days.
_PAPER: dict[str, dict[str, Any]] = {
    "ffhq-superres-x4": {"task": "superres", "lr": 1e-3, "cond_weight": 0.01, "minutes": 6480.0},
    "lsun-colorize": {"task": "colorize", "lr": 1e-3, "cond_weight": 0.01, "minutes": 4320.0},
    "celeba-inpaint": {"task": "inpaint", "lr": 1e-4, "cond_weight": 0.05, "minutes": 7200.0},
}
# Of a run that goes on with a constant rate from another one's weights: they stand the full rate at
# once, and the optimiser needs some steps to know their gradients.
_CONTINUED_WARMUP = 150


def build_config(
    values: dict[str, Any],
    settings: Sequence[str] = (),
    *,
    preset: str | None = None,
    task: str | None = None,
    start: Config | None = None,
) -> RunConfig:
    """Build a run's config from a user's values, and fill in defaults that depend on them.

    Unless values or settings give the condition's channels, they are the task's. For paired data
    they are 1 if its images are grey, else 3.

    Args:
        values: Nested, as in `config.toml`.
        settings: `key=value`, which override everything else.
        preset: Names the architecture, by default `compact`. The paper's presets also set task,
            schedule and budget, unless values or settings do.
        task: Name.
        start: Config of the model whose weights the run starts from. Where values and settings do
            not state a field of flow and task, it has that model's value.

    Raises:
        CaflowError: (exit 2) a setting has no `=`, a key is unknown, or a value has a wrong type;
            or the preset or task is unknown.
    """
    values, given = copy.deepcopy(values), merged(values, settings)
    for name in ("flow", "task", "optim", "samples"):
        if not isinstance(given.get(name, {}), dict):
            raise CaflowError(
                f"config key {name!r} is {given[name]!r}, not a table",
                f"set keys of it, {name}.KEY=VALUE, or a table [{name}] in a file",
                EXIT_USAGE,
            )
        values.setdefault(name, {})
    if preset is None and start is None and not values["flow"]:
        preset = "compact"
    paper = dict(_PAPER.get(preset or "", {}))
    papers_task = paper.pop("task", None)
    if start is not None:
        for name, own in (("flow", start.flow), ("task", start.task)):
            values[name] = {**dataclasses.asdict(own), **values[name]}
    if papers_task:
        values["task"] = {"name": papers_task, **values["task"]}
    if task is not None:
        values["task"]["name"] = task
    given = merged(values, settings)
    task_name = given["task"].get("name", TaskConfig().name)
    if preset is not None:
        values["flow"] = _flow_of(preset, task_name, given["task"], merged({"flow": {}}, settings))
    values = merged(values, settings)
    optim, flow = values["optim"], values["flow"]
    if paper:
        if any(optim.get(budget) is not None for budget in ("images", "minutes")):
            del paper["minutes"]
        values["optim"] = optim = {"schedule": "paper", "method": "adam", **paper, **optim}
    if "cond_channels" not in flow and isinstance(task_name, str):
        if papers_task == task_name and preset is not None:
            flow["cond_channels"] = preset_flow(preset, task_name).cond_channels
        elif not task_named(task_name).derives_condition and isinstance(values.get("data"), str):
            flow["cond_channels"] = condition_channels(values["data"])
        else:
            flow["cond_channels"] = task_named(task_name).channels[0]
    if preset is None and start is None:
        return parse(RunConfig, values)
    own, default_lpips = parse(FlowConfig, flow, "flow"), "guide_perceptual" not in optim
    if own.guides:
        new = start is None or not start.flow.same_guide(own)
        defaults = guide_defaults(own)
        values["optim"] = optim = {
            **{name: value for name, value in defaults.items() if new or name != "guide_first"},
            **optim,
        }
    if start is not None and optim.get("schedule") == "stable":
        optim.setdefault("warmup", _CONTINUED_WARMUP)
    run = parse(RunConfig, values)
    if own.guides and default_lpips:
        return dataclasses.replace(run, optim=without_missing_lpips(run))
    return run


def _flow_of(
    preset: str, task: Any, task_values: dict[str, Any], settings: dict[str, Any]
) -> dict[str, Any]:
    """The flow of a preset, which replaces a file's; without channels, which the task decides."""
    flow = dataclasses.asdict(preset_flow(preset, str(task)))
    factor = task_values.get("factor", TaskConfig().factor)
    if isinstance(factor, int) and 2 <= factor <= 64:  # others are refused later
        flow["guide_factor"] = int(2 ** min(4, factor.bit_length() - 1))
    channels = flow.pop("cond_channels")
    chosen = settings["flow"]
    if isinstance(chosen, dict):
        if chosen.get("cond_channels", channels) != channels:
            flow["anchor"] = FlowConfig.anchor  # the preset's is for its channels alone
        if chosen.get("guide") == 0:
            flow["spread"] = FlowConfig.spread
    return flow


def merged(values: dict[str, Any], settings: Sequence[str]) -> dict[str, Any]:
    """A copy of `values` (nested), which every `key=value` of `settings` overrides.

    A value is JSON, a number as Python writes it (`.5`), or text.

    Raises:
        CaflowError: (exit 2) a setting has no `=`, or its key is in no table.
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
        table[name] = _value(text.strip())
    return values


def _value(text: str) -> Any:
    with contextlib.suppress(ValueError, RecursionError):
        return json.loads(text)
    with contextlib.suppress(ValueError):
        return float(text) if text.strip("+-.0123456789eE_") == "" else text
    return text
