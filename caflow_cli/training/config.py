"""What a training run is, as frozen dataclasses, and its `config.toml`."""

from __future__ import annotations

import copy
import dataclasses
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from ..config import Config, FlowConfig, TaskConfig, parse
from ..config import preset as preset_flow
from ..data import condition_channels
from ..errors import EXIT_USAGE, CaflowError
from ..tasks import get_task, task_named

__all__ = [
    "PRESET_OPTIM",
    "PRESET_TASK",
    "OptimConfig",
    "RunConfig",
    "apply_settings",
    "build_config",
    "to_toml",
]


# What a preset of the paper says beside its architecture (appendix B). Of a budget it says how long
# the training took on one Tesla P100: 4.5, 3 and 5 days.
_PAPER = {"schedule": "paper", "cond_weight": 0.01, "lr": 1e-3, "invconv_lr_width": 0}
PRESET_OPTIM: dict[str, dict[str, Any]] = {
    "ffhq-superres-x4": {**_PAPER, "minutes": 6480.0},
    "lsun-colorize": {**_PAPER, "minutes": 4320.0},
    "celeba-inpaint": {**_PAPER, "minutes": 7200.0, "lr": 1e-4, "cond_weight": 0.05},
}
PRESET_TASK: dict[str, dict[str, Any]] = {
    "ffhq-superres-x4": {"name": "superres"},
    "lsun-colorize": {"name": "colorize"},
    "celeba-inpaint": {"name": "inpaint"},
}
# Where a run has a guide, unless it says otherwise: a new one learns alone first. Behind an anchor
# it is best left so; without one it has yet to learn what the condition tells to the last level
# (docs/training.md).
_GUIDED = {"guide_first": 0.15}
_ANCHORED_AND_GUIDED = {"guide_first": 0.25, "guide_lr_share": 0.0}
_UNET = {"guide_first_lr": 7e-4}  # higher ones than 1e-3 were not tried
SCHEDULES = ("cosine", "paper")
TRACKERS = ("tensorboard",)


def _require(condition: bool, name: str, value: object, wanted: str) -> None:
    if not condition:
        raise CaflowError(f"{name} is {value!r}", f"set {name} {wanted}", EXIT_USAGE)


@dataclass(frozen=True)
class OptimConfig:
    """Optimiser, schedule and budget (paper appendix B)."""

    batch_size: int = 32  # of a step: of all ranks and all its parts together
    accumulate: int = 1  # parts of a batch, one after the other: less memory, the same step
    lr: float = 8e-3  # peak
    schedule: str = "cosine"  # over the budget; or "paper": see `learning_rate`
    lr_floor: float = 0.01  # the cosine ends at this share of the peak
    lr_decay: float = 0.999  # "paper": times this an epoch
    lr_drop_step: int = 70_000  # "paper": once, from this step on,
    lr_drop: float = 0.1  # times this
    warmup: int = 500  # steps of linear warm-up; of a cosine, at most a fifth of its budget
    invconv_lr_width: int = 16  # a C×C matrix gets min(1, this / C) of the rate; 0: all of it
    guide_lr_share: float = 0.06  # of the rate, for the guide; 0: that stays as it is
    guide_first: float = 0.0  # share of the budget in which the guide learns alone, before all do,
    guide_first_lr: float = 2e-3  # at this peak rate, by a cosine of its own
    beta2: float = 0.99  # of Adam
    clip: float = 1.0  # norm of the gradient
    ema: float = 0.999
    cond_weight: float = 0.01  # λ
    bf16: bool = True  # in the nets
    compile: bool = False  # the flow steps, by `torch.compile`
    checkpoint_activations: bool = False  # less memory, half as much time again
    images: int | None = None  # budget; the schedule spans it
    minutes: float | None = None  # or this one

    def __post_init__(self) -> None:
        if (self.images is None) == (self.minutes is None):
            raise CaflowError(
                f"the budget is images={self.images}, minutes={self.minutes}",
                "give one of --images N and --minutes M",
                EXIT_USAGE,
            )
        _require(
            self.schedule in SCHEDULES,
            "optim.schedule",
            self.schedule,
            f"to {' or '.join(SCHEDULES)}",
        )
        positive = (
            "batch_size",
            "accumulate",
            "lr",
            "lr_decay",
            "lr_drop",
            "clip",
            "guide_first_lr",
        )
        for name in (*positive, "images", "minutes"):
            value = getattr(self, name)
            _require(value is None or 0 < value < math.inf, f"optim.{name}", value, "above 0")
        rest = (
            *("lr_floor", "lr_drop_step", "warmup", "cond_weight", "invconv_lr_width"),
            "guide_lr_share",
        )
        for name in rest:
            value = getattr(self, name)
            _require(0 <= value < math.inf, f"optim.{name}", value, "to 0 or more")
        for name in ("beta2", "ema", "guide_first"):
            value = getattr(self, name)
            _require(0 <= value < 1, f"optim.{name}", value, "from 0 to below 1")
        _require(
            self.batch_size % self.accumulate == 0,
            "optim.accumulate",
            self.accumulate,
            f"to a divisor of the batch size {self.batch_size}",
        )


@dataclass(frozen=True)
class RunConfig:
    """One run: what is learned from what, how, and where it is written."""

    data: str  # folder or zip
    out: str  # the run's folder
    optim: OptimConfig
    flow: FlowConfig = field(default_factory=lambda: preset_flow("compact"))
    task: TaskConfig = field(default_factory=TaskConfig)
    seed: int = 0
    flip: bool = True
    zoom: float = 0.0  # of a picture's sides at most so much is cut off, and the rest enlarged
    validate_every: int = 250  # steps
    validation_images: int = 500  # at most; as many of the training pictures are measured alike
    grid_every: int = 4  # validations
    save_every: int = 100  # steps between states to go on from
    data_memory_gb: float = 2.0  # decoded sets above this are mapped from a file in the run
    tracker: str | None = None  # "tensorboard": the figures also go to RUN/tensorboard
    device: str = "auto"
    init_from: str | None = None  # a model file to start from

    def __post_init__(self) -> None:
        _require(0 <= self.seed < 2**32, "seed", self.seed, "from 0 to below 2^32")
        for name in ("validate_every", "validation_images", "grid_every", "save_every"):
            _require(getattr(self, name) >= 1, name, getattr(self, name), "to 1 or more")
        _require(0 <= self.zoom < 1, "zoom", self.zoom, "from 0 to below 1")
        _require(
            0 <= self.data_memory_gb < math.inf,
            "data_memory_gb",
            self.data_memory_gb,
            "to 0 or more",
        )
        _require(
            self.tracker is None or self.tracker in TRACKERS,
            "tracker",
            self.tracker,
            f"to {' or '.join(TRACKERS)}, or leave it out",
        )
        _require(
            self.optim.guide_first == 0 or bool(self.flow.guides),
            "optim.guide_first",
            self.optim.guide_first,
            "to 0, for flow.guide is 0, or give the model a guide",
        )
        learns = self.optim.guide_lr_share > 0 or self.optim.guide_first > 0
        _require(
            not self.flow.guides or learns or self.init_from is not None,
            "optim.guide_lr_share",
            self.optim.guide_lr_share,
            "above 0, or optim.guide_first: the guide would never learn",
        )
        task = get_task(Config(self.flow, self.task))
        step = math.lcm(self.flow.multiple, self.task.factor if task.name == "superres" else 1)
        _require(
            self.task.size % step == 0, "task.size", self.task.size, f"to a multiple of {step}"
        )

    def to_dict(self) -> dict[str, Any]:
        return dataclasses.asdict(self)


def build_config(
    values: dict[str, Any],
    settings: Sequence[str] = (),
    *,
    preset: str | None = None,
    task: str | None = None,
    start: Config | None = None,
) -> RunConfig:
    """A run from what a user said, with what follows from it.

    Args:
        values: Nested, as in `config.toml`.
        settings: `key=value`, put over all else.
        preset: Architecture, by default `compact`; of the paper's presets also task, schedule and
            budget, where nothing else says.
        task: Name.
        start: Of the model whose weights the run starts from.

    The condition's channels, where neither file nor setting says, are the task's; of paired data 1
    or 3, as its pictures are grey or not.

    Raises:
        CaflowError: (exit 2) as `apply_settings`; an unknown preset or task.
    """
    values = copy.deepcopy(values)
    _check_tables(values)
    _check_tables(_merge({}, settings))
    if preset is None and start is None and not values.get("flow"):
        preset = "compact"
    if preset is not None:
        values["task"] = {**PRESET_TASK.get(preset, {}), **values.get("task", {})}
    if start is not None:
        values.setdefault("flow", dataclasses.asdict(start.flow))
        values.setdefault("task", dataclasses.asdict(start.task))
    if task is not None:
        values.setdefault("task", {})["name"] = task
    name = _merge(values, settings).get("task", {}).get("name", TaskConfig().name)
    preset_channels: int | None = None
    if preset is not None:
        flow = dataclasses.asdict(preset_flow(preset, str(name)))
        preset_channels = flow.pop("cond_channels")
        # What a preset is put in place of says nothing, but a setting does.
        set_channels = _merge({"flow": {}}, settings)["flow"].get("cond_channels", preset_channels)
        if set_channels != preset_channels:
            flow["anchor"] = FlowConfig.anchor  # the preset's is for its channels alone
        values["flow"] = flow
    values = _merge(values, settings)
    if preset is not None:
        optim = values.get("optim", {})
        papers = {k: v for k, v in PRESET_OPTIM.get(preset, {}).items() if k not in optim}
        if {"images", "minutes"} & {k for k, v in optim.items() if v is not None}:
            papers.pop("minutes", None)
        values["optim"] = {**papers, **optim}
    flow = values.setdefault("flow", {})
    if isinstance(flow, dict) and isinstance(name, str) and "cond_channels" not in flow:
        if preset is not None and PRESET_TASK.get(preset, {}).get("name") == name:
            flow["cond_channels"] = preset_channels
        elif not task_named(name).derives_condition and isinstance(values.get("data"), str):
            flow["cond_channels"] = condition_channels(values["data"])
        else:
            flow["cond_channels"] = task_named(name).channels[0]
    if preset is not None or start is not None:
        values["optim"] = {**_guided(flow, start), **values.get("optim", {})}
    return parse(RunConfig, values)


def _guided(flow: Any, start: Config | None) -> dict[str, float]:
    """How the guide of that `[flow]` learns, where a run does not say."""
    own = parse(FlowConfig, flow, "flow")
    if not own.guides:
        return {}
    known = start is not None and start.flow.same_guide(own)
    said = _GUIDED if own.anchor == "none" else _ANCHORED_AND_GUIDED
    if own.guide_net == "unet":
        said = {**said, **_UNET}
    return {k: v for k, v in said.items() if not (known and k == "guide_first")}


def apply_settings(values: dict[str, Any], settings: Sequence[str]) -> RunConfig:
    """The config of `values` (nested) with every `key=value` of `settings` put over it.

    Raises:
        CaflowError: A setting without `=`, an unknown key, a value of a wrong type.
    """
    return parse(RunConfig, _merge(values, settings))


def _check_tables(values: dict[str, Any]) -> None:
    for name in ("flow", "task", "optim"):
        if not isinstance(values.get(name, {}), dict):
            raise CaflowError(
                f"config key {name!r} is {values[name]!r}, not a table",
                f"set keys of it, {name}.KEY=VALUE, or a table [{name}] in a file",
                EXIT_USAGE,
            )


def _merge(values: dict[str, Any], settings: Sequence[str]) -> dict[str, Any]:
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
    try:
        return json.loads(text)
    except ValueError:
        return text


def to_toml(config: RunConfig) -> str:
    """The resolved config as TOML; unset values are left out.

    Raises:
        CaflowError: (exit 2) a path whose bytes are not UTF-8, as TOML must be.
    """
    lines: list[str] = []

    def table(values: dict[str, Any], name: str = "") -> None:
        if name:
            lines.append(f"\n[{name}]")
        for key, value in values.items():
            if value is not None and not isinstance(value, dict):
                # JSON's values are TOML's, but for escaped surrogates, and DEL.
                text = json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
                lines.append(f"{key} = {text}")
        for key, value in values.items():
            if isinstance(value, dict):
                table(value, f"{name}.{key}" if name else key)

    table(config.to_dict())
    text = "\n".join(lines) + "\n"
    try:
        # Where the system's language is C, names come as bytes in surrogates.
        return text.encode(errors="surrogateescape").decode()
    except UnicodeError as error:
        raise CaflowError(
            "a path of this run is not UTF-8, and its config.toml must be",
            "rename the folder of --data or --out",
            EXIT_USAGE,
        ) from error
