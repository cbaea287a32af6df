"""The config of a training run, as frozen dataclasses: its `config.toml`, and how it follows from a
user's file, settings, preset and task."""

import contextlib
import copy
import dataclasses
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

from ..config import Config, FlowConfig, TaskConfig, preset as preset_flow, require
from ..data.examples import condition_channels
from ..errors import check_usage, usage_error
from ..records import Count, NonNegative, Positive, Share, Size, check, number, parse
from ..tasks import get_task, task_named

_BelowOne = Annotated[float, number(ge=0, lt=1)]
# Presets of the paper set more than the architecture (appendix B). Their budget is how long the
# training took on one Tesla P100: 4.5, 3 and 5 days.
_PAPER: dict[str, tuple[str, dict[str, Any]]] = {
    "ffhq-superres-x4": ("superres", {"lr": 1e-3, "cond_weight": 0.01, "minutes": 6480.0}),
    "lsun-colorize": ("colorize", {"lr": 1e-3, "cond_weight": 0.01, "minutes": 4320.0}),
    "celeba-inpaint": ("inpaint", {"lr": 1e-4, "cond_weight": 0.05, "minutes": 7200.0}),
}
# Of a run that goes on with a constant rate from another one's weights: they stand the full rate at
# once, and the optimiser needs some steps to know their gradients.
_CONTINUED_WARMUP = 150


@dataclass(frozen=True)
class OptimConfig:
    """Optimiser, schedule and budget (paper appendix B)."""

    batch_size: Count = 32  # images per step, over all processes and parts
    # The parts into which each process divides its share of a batch: less memory, the same step.
    accumulate: Count = 1
    lr: Positive = 8e-3  # peak learning rate
    # Muon for the kernels of the flows' networks and Adam for everything else; or Adam alone.
    method: Literal["muon", "adam"] = "muon"
    # Cosine falls to a hundredth over the budget; stable stays, and falls at the end; paper is that
    # of appendix B.
    schedule: Literal["cosine", "stable", "paper"] = "cosine"
    decay_share: Share = 0.2  # stable: the last share of the budget, in which the rate falls
    warmup: Size = 500  # steps of linear warm-up; cosine: at most a fifth of the budget
    # Share of the budget in which the guide trains, alone. 0 with a new guide means 0.35.
    guide_first: _BelowOne = 0.0
    guide_first_lr: Positive = 2e-3  # the guide's peak learning rate; it has a cosine of its own
    guide_perceptual: NonNegative = 2.0  # weight of LPIPS (VGG16) in the guide's loss, beside L1
    guide_perceptual_from: _BelowOne = 0.4  # share of the guide's time from which LPIPS counts
    checkerboard_weight: NonNegative = 0.0  # of checkerboard artifacts, where LPIPS counts
    ema: _BelowOne = 0.999  # rate of the averaged weights
    cond_weight: NonNegative = 0.01  # λ, the weight of log p(y)
    bf16: bool = True  # networks train in bfloat16 where that is fast
    compile: bool = False  # compile the flow steps with torch.compile
    # Recompute values inside flow steps in the backward pass: less memory, a quarter to a half more
    # time.
    checkpoint_activations: bool = False
    images: Count | None = None  # the budget in images seen
    minutes: Positive | None = None  # or the budget in minutes

    def __post_init__(self) -> None:
        check(self, "optim")
        check_usage(
            (self.images is None) != (self.minutes is None),
            f"the budget is images={self.images}, minutes={self.minutes}",
            "give one of --images N and --minutes M",
        )
        require(
            self.batch_size % self.accumulate == 0,
            "optim.accumulate",
            self.accumulate,
            f"a divisor of the batch size {self.batch_size}",
        )


@dataclass(frozen=True)
class SamplesConfig:
    """The last part of a run, in which a loss on samples is added."""

    share: Share = 0.0  # of the budget, at its end, with a loss on samples
    lr: Positive = 4e-4  # peak learning rate of this part, which has a cosine of its own
    weight: Positive = 1.0  # of the loss on samples, beside bits/dim
    tau: NonNegative = 0.0  # the highest temperature of samples; 0: the image at τ 0 alone
    perceptual: NonNegative = 2.0  # weight of LPIPS (VGG16) in the loss on samples, beside L1
    checkerboard_weight: NonNegative = 0.0  # of checkerboard artifacts in the loss on samples

    def __post_init__(self) -> None:
        check(self, "samples")


@dataclass(frozen=True)
class RunConfig:
    """A run: its data, its model, how it trains and for how long, and where it writes.

    Examples:
        >>> import caflow_cli as caflow
        >>> run = caflow.RunConfig("photos/", "run", caflow.OptimConfig(minutes=120))
        >>> run.flow.t_steps, run.task.name  # the preset `compact`, for super-resolution
        (8, 'superres')
    """

    data: str  # a folder, zip or manifest, or what the package datasets reads
    out: str  # the run's folder
    optim: OptimConfig
    flow: FlowConfig = field(default_factory=lambda: preset_flow("compact"))
    task: TaskConfig = field(default_factory=TaskConfig)
    samples: SamplesConfig = field(default_factory=SamplesConfig)
    seed: Annotated[int, number(ge=0, lt=2**32)] = 0  # of order, noise and first weights
    flip: bool = True  # mirror half of the images
    # Shrink whole images to `task.size`, or train on random crops of that size.
    crop: Literal["whole", "random"] = "whole"
    masks: str | None = None  # for inpainting: a set of masks, white where a hole is
    # Share of the holes that are parts of masks; the others are `task.holes`.
    mask_share: Annotated[float, number(gt=0, le=1)] = 0.5
    validate_every: Count = 250  # steps between validations
    validation_images: Count = 500  # at most; as many training images are measured in the same way
    save_every: Count = 100  # steps between states to resume from
    data_memory_gb: NonNegative = 2.0  # of larger sets every image is decoded at each visit
    tracker: Literal["tensorboard", "wandb", "trackio"] | None = None  # also gets the figures
    device: str = "auto"  # or cpu, cuda, cuda:N, mps
    init_from: str | None = None  # a model file to start from
    # VGG16's trunk, for LPIPS as a loss; by default CAFLOW_LPIPS_VGG_WEIGHTS, torch's cache, or a
    # download.
    perceptual_weights: str | None = None

    def __post_init__(self) -> None:
        check(self)
        if self.flow.guides and self.optim.guide_first == 0 and self.init_from is None:
            # A new guide has to train, for nothing trains it later.
            optim = dataclasses.replace(self.optim, **_guide_defaults(self.flow))
            object.__setattr__(self, "optim", optim)
            object.__setattr__(self, "optim", _without_missing_lpips(self))
        optim, samples, task = self.optim, self.samples, get_task(Config(self.flow, self.task))
        size, native, first = self.task.size, self.task.native, optim.guide_first
        step = math.lcm(self.flow.multiple, self.task.factor if task.name == "superres" else 1)
        as_read = task.derives_condition or native == (self.crop == "random")
        weight = max(optim.checkerboard_weight, samples.checkerboard_weight)
        for fits, name, value, wanted in (
            (not first or bool(self.flow.guides), "optim.guide_first", first, "0, or set a guide"),
            (
                not optim.checkerboard_weight or bool(self.flow.guides),
                "optim.checkerboard_weight",
                optim.checkerboard_weight,
                "0, or set a guide",
            ),
            (first + samples.share <= 1, "samples.share", samples.share, f"at most {1 - first:g}"),
            (self.masks is None or task.needs_mask, "masks", self.masks, "nothing but for inpaint"),
            (as_read, "task.native", native, f"{str(not native).lower()} with --crop {self.crop}"),
            (size % step == 0, "task.size", size, f"a multiple of {step}"),
            (
                not weight or size >= 32,
                "task.size",
                size,
                "32 or more, or checkerboard_weight to 0",
            ),
        ):
            require(fits, name, value, wanted)


def _guide_defaults(flow: FlowConfig) -> dict[str, Any]:
    """Settings of `optim` for a new guide. For a U-Net, rates above 0.001 were not tried."""
    return {"guide_first": 0.35, **({"guide_first_lr": 7e-4} if flow.guide_net == "unet" else {})}


def _without_missing_lpips(config: RunConfig) -> OptimConfig:
    """`optim`, without LPIPS if VGG16 is not at hand or the images are too small for it."""
    from ..perceptual import LEAST_SIDE, VGG, at_hand  # here: it imports torch

    if config.task.size >= LEAST_SIDE and at_hand(VGG, config.perceptual_weights):
        return config.optim
    # Without LPIPS there are no checkerboard artifacts to penalise.
    return dataclasses.replace(config.optim, guide_perceptual=0.0, checkerboard_weight=0.0)


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
    papers_task, paper = _PAPER.get(preset or "", (None, {}))
    if start is not None:
        flow = {**dataclasses.asdict(start.flow), **flow}
        own = {**dataclasses.asdict(start.task), **own}
    name = own.get("name", papers_task or TaskConfig.name)
    if preset is not None:  # which replaces the flow of a file
        flow = dataclasses.asdict(preset_flow(preset, str(name)))
        factor = own.get("factor", TaskConfig.factor)
        if isinstance(factor, int) and 2 <= factor <= 64:  # others are refused later
            flow["guide_factor"] = int(2 ** min(4, factor.bit_length() - 1))
        if name != papers_task:
            del flow["cond_channels"]  # which the task decides
        chosen = merged({"flow": {}}, settings)["flow"]
        if chosen.get("guide") == 0:
            flow["spread"] = FlowConfig.spread
        flow |= chosen
    if papers_task is not None:
        own = {"name": name, **own}
        budget = {**paper, "minutes": None} if optim.get("images") is not None else paper
        optim = {"schedule": "paper", "method": "adam", **budget, **optim}
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
        defaults = _guide_defaults(architecture)
        if start is not None and start.flow.same_guide(architecture):
            del defaults["guide_first"]  # it has trained
        optim = {**defaults, **optim}
    if start is not None and optim.get("schedule") == "stable":
        optim = {"warmup": _CONTINUED_WARMUP, **optim}
    run = parse(RunConfig, {**given, "optim": optim})
    if architecture.guides and "guide_perceptual" not in optim:
        return dataclasses.replace(run, optim=_without_missing_lpips(run))
    return run


def merged(values: dict[str, Any], settings: Sequence[str]) -> dict[str, Any]:
    """A copy of `values` (nested), which every `key=value` of `settings` overrides.

    A value is JSON, or else text.

    Raises:
        CaflowError: (exit 2) a setting has no `=`, or its key is in no table.
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


def to_toml(config: RunConfig) -> str:
    """Write the resolved config as TOML, without unset values.

    Raises:
        CaflowError: (exit 2) a path is not valid UTF-8, which TOML needs.
    """
    values = dataclasses.asdict(config)
    tables = {name: table for name, table in values.items() if isinstance(table, dict)}
    text = ""
    for name, table in {"": values, **tables}.items():
        text += f"\n[{name}]\n" if name else ""
        for key, value in table.items():
            if value is not None and not isinstance(value, dict):
                # JSON's values are TOML's, but for escaped surrogates, and DEL.
                written = json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
                text += f"{key} = {written}\n"
    try:
        # Where the system's language is C, names come as bytes in surrogates.
        return text.encode(errors="surrogateescape").decode()
    except UnicodeError as error:
        raise usage_error(
            "a path of this run is not UTF-8, and its config.toml must be",
            "rename the folder of --data or --out",
        ) from error
