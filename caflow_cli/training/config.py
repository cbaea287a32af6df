"""The config of a training run, as frozen dataclasses, and `config.toml`."""

import dataclasses
import json
import math
from dataclasses import dataclass, field
from typing import Annotated, Literal

from ..config import Config, FlowConfig, TaskConfig, require
from ..data.split import HoldOut
from ..errors import check_usage, usage_error
from ..records import Count, NonNegative, Positive, Share, Size, check, number
from ..tasks import Task, get_task, preset

_BelowOne = Annotated[float, number(ge=0, lt=1)]


@dataclass(frozen=True)
class OptimConfig:
    """Optimizer, schedule and budget (paper appendix B)."""

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
    # Share of the budget, at its start, in which only the guide trains. Default: 0.35 if it is new,
    # else 0. 1 trains a guide alone, whose model file other runs start from.
    guide_first: Share | None = None
    # The guide's peak learning rate, which follows `schedule`. Default: that of its net.
    guide_first_lr: Positive | None = None
    # Weight of LPIPS (VGG16) in the guide's loss, beside L1. Default: that of its net; 0 for images
    # too small for VGG16, and without its weights.
    guide_perceptual: NonNegative | None = None
    guide_perceptual_from: _BelowOne = 0.4  # share of the guide's time after which LPIPS is added
    checkerboard_weight: NonNegative = 0.0  # weight of checkerboard artifacts, added with LPIPS
    ema: _BelowOne = 0.999  # decay rate of the averaged weights
    cond_weight: NonNegative = 0.01  # λ, the weight of log p(y)
    bf16: bool = True  # networks train in bfloat16 where that is fast
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
    # Weight of LPIPS of a single sample at `tau` (`single_sample_loss`); if it is above 0, the
    # other losses are those of the image at τ 0.
    single: NonNegative = 0.0
    perceptual: NonNegative = 2.0  # weight of LPIPS (VGG16) in the loss on samples, beside L1
    checkerboard_weight: NonNegative = 0.0  # weight of checkerboard artifacts in that loss

    def __post_init__(self) -> None:
        check(self, "samples")


@dataclass(frozen=True)
class ExternalConfig:
    """A published network that is the guide (`guides.External`), and its file (`read_external`)."""

    file: str  # its safetensors file; for a model that already has the network, only the name
    sha256: str
    architecture: str  # as spandrel names it
    license: str = "not stated"

    def __post_init__(self) -> None:
        check(self, "guide")


@dataclass(frozen=True)
class RunConfig:
    """A training run: its data, model, optimization, budget and output folder.

    Examples:
        >>> import caflow_cli as caflow
        >>> run = caflow.RunConfig("photos/", "run", caflow.OptimConfig(minutes=120))
        >>> run.flow.t_steps, run.task.name  # the preset `compact`, for super-resolution
        (8, 'superres')
    """

    data: str  # a folder, zip or manifest, or a set that the package datasets reads
    out: str  # the run's folder
    optim: OptimConfig
    flow: FlowConfig = field(default_factory=lambda: preset("compact"))
    task: TaskConfig = field(default_factory=TaskConfig)
    samples: SamplesConfig = field(default_factory=SamplesConfig)
    guide: ExternalConfig | None = None  # with flow.guide_net "external"
    seed: Annotated[int, number(ge=0, lt=2**32)] = 0  # for order, noise and initial weights
    flip: bool = True  # mirror half of the images
    # Show images in all eight orientations, mirrored and transposed, whatever `flip` is. Default:
    # true for superres, unless `flip` is false.
    transpose: bool | None = None
    # Change the colors of most images at random (`recolored`), for sets of few images.
    recolor: bool = False
    # Shrink whole images to `task.size`, or train on random crops of that size.
    crop: Literal["whole", "random"] = "whole"
    # Bits per channel at which images are read; a model draws at either depth. 16 needs the extra
    # `deep`, and scales images of 8 bits by 257.
    depth: Literal[8, 16] = 8
    masks: str | None = None  # for inpainting: a set of masks, white in the holes
    # Share of the holes that are cut from masks; the others are as `task.holes` says.
    mask_share: Annotated[float, number(gt=0, le=1)] = 0.5
    validate_every: Count = 250  # steps between validations
    validation_images: Count = 500  # maximum; the same number of training images is measured, too
    save_every: Count = 100  # steps between states to resume from
    data_memory_gb: NonNegative = 2.0  # for decoded images; a larger set is decoded at every visit
    # Examples held out for a missing val/ or test/. "20+": 20, or 2 % of many, at most a fifth; one
    # half of a val/ of 20 or more chooses the model, and one calibrates it. "2%": 2 %,
    # and all of val/ does both. Default: "20+"; in a resumed run, what it began with.
    hold_out: HoldOut | None = None
    device: str = "auto"  # or cpu, cuda, cuda:N, mps
    init_from: str | None = None  # a model file to start from
    # VGG16's trunk, for LPIPS as a loss. Default: what CAFLOW_LPIPS_VGG_WEIGHTS names, else torch's
    # cache.
    perceptual_weights: str | None = None

    @property
    def width(self) -> float:
        """The width of the bins of stored values: 1, or 1/256 for 16 bits."""
        return 1.0 if self.depth == 8 else 1 / 256

    @property
    def orientations(self) -> int:
        """In how many orientations images are shown: 1, 2 (mirrored) or 8."""
        if self.transpose:
            return 8
        return 2 if self.flip else 1

    def __post_init__(self) -> None:
        check(self)
        task = get_task(Config(self.flow, self.task))
        self._check_guide(task)
        first = self.optim.guide_first or 0.0
        share = self.samples.share
        require(first + share <= 1, "samples.share", share, f"at most {1 - first:g}")
        require(
            self.masks is None or task.needs_mask, "masks", self.masks, "nothing but for inpaint"
        )
        self._check_images(task)
        size = self.task.size
        step = math.lcm(self.flow.multiple, task.factor)
        require(size % step == 0, "task.size", size, f"a multiple of {step}")
        require(
            size >= 32 or not self.optim.checkerboard_weight + self.samples.checkerboard_weight,
            "task.size",
            size,
            "32 or more, or checkerboard_weight to 0",
        )

    def _check_images(self, task: Task) -> None:
        """Check how images are read and shown."""
        first = self.optim.guide_first or 0.0
        require(
            self.depth == 8 or self.flow.dequantization == "uniform",
            "depth",
            self.depth,
            "8: variational noise is learned on 8 bits; or set flow.dequantization to uniform",
        )
        require(
            self.depth == 8 or self.task.degrade == "clean",
            "depth",
            self.depth,
            "8: photo inputs are compressed, with 8 bits; or set task.degrade to clean",
        )
        of_field = self.flow.anchor == "field"
        shown = first < 1 and not self.samples.share
        require(shown or not of_field, "optim.guide_first", first, "less than 1, and no samples")
        require(not of_field or self.crop == "random", "crop", self.crop, "random, for fields")
        require(
            task.role != "pairs" or not self.recolor,
            "recolor",
            self.recolor,
            "false: a stored condition has the colors of its target",
        )
        native = self.task.native
        require(
            task.role != "pairs" or native == (self.crop == "random"),
            "task.native",
            native,
            f"{str(not native).lower()} with --crop {self.crop}",
        )

    def _check_guide(self, task: Task) -> None:
        first = self.optim.guide_first or 0.0
        published = not self.flow.guide_spec.trains
        require(
            published == (self.guide is not None),
            "flow.guide_net",
            self.flow.guide_net,
            "external with a guide, and only then: --guide FILE",
        )
        require(
            not first or bool(self.flow.guides and not published),
            "optim.guide_first",
            first,
            "0, or set a guide that can be trained",
        )
        check_usage(
            not published or self.flow.guide_factor == task.factor,
            f"the guide enlarges {self.flow.guide_factor} times, {task.name} {task.factor} times",
            "a network for that factor, or --set task.factor=N for superres",
        )


def to_toml(config: RunConfig) -> str:
    """Write the resolved config as TOML, without unset values.

    Raises:
        CaflowError: (exit 2) a path is not valid UTF-8, which TOML needs.
    """
    values = dataclasses.asdict(config)
    tables = {"": values}
    for name, value in values.items():
        if isinstance(value, dict):
            tables[name] = value
            tables |= {f"{name}.{k}": v for k, v in value.items() if isinstance(v, dict)}
    text = ""
    for name, table in tables.items():
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
