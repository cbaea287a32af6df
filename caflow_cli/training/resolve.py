"""The config of a run from a user's values: presets, and defaults that depend on other fields."""

import contextlib
import copy
import json
from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import Any

from ..config import Config, FlowConfig, TaskConfig
from ..data.examples import condition_channels
from ..errors import check_usage
from ..records import parse
from ..tasks import preset as preset_flow, task_named
from .config import OptimConfig, RestorerConfig, RunConfig

# The paper's presets set more than the architecture (appendix B). Their budget is the training time
# on one Tesla P100: 4.5, 3 and 5 days.
_PAPER: dict[str | None, tuple[str, dict[str, Any]]] = {
    "ffhq-superres-x4": ("superres", {"lr": 1e-3, "cond_weight": 0.01, "minutes": 6480.0}),
    "lsun-colorize": ("colorize", {"lr": 1e-3, "cond_weight": 0.01, "minutes": 4320.0}),
    "celeba-inpaint": ("inpaint", {"lr": 1e-4, "cond_weight": 0.05, "minutes": 7200.0}),
}
# For a run at a constant rate that starts from another run's weights: they tolerate the full rate
# at once, but the optimizer needs some steps to estimate its moments.
_CONTINUED_WARMUP = 150


def build_config(
    values: dict[str, Any],
    settings: Sequence[str] = (),
    *,
    preset: str | None = None,
    task: str | None = None,
    start: Config | None = None,
    guide: tuple[RestorerConfig, dict[str, Any]] | None = None,
) -> RunConfig:
    """Build a run's config from a user's values, and fill in defaults that depend on them.

    If neither values nor settings state the number of condition channels, the task decides it; for
    paired data it is 1 if the conditions are gray, else 3. A new guide trains first.

    Args:
        values: Nested, as in `config.toml`.
        settings: `key=value` strings, which override everything else.
        preset: Name of the architecture, by default `compact`. The paper's presets also set task,
            schedule and budget, unless values or settings do.
        task: Name of the task.
        start: Config of the model whose weights the run starts from. It supplies the fields of flow
            and task that values and settings do not state.
        guide: A published network to use as the guide, as `read_restorer` describes it.

    Raises:
        CaflowError: (exit 2) a setting has no `=`, a key is unknown, a value has the wrong type, or
            the preset or task is unknown.
    """
    if task is not None:
        settings = [f"task.name={task}", *settings]
    given = {"flow": {}, "task": {}, "optim": {}, "samples": {}, **merged(values, settings)}
    if not all(isinstance(given[table], dict) for table in ("flow", "task", "optim", "samples")):
        parse(RunConfig, given)  # raises, because one of them is not a table
    new = not values.get("flow")  # else a config file of a run, which states everything
    if new and preset is None and start is None:
        preset = "compact"
    if start is not None:
        given["flow"] = asdict(start.flow) | given["flow"]
        given["task"] = asdict(start.task) | given["task"]
        if given["optim"].get("schedule") == "stable":
            given["optim"] = {"warmup": _CONTINUED_WARMUP} | given["optim"]
    if preset in _PAPER:
        task_of_paper, optim = _PAPER[preset]
        given["task"] = {"name": task_of_paper} | given["task"]
        if given["optim"].get("images") is not None:
            optim = optim | {"minutes": None}
        given["optim"] = {"schedule": "paper", "method": "adam"} | optim | given["optim"]
    name = str(given["task"].get("name", TaskConfig.name))
    if new and task_named(name).enlarges and given.get("flip", True) is True:
        given.setdefault("transpose", True)
    if guide is not None:
        given["guide"] = asdict(guide[0])
    chosen = merged({"flow": {}}, settings)["flow"]
    given["flow"] = _flow_values(given, name, preset, chosen, guide[1] if guide else {})
    if preset is None and start is None:
        return with_guide_first(parse(RunConfig, given))
    return _with_guide_defaults(given, start)


def _with_guide_defaults(given: dict[str, Any], start: Config | None) -> RunConfig:
    """The config of these values, with settings for the guide that they do not state."""
    flow = parse(FlowConfig, given["flow"], "flow")
    if not flow.guides:
        return parse(RunConfig, given)
    defaults = _guide_defaults(flow)
    published = given.get("guide") is not None
    if published or (start is not None and start.flow.same_guide(flow)):
        del defaults["guide_first"]  # the guide is trained already
    run = parse(RunConfig, given | {"optim": defaults | given["optim"]})
    if "guide_perceptual" not in given["optim"]:
        run = replace(run, optim=_without_missing_lpips(run))
    return with_guide_first(run)


def with_guide_first(config: RunConfig) -> RunConfig:
    """Let a new guide train first, because it is fixed afterwards, unless the config says how."""
    trained = config.init_from is not None or config.guide is not None
    if trained or config.optim.guide_first > 0 or not config.flow.guides:
        return config
    config = replace(config, optim=replace(config.optim, **_guide_defaults(config.flow)))
    return replace(config, optim=_without_missing_lpips(config))


def _guide_defaults(flow: FlowConfig) -> dict[str, Any]:
    """Settings of `optim` for a new guide.

    `Compact` learns the mean of p(w|y) by L1 alone: LPIPS would move it away, which costs
    fidelity, likelihood and calibration. For a U-Net, rates above 0.001 are untested.
    """
    of_net = {
        "compact": {"guide_first_lr": 1e-3, "guide_perceptual": 0.0},
        "unet": {"guide_first_lr": 7e-4},
    }
    return {"guide_first": 0.35} | of_net.get(flow.guide_net, {})


def _without_missing_lpips(config: RunConfig) -> OptimConfig:
    """`optim`, without LPIPS if VGG16 is unavailable or the images are too small for it."""
    from ..perceptual import (
        LEAST_SIDE,
        VGG,
        is_available,
    )  # imported here, because it imports torch

    if config.task.size >= LEAST_SIDE and is_available(VGG, config.perceptual_weights):
        return config.optim
    # Checkerboard artifacts come from LPIPS: without it there is nothing to penalize.
    return replace(config.optim, guide_perceptual=0.0, checkerboard_weight=0.0)


def _flow_values(
    given: dict[str, Any],
    task: str,
    preset: str | None,
    chosen: dict[str, Any],
    of_guide: dict[str, Any],
) -> dict[str, Any]:
    """Fields of the flow: of a preset, else those `given`; then the `chosen` and the guide's."""
    flow: dict[str, Any] = given["flow"]
    if preset is not None:
        flow = asdict(preset_flow(preset, task))
        factor = given["task"].get("factor", TaskConfig.factor)
        if isinstance(factor, int) and 2 <= factor <= 64:  # others are rejected later
            flow["guide_factor"] = int(2 ** min(4, factor.bit_length() - 1))
            if flow["guide_net"] == "compact" and factor != flow["guide_factor"]:
                flow["guide_net"] = "enlarge"  # it reads the small image at its own size only
        if preset not in _PAPER or _PAPER[preset][0] != task:
            del flow["cond_channels"]  # the task decides
        if chosen.get("guide") == 0:
            flow["spread"] = FlowConfig.spread
        flow |= chosen
    if of_guide and not flow.get("guide"):  # as in presets with a guide
        flow = flow | {"spread": 64, "scale_bound": 1.0} | chosen
    flow = flow | of_guide
    if "cond_channels" not in flow:
        flow["cond_channels"] = _cond_channels(task, given.get("data"))
    return flow


def _cond_channels(task: str, data: object) -> int:
    if not task_named(task).derives_condition and isinstance(data, str):
        return condition_channels(data)
    return task_named(task).channels[0]


def merged(values: dict[str, Any], settings: Sequence[str]) -> dict[str, Any]:
    """Copy `values` (nested), overridden by every `key=value` of `settings`.

    The value of a setting is parsed as JSON if possible, else taken as text.

    Raises:
        CaflowError: (exit 2) a setting has no `=`, or its key lies in something that is no table.
    """
    values = copy.deepcopy(values)
    for setting in settings:
        key, equals, text = setting.partition("=")
        check_usage(bool(equals), f"setting {setting!r} has no value", "--set optim.lr=0.001")
        *tables, name = key.strip().split(".")
        table = values
        for part in tables:
            table = table.setdefault(part, {})
            check_usage(
                isinstance(table, dict), f"unknown config key {key!r}", "--set optim.lr=0.001"
            )
        table[name] = text.strip()
        with contextlib.suppress(ValueError, RecursionError):
            table[name] = json.loads(table[name])
    return values
