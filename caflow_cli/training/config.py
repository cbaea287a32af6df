"""The config of a training run, as frozen dataclasses, and its `config.toml`."""

from __future__ import annotations

import dataclasses
import json
import math
from dataclasses import dataclass, field
from typing import Any

from ..config import Config, FlowConfig, TaskConfig, preset
from ..errors import EXIT_USAGE, CaflowError
from ..tasks import get_task

__all__ = ["OptimConfig", "RunConfig", "SamplesConfig", "to_toml"]


LATTICE_SIDE = 32  # of pictures, in pixels, in which `lattice` finds a period of 4
CROPS = ("whole", "random")
METHODS = ("muon", "adam")
SCHEDULES = ("cosine", "stable", "paper")
TRACKERS = ("tensorboard", "wandb", "trackio")


def _require(condition: bool, name: str, value: object, wanted: str) -> None:
    if not condition:
        raise CaflowError(f"{name} is {value!r}", f"set {name} {wanted}", EXIT_USAGE)


@dataclass(frozen=True)
class OptimConfig:
    """Optimiser, schedule and budget (paper appendix B)."""

    batch_size: int = 32  # images a step, over all processes and parts
    accumulate: int = 1  # parts of a batch, one after the other: less memory, the same step
    lr: float = 8e-3  # peak
    method: str = "muon"  # `Muon` for kernels within the flows' nets, Adam for all else; or "adam"
    schedule: str = "cosine"  # over the budget; or "stable", "paper": see `learning_rate`
    lr_floor: float = 0.01  # cosine and decay end at this share of the peak
    decay_share: float = 0.2  # "stable": the last share of the budget, in which the rate falls; 0:
    # it stays
    lr_decay: float = 0.999  # "paper": times this an epoch
    lr_drop_step: int = 70_000  # "paper": once, from this step on,
    lr_drop: float = 0.1  # times this
    warmup: int = 500  # steps of linear warm-up; "cosine": at most a fifth of the budget
    invconv_lr_width: int = 16  # a C×C matrix gets min(1, this / C) of the rate; 0: all of it
    guide_lr_share: float = 0.06  # of the rate, for the guide; 0: that stays as it is
    guide_first: float = 0.0  # share of the budget in which the guide learns alone, before all do,
    guide_first_lr: float = 2e-3  # at this peak rate, by a cosine of its own
    guide_loss: str = (
        "likelihood"  # of the guide alone; or "picture": L1 of what it means, and then
    )
    guide_perceptual: float = 2.0  # this times LPIPS (VGG16) as well; 0: L1 alone
    guide_perceptual_from: float = 0.4  # from this share of its time on,
    guide_lattice: float = 0.0  # and this times what repeats every four pixels (`lattice`)
    beta2: float = 0.99  # of Adam
    clip: float = 1.0  # norm of the gradient
    ema: float = 0.999
    cond_weight: float = 0.01  # λ
    bf16: bool = True  # in the nets
    compile: bool = False  # the flow steps, by `torch.compile`
    checkpoint_activations: bool = False  # less memory, a quarter to a half as much time again
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
        _require(self.method in METHODS, "optim.method", self.method, f"to {' or '.join(METHODS)}")
        losses = ("likelihood", "picture")
        _require(
            self.guide_loss in losses,
            "optim.guide_loss",
            self.guide_loss,
            f"to {' or '.join(losses)}",
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
            *("guide_lr_share", "guide_perceptual", "guide_lattice"),
        )
        for name in rest:
            value = getattr(self, name)
            _require(0 <= value < math.inf, f"optim.{name}", value, "to 0 or more")
        for name in ("beta2", "ema", "guide_first", "guide_perceptual_from"):
            value = getattr(self, name)
            _require(0 <= value < 1, f"optim.{name}", value, "from 0 to below 1")
        _require(0 <= self.decay_share <= 1, "optim.decay_share", self.decay_share, "from 0 to 1")
        _require(
            self.batch_size % self.accumulate == 0,
            "optim.accumulate",
            self.accumulate,
            f"to a divisor of the batch size {self.batch_size}",
        )


@dataclass(frozen=True)
class SamplesConfig:
    """The last part of a run, in which what the flows draw is taught as pictures, too."""

    share: float = 0.0  # of the budget; 0: there is no such part
    lr: float = 4e-4  # peak, by a cosine of its own
    weight: float = 1.0  # of the loss of those pictures, beside bits/dim
    tau: float = 0.0  # the highest temperature of what is drawn; 0: the picture at τ 0 alone
    perceptual: float = 2.0  # of LPIPS (VGG16) in that loss, beside L1; 0: L1 alone
    lattice: float = 0.0  # of what repeats every four pixels (`lattice`)

    def __post_init__(self) -> None:
        _require(0 <= self.share <= 1, "samples.share", self.share, "from 0 to 1")
        for name in ("lr", "weight"):
            value = getattr(self, name)
            _require(0 < value < math.inf, f"samples.{name}", value, "above 0")
        for name in ("perceptual", "tau", "lattice"):
            value = getattr(self, name)
            _require(0 <= value < math.inf, f"samples.{name}", value, "to 0 or more")


@dataclass(frozen=True)
class RunConfig:
    """A run: its data, its model, how it learns and for how long, and where it writes.

    Examples:
        >>> import caflow_cli as caflow
        >>> run = caflow.RunConfig("photos/", "run", caflow.OptimConfig(minutes=120))
        >>> run.flow.t_steps, run.task.name  # the preset `compact`, for super-resolution
        (8, 'superres')
    """

    data: str  # folder, zip, manifest, shards, table, or a set of the Hub (`data.Address`)
    out: str  # the run's folder
    optim: OptimConfig
    flow: FlowConfig = field(default_factory=lambda: preset("compact"))
    task: TaskConfig = field(default_factory=TaskConfig)
    samples: SamplesConfig = field(default_factory=SamplesConfig)
    seed: int = 0
    flip: bool = True
    zoom: float = 0.0  # of a picture's sides at most so much is cut off, and the rest enlarged
    crop: str = "whole"  # pictures are shrunk to `task.size`; or "random": parts of that size are
    # learned from pictures of any size,
    crop_native: float = 0.67  # this share of them as they are,
    crop_shrink: float = 4.0  # the others of a picture that is shrunk, at most so many times
    masks: str | None = None  # folder or zip of masks, white where a hole is: for inpainting,
    mask_share: float = 0.5  # this share of the holes are parts of them, the others `task.holes`
    validate_every: int = 250  # steps
    validation_images: int = 500  # at most; as many of the training pictures are measured alike
    grid_every: int = 4  # validations
    save_every: int = 100  # steps between states to go on from
    data_memory_gb: float = 2.0  # decoded sets above this are mapped from a file in the run
    stream_buffer: int = 2000  # pictures of a stream that are kept, and drawn from
    tracker: str | None = None  # `TRACKERS`: it gets figures and sample grids, too
    device: str = "auto"
    init_from: str | None = None  # a model file to start from
    perceptual_weights: str | None = None  # VGG16's trunk, where a guide learns how pictures look;
    # None: CAFLOW_LPIPS_VGG_WEIGHTS, else torch's cache, else a download

    def __post_init__(self) -> None:
        _require(0 <= self.seed < 2**32, "seed", self.seed, "from 0 to below 2^32")
        counts = ("validate_every", "validation_images", "grid_every", "save_every")
        for name in (*counts, "stream_buffer"):
            _require(getattr(self, name) >= 1, name, getattr(self, name), "to 1 or more")
        _require(0 <= self.zoom < 1, "zoom", self.zoom, "from 0 to below 1")
        _require(self.crop in CROPS, "crop", self.crop, f"to {' or '.join(CROPS)}")
        _require(0 <= self.crop_native <= 1, "crop_native", self.crop_native, "from 0 to 1")
        _require(1 <= self.crop_shrink < math.inf, "crop_shrink", self.crop_shrink, "to 1 or more")
        _require(0 < self.mask_share <= 1, "mask_share", self.mask_share, "above 0, at most 1")
        _require(
            self.zoom == 0 or self.crop == "whole",
            "zoom",
            self.zoom,
            "to 0, for crops are drawn at random already",
        )
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
        _require(
            self.optim.guide_first + self.samples.share <= 1,
            "samples.share",
            self.samples.share,
            f"to at most {1 - self.optim.guide_first:g}: optim.guide_first has the rest",
        )
        for name, weight in (
            ("optim.guide_lattice", self.optim.guide_lattice),
            ("samples.lattice", self.samples.lattice),
        ):
            _require(
                weight == 0 or self.task.size >= LATTICE_SIDE,
                name,
                weight,
                f"to 0, or task.size to {LATTICE_SIDE} or more",
            )
        looks = self.optim.guide_loss == "picture" and self.optim.guide_perceptual > 0
        _require(
            self.optim.guide_lattice == 0
            or (bool(self.flow.guides) and self.optim.guide_first > 0 and looks),
            "optim.guide_lattice",
            self.optim.guide_lattice,
            "to 0: it counts only where LPIPS teaches a guide, with optim.guide_first and "
            'optim.guide_perceptual above 0 and optim.guide_loss "picture"',
        )
        learns = self.optim.guide_lr_share > 0 or self.optim.guide_first > 0
        _require(
            not self.flow.guides or learns or self.init_from is not None,
            "optim.guide_lr_share",
            self.optim.guide_lr_share,
            "above 0, or optim.guide_first: the guide would never learn",
        )
        task = get_task(Config(self.flow, self.task))
        _require(
            self.masks is None or task.needs_mask,
            "masks",
            self.masks,
            'only for the task "inpaint"',
        )
        _require(
            not self.task.native or self.crop == "random",
            "task.native",
            self.task.native,
            "to false, or learn from parts of pairs with --crop random",
        )
        _require(
            task.derives_condition or self.task.native or self.crop != "random",
            "task.native",
            self.task.native,
            "to true, for --crop random learns from parts of pairs; or leave that out",
        )
        step = math.lcm(self.flow.multiple, self.task.factor if task.name == "superres" else 1)
        _require(
            self.task.size % step == 0, "task.size", self.task.size, f"to a multiple of {step}"
        )

    def to_dict(self) -> dict[str, Any]:
        return dataclasses.asdict(self)


def to_toml(config: RunConfig) -> str:
    """Write the resolved config as TOML, without unset values.

    Raises:
        CaflowError: (exit 2) a path is not valid UTF-8, which TOML needs.
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
