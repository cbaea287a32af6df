"""The config of a training run, as frozen dataclasses, and its `config.toml`."""

from __future__ import annotations

import dataclasses
import json
import math
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

from ..config import Config, FlowConfig, TaskConfig, preset, require
from ..errors import usage_error
from ..records import Count, NonNegative, Positive, Share, Size, check, number
from ..tasks import get_task

__all__ = [
    "OptimConfig",
    "RunConfig",
    "SamplesConfig",
    "guide_defaults",
    "to_toml",
    "without_missing_lpips",
]

_CHECKERBOARD_SIDE = 32  # of images, in pixels, in which `checkerboard` finds a period of 4
Tracker = Literal["tensorboard", "wandb", "trackio"]
_BelowOne = Annotated[float, number(ge=0, lt=1)]


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
        if (self.images is None) == (self.minutes is None):
            raise usage_error(
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
    flow: FlowConfig = field(default_factory=lambda: preset("compact"))
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
    tracker: Tracker | None = None  # also gets figures and sample grids
    device: str = "auto"  # or cpu, cuda, cuda:N, mps
    init_from: str | None = None  # a model file to start from
    # VGG16's trunk, for LPIPS as a loss; by default CAFLOW_LPIPS_VGG_WEIGHTS, torch's cache, or a
    # download.
    perceptual_weights: str | None = None

    def __post_init__(self) -> None:
        check(self)
        if self.flow.guides and self.optim.guide_first == 0 and self.init_from is None:
            # A new guide has to train, for nothing trains it later.
            optim = dataclasses.replace(self.optim, **guide_defaults(self.flow))
            object.__setattr__(self, "optim", optim)
            object.__setattr__(self, "optim", without_missing_lpips(self))
        optim, samples, task = self.optim, self.samples, get_task(Config(self.flow, self.task))
        size, native = self.task.size, self.task.native
        step = math.lcm(self.flow.multiple, self.task.factor if task.name == "superres" else 1)
        by_lpips = optim.guide_first > 0 and optim.guide_perceptual > 0
        large = f"{_CHECKERBOARD_SIDE} or more"
        for fits, name, value, wanted in (
            (
                not optim.guide_first or bool(self.flow.guides),
                *("optim.guide_first", optim.guide_first),
                "0, for flow.guide is 0, or give the model a guide",
            ),
            (
                optim.guide_first + samples.share <= 1,
                *("samples.share", samples.share),
                f"at most {1 - optim.guide_first:g}: optim.guide_first has the rest",
            ),
            (
                not optim.checkerboard_weight or (size >= _CHECKERBOARD_SIDE and by_lpips),
                *("optim.checkerboard_weight", optim.checkerboard_weight),
                "0, or optim.guide_first and optim.guide_perceptual above 0, and task.size to "
                + large,
            ),
            (
                not samples.checkerboard_weight or size >= _CHECKERBOARD_SIDE,
                *("samples.checkerboard_weight", samples.checkerboard_weight),
                f"0, or task.size to {large}",
            ),
            (
                self.masks is None or task.needs_mask,
                *("masks", self.masks),
                "nothing, but for the task inpaint",
            ),
            (
                task.derives_condition or native == (self.crop == "random"),
                *("task.native", native),
                "true with --crop random, which trains on crops of pairs, and to false without it",
            ),
            (size % step == 0, "task.size", size, f"a multiple of {step}"),
        ):
            require(fits, name, value, wanted)


def guide_defaults(flow: FlowConfig) -> dict[str, Any]:
    """Settings of `optim` for a new guide. For a U-Net, rates above 0.001 were not tried."""
    return {"guide_first": 0.35, **({"guide_first_lr": 7e-4} if flow.guide_net == "unet" else {})}


def without_missing_lpips(config: RunConfig) -> OptimConfig:
    """`optim`, without LPIPS if VGG16 is not at hand or the images are too small for it."""
    from ..perceptual import LEAST_SIDE, VGG, at_hand  # here: it imports torch

    if config.task.size >= LEAST_SIDE and at_hand(VGG, config.perceptual_weights):
        return config.optim
    # Without LPIPS there are no checkerboard artifacts to penalise.
    return dataclasses.replace(config.optim, guide_perceptual=0.0, checkerboard_weight=0.0)


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
