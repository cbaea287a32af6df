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
from ..errors import usage_error
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
    if task is not None:
        settings = [f"task.name={task}", *settings]
    given = {"flow": {}, "task": {}, "optim": {}, "samples": {}, **merged(values, settings)}
    flow, own, optim, samples = (given[name] for name in ("flow", "task", "optim", "samples"))
    if not all(isinstance(table, dict) for table in (flow, own, optim, samples)):
        parse(RunConfig, given)  # which says that it is no table
    if preset is None and start is None and not values.get("flow"):
        preset = "compact"
    paper = dict(_PAPER.get(preset or "", {}))
    papers_task = paper.pop("task", None)
    if start is not None:
        flow = {**dataclasses.asdict(start.flow), **flow}
        own = {**dataclasses.asdict(start.task), **own}
    if papers_task:
        own = {"name": papers_task, **own}
    name = own.get("name", TaskConfig.name)
    if preset is not None:  # which replaces the flow of a file
        flow = _preset(preset, name, own, merged({"flow": {}}, settings)["flow"], papers_task)
    if paper:
        if any(optim.get(budget) is not None for budget in ("images", "minutes")):
            del paper["minutes"]
        optim = {"schedule": "paper", "method": "adam", **paper, **optim}
    if "cond_channels" not in flow and isinstance(name, str):
        channels, data = task_named(name).channels[0], given.get("data")
        if not task_named(name).derives_condition and isinstance(data, str):
            channels = condition_channels(data)
        flow = {**flow, "cond_channels": channels}
    given |= {"flow": flow, "task": own}
    if preset is None and start is None:  # a file, which states what it wants
        return parse(RunConfig, {**given, "optim": optim})
    architecture = parse(FlowConfig, flow, "flow")
    if architecture.guides:
        defaults = guide_defaults(architecture)
        if start is not None and start.flow.same_guide(architecture):
            del defaults["guide_first"]  # it has trained
        optim = {**defaults, **optim}
    if start is not None and optim.get("schedule") == "stable":
        optim = {"warmup": _CONTINUED_WARMUP, **optim}
    run = parse(RunConfig, {**given, "optim": optim})
    if architecture.guides and "guide_perceptual" not in optim:
        return dataclasses.replace(run, optim=without_missing_lpips(run))
    return run


def _preset(
    name: str, task: Any, values: dict[str, Any], settings: dict[str, Any], papers_task: str | None
) -> dict[str, Any]:
    """The flow of a preset, with settings; without channels, which the task decides."""
    flow = dataclasses.asdict(preset_flow(name, str(task)))
    factor = values.get("factor", TaskConfig.factor)
    if isinstance(factor, int) and 2 <= factor <= 64:  # others are refused later
        flow["guide_factor"] = int(2 ** min(4, factor.bit_length() - 1))
    channels = flow["cond_channels"]
    if task != papers_task:
        del flow["cond_channels"]
    if settings.get("cond_channels", channels) != channels:
        flow["anchor"] = FlowConfig.anchor  # the preset's is for its channels alone
    if settings.get("guide") == 0:
        flow["spread"] = FlowConfig.spread
    return {**flow, **settings}


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
            raise usage_error(f"setting {setting!r} has no value", "--set optim.lr=0.001")
        *tables, name = key.strip().split(".")
        table = values
        for part in tables:
            table = table.setdefault(part, {})
            if not isinstance(table, dict):
                raise usage_error(f"unknown config key {key!r}", "--set optim.lr=0.001")
        table[name] = _value(text.strip())
    return values


def _value(text: str) -> Any:
    with contextlib.suppress(ValueError, RecursionError):
        return json.loads(text)
    with contextlib.suppress(ValueError):
        return float(text) if text.strip("+-.0123456789eE_") == "" else text
    return text
