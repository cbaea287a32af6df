"""The config of a training run, as frozen dataclasses; how it is built from a user's file,
settings, preset and task, and written to `config.toml`."""

import contextlib
import copy
import dataclasses
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

from ..config import Config, FlowConfig, TaskConfig, require
from ..data.examples import condition_channels
from ..errors import check_usage, usage_error
from ..records import Count, NonNegative, Positive, Share, Size, check, number, parse
from ..tasks import get_task, preset as preset_flow, task_named

_BelowOne = Annotated[float, number(ge=0, lt=1)]
# The paper's presets set more than the architecture (appendix B). Their budget is the training time
# on one Tesla P100: 4.5, 3 and 5 days.
_PAPER: dict[str, tuple[str, dict[str, Any]]] = {
    "ffhq-superres-x4": ("superres", {"lr": 1e-3, "cond_weight": 0.01, "minutes": 6480.0}),
    "lsun-colorize": ("colorize", {"lr": 1e-3, "cond_weight": 0.01, "minutes": 4320.0}),
    "celeba-inpaint": ("inpaint", {"lr": 1e-4, "cond_weight": 0.05, "minutes": 7200.0}),
}
# For a run at a constant rate that starts from another run's weights: they tolerate the full rate
# at once, but the optimiser needs some steps to estimate its moments.
_CONTINUED_WARMUP = 150


@dataclass(frozen=True)
class OptimConfig:
    """Optimiser, schedule and budget (paper appendix B)."""

    batch_size: Count = 32  # images per step, over all processes and parts
    # Gradient accumulation: how many parts each process divides its share of a batch into. More
    # parts take less memory, and the step is the same.
    accumulate: Count = 1
    lr: Positive = 8e-3  # peak learning rate
    # Muon for the kernels of the flows' networks and Adam for everything else; or Adam alone.
    method: Literal["muon", "adam"] = "muon"
    # "cosine" decays to a hundredth over the budget; "stable" is constant and decays at the end;
    # "paper" is the schedule of appendix B.
    schedule: Literal["cosine", "stable", "paper"] = "cosine"
    decay_share: Share = 0.2  # stable: share of the budget, at its end, in which the rate decays
    warmup: Size = 500  # steps of linear warm-up; cosine: at most a fifth of the budget
    # Share of the budget, at its start, in which only the guide trains. 0 means 0.35 if it is new.
    guide_first: _BelowOne = 0.0
    guide_first_lr: Positive = 2e-3  # the guide's peak learning rate, with its own cosine schedule
    guide_perceptual: NonNegative = 2.0  # weight of LPIPS (VGG16) in the guide's loss, beside L1
    guide_perceptual_from: _BelowOne = 0.4  # share of the guide's time after which LPIPS is added
    checkerboard_weight: NonNegative = 0.0  # weight of checkerboard artifacts, added with LPIPS
    ema: _BelowOne = 0.999  # decay rate of the averaged weights
    cond_weight: NonNegative = 0.01  # λ, the weight of log p(y)
    bf16: bool = True  # networks train in bfloat16 where that is fast
    compile: bool = False  # compile the flow steps with torch.compile
    checkpoint_activations: bool = False  # recompute activations: less memory, 20 to 35 % more time
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
    """The last part of a run, in which a loss on samples is added to the likelihood."""

    share: Share = 0.0  # share of the budget, at its end, with a loss on samples
    lr: Positive = 4e-4  # peak learning rate of this part, with its own cosine schedule
    weight: Positive = 1.0  # weight of the loss on samples, beside bits/dim
    tau: NonNegative = 0.0  # the highest temperature of the samples; 0: only the image at τ 0
    perceptual: NonNegative = 2.0  # weight of LPIPS (VGG16) in the loss on samples, beside L1
    checkerboard_weight: NonNegative = 0.0  # weight of checkerboard artifacts in that loss

    def __post_init__(self) -> None:
        check(self, "samples")


@dataclass(frozen=True)
class RunConfig:
    """A training run: its data, model, optimisation, budget and output folder.

    Examples:
        >>> import caflow_cli as caflow
        >>> run = caflow.RunConfig("photos/", "run", caflow.OptimConfig(minutes=120))
        >>> run.flow.t_steps, run.task.name  # the preset `compact`, for super-resolution
        (8, 'superres')
    """

    data: str  # a folder, zip or manifest, or a set that the package datasets reads
    out: str  # the run's folder
    optim: OptimConfig
    flow: FlowConfig = field(default_factory=lambda: preset_flow("compact"))
    task: TaskConfig = field(default_factory=TaskConfig)
    samples: SamplesConfig = field(default_factory=SamplesConfig)
    seed: Annotated[int, number(ge=0, lt=2**32)] = 0  # for order, noise and initial weights
    flip: bool = True  # mirror half of the images
    # Shrink whole images to `task.size`, or train on random crops of that size.
    crop: Literal["whole", "random"] = "whole"
    masks: str | None = None  # for inpainting: a set of masks, white in the holes
    # Share of the holes that are cut from masks; the others are as `task.holes` says.
    mask_share: Annotated[float, number(gt=0, le=1)] = 0.5
    validate_every: Count = 250  # steps between validations
    validation_images: Count = 500  # maximum; the same number of training images is measured, too
    save_every: Count = 100  # steps between states to resume from
    data_memory_gb: NonNegative = 2.0  # for decoded images; a larger set is decoded at every visit
    tracker: Literal["tensorboard", "wandb", "trackio"] | None = None  # also receives the figures
    device: str = "auto"  # or cpu, cuda, cuda:N, mps
    init_from: str | None = None  # a model file to start from
    # VGG16's trunk, for LPIPS as a loss. Default: what CAFLOW_LPIPS_VGG_WEIGHTS names, else torch's
    # cache, else a download.
    perceptual_weights: str | None = None

    def __post_init__(self) -> None:
        check(self)
        if self.flow.guides and self.optim.guide_first == 0 and self.init_from is None:
            # A new guide must train first, because it is fixed afterwards.
            optim = dataclasses.replace(self.optim, **_guide_defaults(self.flow))
            object.__setattr__(self, "optim", optim)
            object.__setattr__(self, "optim", _without_missing_lpips(self))
        optim, samples, task = self.optim, self.samples, get_task(Config(self.flow, self.task))
        size, native, first = self.task.size, self.task.native, optim.guide_first
        step = math.lcm(self.flow.multiple, task.factor)
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
    """Settings of `optim` for a new guide. For a U-Net, rates above 0.001 are untested."""
    return {"guide_first": 0.35, **({"guide_first_lr": 7e-4} if flow.guide_net == "unet" else {})}


def _without_missing_lpips(config: RunConfig) -> OptimConfig:
    """`optim`, without LPIPS if VGG16 is unavailable or the images are too small for it."""
    from ..perceptual import LEAST_SIDE, VGG, at_hand  # imported here, because it imports torch

    if config.task.size >= LEAST_SIDE and at_hand(VGG, config.perceptual_weights):
        return config.optim
    # Checkerboard artifacts come from LPIPS: without it there is nothing to penalise.
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

    If neither values nor settings state the number of condition channels, the task decides it; for
    paired data it is 1 if the conditions are grey, else 3.

    Args:
        values: Nested, as in `config.toml`.
        settings: `key=value` strings, which override everything else.
        preset: Name of the architecture, by default `compact`. The paper's presets also set task,
            schedule and budget, unless values or settings do.
        task: Name of the task.
        start: Config of the model whose weights the run starts from. It supplies the fields of flow
            and task that values and settings do not state.

    Raises:
        CaflowError: (exit 2) a setting has no `=`, a key is unknown, a value has the wrong type, or
            the preset or task is unknown.
    """
    if task is not None:
        settings = [f"task.name={task}", *settings]
    given = {"flow": {}, "task": {}, "optim": {}, "samples": {}, **merged(values, settings)}
    flow, own, optim, samples = (given[name] for name in ("flow", "task", "optim", "samples"))
    if not all(isinstance(table, dict) for table in (flow, own, optim, samples)):
        parse(RunConfig, given)  # raises, because one of them is not a table
    if preset is None and start is None and not values.get("flow"):
        preset = "compact"
    papers_task, paper = _PAPER.get(preset or "", (None, {}))
    if start is not None:
        flow = {**dataclasses.asdict(start.flow), **flow}
        own = {**dataclasses.asdict(start.task), **own}
    name = own.get("name", papers_task or TaskConfig.name)
    if preset is not None:  # replaces the flow of a config file
        flow = dataclasses.asdict(preset_flow(preset, str(name)))
        factor = own.get("factor", TaskConfig.factor)
        if isinstance(factor, int) and 2 <= factor <= 64:  # others are rejected later
            flow["guide_factor"] = int(2 ** min(4, factor.bit_length() - 1))
        if name != papers_task:
            del flow["cond_channels"]  # the task decides
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
    if preset is None and start is None:  # a config file: explicit
        return parse(RunConfig, {**given, "optim": optim})
    architecture = parse(FlowConfig, flow, "flow")
    if architecture.guides:
        defaults = _guide_defaults(architecture)
        if start is not None and start.flow.same_guide(architecture):
            del defaults["guide_first"]  # the guide is trained already
        optim = {**defaults, **optim}
    if start is not None and optim.get("schedule") == "stable":
        optim = {"warmup": _CONTINUED_WARMUP, **optim}
    run = parse(RunConfig, {**given, "optim": optim})
    if architecture.guides and "guide_perceptual" not in optim:
        return dataclasses.replace(run, optim=_without_missing_lpips(run))
    return run


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
                # JSON values are valid TOML, except for escaped surrogates and DEL.
                written = json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
                text += f"{key} = {written}\n"
    try:
        # In the C locale, file names contain undecoded bytes as surrogates.
        return text.encode(errors="surrogateescape").decode()
    except UnicodeError as error:
        raise usage_error(
            "a path of this run is not UTF-8, and its config.toml must be",
            "rename the folder of --data or --out",
        ) from error
