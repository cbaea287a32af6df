"""The config of a model, as frozen dataclasses, and the presets."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar, Literal, TypeAlias

from .errors import CaflowError, check_usage, usage_error
from .guide_specs import GUIDES, GuideName, GuideSpec
from .records import Constraint, Count, NonNegative, Positive, Size, Table, check, number, short
from .temperature import Tau as Tau, Temperature as Temperature

Extent: TypeAlias = tuple[int, int]  # height and width, in pixels
HOLE = 128  # mask values from here up mark the hole
MOST_FILLED = 0.5  # the largest share of a mask's white; above it, the mask is probably inverted
FILL = 128  # value in the hole of a condition that has a mask


def _words(channels: tuple[int, int]) -> str:
    return "cond_channels {}, target_channels {}".format(*channels)


def require(condition: bool, name: str, value: object, wanted: str) -> None:
    """Raise CaflowError (exit 2) for a field's value, with a hint at what is `wanted` instead."""
    if not condition:  # texts of large values take longer than the check
        raise usage_error(f"{name} is {short(value)}", f"set {name} to {wanted}")


@dataclass(frozen=True)
class Values:
    """The values of a model of fields: their unit, and the scale g = T(x) on which it has them.

        g = 10 log10(x / zero)               "db"; values below zero are dry
        g = 30 (x - low) / (high - low)      "linear"; no cell is dry
        g = x / resolution                   "relative"; only differences of values count

    `SCALES` in `caflow_cli/fields/scale.py` has all of them.

    Raises:
        CaflowError: (exit 2) a value is of the wrong type, or two contradict each other.
    """

    unit: Annotated[str, Constraint.text(r"\S.{0,30}", "a unit, such as mm/h")]
    transform: Annotated[str, Constraint.text(r"[a-z]\w{0,30}", "a scale, such as linear")]  # T
    low: float  # least value of the training fields,
    high: float  # and their largest one
    zero: Positive | None = None  # "db": the least value of a wet cell, in the unit
    resolution: Positive | None = None  # "relative": how much of the unit is 1 on the scale

    def __post_init__(self) -> None:
        check(self, "task.values")
        db = self.transform == "db"
        wanted = "the least value of a wet cell" if db else f"none: {self.transform!r} has no zero"
        require(db == (self.zero is not None), "task.values.zero", self.zero, wanted)
        relative = self.transform == "relative"
        wanted = f"a number if, and only if, transform is relative; it is {self.transform}"
        stated = self.resolution is not None
        require(relative == stated, "task.values.resolution", self.resolution, wanted)
        require(self.low >= 0 or not db, "task.values.low", self.low, "0 or more, for dB")
        least = max(self.low, self.zero or self.low)
        require(least < self.high, "task.values.high", self.high, f"more than {least:g}")


# Constants of every model.
TRANSITIONS = 2  # transition steps of each scale (paper appendix A.1)
NOISE_STEPS = 4  # conditional steps of q(u|w), with variational dequantization

# Anchors, and the numbers of condition and target channels that each one requires.
_ANCHORS = {
    "pixels": (4, 3),
    "fill": (4, 3),
    "luminance": (1, 3),
    "enlarged": (3, 3),
    "field": (2, 1),
}
_MOST_LAYERS = 1000  # flow steps and residual blocks; the deepest preset of the paper has 276
_MOST_CHANNELS = 1 << 17


def _each(value: Any, count: int) -> tuple[Any, ...]:
    return value if isinstance(value, tuple) else (value,) * count


@dataclass(frozen=True)
class FlowConfig:
    """The architecture: sizes and variants of the flows (docs/model.md).

    A field that a model file does not state has its default, so defaults must never change. New
    models get the preset `compact` instead.

    Raises:
        CaflowError: (exit 2) a value is of the wrong type or out of range, two contradict each
            other, or the model would exceed 1,000 layers or 131,072 channels in one of them.
    """

    GUIDE_NET: ClassVar[Any] = ("guide_net", "guide_blocks", "guide_factor", "guide_reach")
    GUIDE_FIELDS: ClassVar[Any] = ("guide", *GUIDE_NET, "guide_views")

    # The number of scales, n; image sides must be multiples of 2^(n+1).
    scales: Annotated[int, number(ge=1, le=12)] = 3
    target_channels: Count = 3
    cond_channels: Count = 3
    r_steps: Size = 4  # flow steps of each scale of R, the condition's flow
    t_steps: Size = 8  # flow steps of each scale of T, the target's flow
    f_steps: Count = 5  # flow steps of each f_j^i
    # Hidden channels of the nets of R and T: one value, or one per scale, finest first. Coarse
    # scales have more channels, and width costs little there.
    hidden: Count | tuple[Count, ...] = 48
    f_hidden: Count = 32  # hidden channels of the nets of F
    # Width of the net that reads the condition once for all steps of an f_j^i: one value, or one
    # per j, finest first; 0: no such net.
    trunk: Size | tuple[Size, ...] = 0
    trunk_blocks: Size = 1  # depth of the trunk; every other block works at half the resolution
    trunk_norm: bool = False  # scale what its blocks and heads read to unit RMS at every pixel
    # "shared" is appendix D; "dual-glow" is the baseline, equation 6.
    conditional: Literal["caflow", "shared", "dual-glow"] = "caflow"
    dequantization: Literal["uniform", "variational"] = "uniform"  # appendix A.1
    scale_bound: Positive = 2.0  # log-scales lie in (-bound, bound)
    # Bounds of log-scales (default: `scale_bound`) and shifts (default: none) in couplings of R and
    # T, one or one per scale, finest first: small ones keep T's inverse from amplifying.
    coupling_bound: Positive | tuple[Positive, ...] | None = None
    shift_bound: Positive | tuple[Positive, ...] | None = None
    # The part of the target that the condition determines, so that the flow models only the rest:
    # "pixels" (outside a hole; 4 channels), "fill" (the same, with a smooth fill of the hole),
    # "luminance" (1 channel), "enlarged" (all of it, coarsely; 3 channels) or "field" (the means of
    # a measured field and its dry parts; 1 channel).
    anchor: Literal["none", "pixels", "fill", "luminance", "enlarged", "field"] = "none"
    # Widths of a net over the whole condition that predicts the mean of every value of the target,
    # at 1/2, 1/4, ... 2^-(n+1) of its resolution; 0: no guide. R reads the predicted image, too.
    guide: Size | tuple[Count, ...] = 0
    # Nets at the small image's size (`guide_specs`) have one width; "enlarge" has one, or two more
    # at 1/2 and 1/4 of that size.
    guide_net: GuideName = "none"
    guide_blocks: Count = 12  # "enlarge": residual blocks; "compact": inner convolutions
    guide_factor: Count = 4  # at the small image's size: how many times it was enlarged
    # "external": how many pixels of the small image it reads on each side of a pixel; in tiles it
    # reads as many around each tile.
    guide_reach: Annotated[int, number(ge=0, le=64)] = 0
    # The guide averages the predictions of its net over this many orientations of the condition: 2
    # adds the mirror image, 4 mirrors vertically as well, 8 adds the transposes.
    guide_views: Literal[1, 2, 4, 8] = 1
    dry: bool = True  # "field": whether cells may be dry; if not, every number is a value
    # Width of a net that scales the residual of the guide's prediction; it reads the condition and
    # the predicted image, and trains with the flows; 0: no such net.
    spread: Size = 0

    def __post_init__(self) -> None:
        check(self, "flow")
        per_scale = f"one value, or {self.scales}, one per scale"
        require(len(self.widths) == self.scales, "flow.hidden", self.hidden, per_scale)
        require(len(self.trunks) == self.scales, "flow.trunk", self.trunk, per_scale)
        for name in ("coupling_bound", "shift_bound"):
            value = getattr(self, name)
            require(len(_each(value, self.scales)) == self.scales, f"flow.{name}", value, per_scale)
        self._check_anchor()
        self._check_guide()
        self._check_size()

    def _check_anchor(self) -> None:
        channels = (self.cond_channels, self.target_channels)
        spec = self.guide_spec
        fits = _ANCHORS.get(self.anchor, channels) == channels
        fits &= spec.of_field == (self.anchor == "field")
        if not fits or (spec.enlarges and self.anchor != "enlarged"):
            raise self._misfit(channels)

    def _misfit(self, channels: tuple[int, int]) -> CaflowError:
        """The error on an anchor that does not fit, with combinations that do."""
        net, spec = self.guide_net, self.guide_spec
        needed = "field" if spec.of_field else "enlarged" if spec.enlarges else None
        own = {"none": channels, **_ANCHORS}
        names = [needed] if needed else [name for name in own if name != "field"]
        fitting = [name for name in names if own[name] == channels]
        if not fitting and needed:
            hint = f"unet, with {_words(channels)}; {net} needs anchor {needed}, "
            hint = f"set flow.guide_net to {hint}{_words(own[needed])}"
            return usage_error(f"flow.guide_net is {net!r}", hint)
        other = "enlarge" if spec.enlarges else "unet" if spec.of_field else net
        other = "censored" if self.anchor == "field" else other
        hint = f"{' or '.join(fitting)}, with guide_net {net}, {_words(channels)}; "
        hint += f"{self.anchor} needs guide_net {other}, {_words(own[self.anchor])}"
        return usage_error(f"flow.anchor is {self.anchor!r}", f"set flow.anchor to {hint}")

    def _check_guide(self) -> None:
        if not self.guides:
            without = "or give the model a guide"
            require(self.guide_views == 1, "flow.guide_views", self.guide_views, f"1, {without}")
            require(self.spread == 0, "flow.spread", self.spread, f"0, {without}")
            return
        require(self.guide_net != "none", "flow.guide_net", "none", " or ".join([*GUIDES][1:]))
        spec = self.guide_spec
        counts = spec.counts(self.scales)
        asked = "one value" + (f", or {counts[-1]}" if counts[-1] > 1 else "")
        require(len(self.guides) in counts, "flow.guide", self.guide, asked)
        if spec.widths:
            # Each width after the first halves the resolution of the small image once more.
            most = self.scales + 2 - len(self.guides)
            powers = [2**k for k in range(most + 1) if 2**k >= spec.least_factor]
            fits = self.guide_factor in powers
            require(fits, "flow.guide_factor", self.guide_factor, f"one of {powers}")
        alone = not spec.of_field or (self.spread == 0 and self.guide_views == 1)
        require(alone, "flow.spread", self.spread, "0, and guide_views to 1, for a field")
        fits = spec.channels in (0, self.cond_channels)
        asked = f"{spec.channels}, which the guide reads"
        require(fits, "flow.cond_channels", self.cond_channels, asked)

    def _check_size(self) -> None:
        """Bound the model's size: that of "caflow" with a trunk and a guide."""
        n = self.scales
        layers = n * (self.r_steps + self.t_steps) + self.guide_blocks
        layers += n * (n + 1) // 2 * (self.f_steps + self.trunk_blocks)
        widest = max(self.r_channels, self.target_channels) * 2 ** (n + 3)  # squeezed L_0 and D_0
        nets = (*self.widths, *self.trunks, *self.guides, self.spread)
        unshuffled = self.guide_factor**2 * self.cond_channels
        channels = max(widest, *nets, 2 * self.f_steps * self.f_hidden, unshuffled)
        check_usage(
            layers <= _MOST_LAYERS and channels <= _MOST_CHANNELS,
            f"the model would have up to {layers:,} layers, of up to {channels:,} channels",
            f"reduce scales, steps or widths: at most {_MOST_LAYERS:,} and {_MOST_CHANNELS:,}",
        )

    @property
    def widths(self) -> tuple[int, ...]:
        return _each(self.hidden, self.scales)

    @property
    def trunks(self) -> tuple[int, ...]:
        return _each(self.trunk, self.scales)

    @property
    def bounds(self) -> list[tuple[float, float | None]]:
        """The bounds of log-scales and shifts in the couplings of R and T, finest scale first."""
        scale = self.coupling_bound or self.scale_bound
        return [*zip(_each(scale, self.scales), _each(self.shift_bound, self.scales), strict=True)]

    @property
    def guide_spec(self) -> GuideSpec:
        """The description of the guide's net; that of "none" if there is no guide."""
        return GUIDES[self.guide_net if self.guide else "none"]

    @property
    def guides(self) -> tuple[int, ...]:
        """Widths of the guide, finest first; empty if there is no guide."""
        return _each(self.guide, self.guide_spec.counts(self.scales)[0] if self.guide else 0)

    @property
    def latent_scales(self) -> tuple[int, ...]:
        """The scale of each latent, 0 for the finest: n - 1 - j for z_j^i, in the order
        z_{n-1}^{n-1}, z_{n-2}^{n-1}, ..., z_0^0."""
        n = self.scales
        if self.conditional == "dual-glow":  # one latent per scale
            return tuple(range(n))
        return tuple(scale for finest in range(n) for scale in range(finest, n))

    @property
    def guide_margin(self) -> int:
        """How far from a pixel a guide with `guide_reach` reads y, in pixels, as a multiple.
        At least one pixel of the small image is added, as each is estimated from y around it."""
        reach = (self.guide_reach + 1) * self.guide_factor if self.guide_reach else 0
        return math.ceil(reach / self.multiple) * self.multiple

    def same_guide(self, other: FlowConfig) -> bool:
        """Whether the guides of both have the same tensors."""
        names = ("guides", *self.GUIDE_NET)
        return all(getattr(self, name) == getattr(other, name) for name in names)

    @property
    def r_channels(self) -> int:
        images = self.cond_channels + self.target_channels * bool(self.guides)
        return 2 if self.anchor == "field" else images

    @property
    def multiple(self) -> int:
        """What image sides must be multiples of: R and T squeeze n times, and F once more."""
        return 2 << self.scales


@dataclass(frozen=True)
class TaskConfig:
    """The task that the model was trained for, and its default sampling settings.

    They come from model files and determine memory and time, so their values are bounded.
    `tasks.check_task` checks the name, and fields that only some tasks have.

    Raises:
        CaflowError: (exit 2) a value is of the wrong type or out of range.
    """

    name: str = "superres"  # a key of `tasks.TASKS`
    factor: Annotated[int, number(ge=2, le=64)] = 4  # superres: how many times larger
    size: Annotated[int, number(ge=4, le=8192)] = 64  # side of the training images
    holes: Literal["mixed", "central", "random"] = "mixed"  # inpaint: training holes (central 25 %)
    rim: Size = 0  # inpaint: width of the rim of thick holes that is filled at native scale
    # inpaint: side of the windows onto holes, in images larger than `size`; 0: `size`.
    window: Size = 0
    # paired: read conditions at their own scale; if false, resize their shorter side to `size`.
    native: bool = False
    gray: bool = False  # paired: results are gray, the luminance of what is drawn
    # Temperature: one value, or one per scale (finest first) or latent; None: the task's default.
    tau: NonNegative | tuple[NonNegative, ...] | None = None
    candidates: Annotated[int, number(ge=1, le=10_000)] | None = None  # M; None: the task's default
    # Training inputs. superres: shrunk by BICUBIC, or "photo": also blurred, noisy, compressed and
    # shrunk by various kernels. colorize: with the luminance of the image, or "photo": that of an
    # old print.
    degrade: Literal["clean", "photo"] = "clean"
    # superres: project each candidate to a nearby image that shrinks to the input.
    consistent: bool = False
    # superres of fields: what their values are, and that inputs are area means in the unit.
    values: Values | None = None
    reduce: Literal["mean"] | None = None

    def __post_init__(self) -> None:
        check(self, "task")
        size = self.size
        rim = self.rim
        window = self.window
        fits = window == 0 or size <= window <= 1024
        require(rim <= size, "task.rim", rim, f"0 to size, {size}")
        require(fits, "task.window", window, f"0, or size, {size}, to 1024")


@dataclass(frozen=True)
class Config:
    """A model's architecture and task: everything needed to build the model.

    Examples:
        >>> from caflow_cli import Config
        >>> Config().flow.multiple  # sides of images are multiples of this
        16
    """

    flow: FlowConfig = field(default_factory=FlowConfig)
    task: TaskConfig = field(default_factory=TaskConfig)

    def __post_init__(self) -> None:
        check(self)
        if isinstance(self.task.tau, tuple):
            Temperature(self.task.tau).of_latents(self.flow.latent_scales)
        factor = self.flow.guide_factor
        spec = self.flow.guide_spec
        fits = not (spec.enlarges or spec.of_field) or factor == self.task.factor
        require(fits, "flow.guide_factor", factor, f"task.factor, {self.task.factor}")
        if self.task.values or self.task.reduce:
            self._check_fields()

    def _check_fields(self) -> None:
        """Check what belongs together in a model of fields that states their unit."""
        flow = self.flow
        task = self.task
        values = task.values
        if values is None:
            raise usage_error(f"task.reduce is {task.reduce}", "set task.values, for fields, too")
        require(task.reduce == "mean", "task.reduce", task.reduce, "mean, for fields")
        require(task.degrade == "clean", "task.degrade", task.degrade, "clean, for fields")
        exact = "false: members of fields have exact means"
        require(not task.consistent, "task.consistent", task.consistent, exact)
        require(flow.anchor == "field", "flow.anchor", flow.anchor, "field")
        db = values.transform == "db"
        wanted = f"{str(db).lower()}: task.values.transform is {values.transform}"
        require(flow.dry == db, "flow.dry", flow.dry, wanted)
        relative = values.transform == "relative"
        wanted = f"another: task.values.transform is {values.transform}"
        require(flow.guide_spec.relative == relative, "flow.guide_net", flow.guide_net, wanted)

    def to_dict(self) -> Table:
        """Convert to nested plain values for JSON and TOML; `parse(Config, d)` reads them back."""
        return dataclasses.asdict(self)


PRESETS = {
    # Sized for training on a CPU; docs/experiments.md describes the search.
    "compact": FlowConfig(
        r_steps=2, f_steps=6, hidden=(32, 96, 160), trunk=(64, 64, 96), trunk_blocks=3
    ),
    # For measured fields, of one channel (docs/fields.md).
    "field": FlowConfig(
        scales=2,
        target_channels=1,
        cond_channels=2,
        r_steps=1,
        t_steps=4,
        hidden=(24, 48),
        f_hidden=24,
        trunk=48,
        trunk_blocks=2,
        scale_bound=1.0,
        anchor="field",
        guide=48,
        guide_net="censored",
        guide_blocks=4,
    ),
    # Paper appendix B.
    "ffhq-superres-x4": FlowConfig(
        r_steps=16, t_steps=32, f_steps=12, hidden=64, dequantization="variational"
    ),
    "lsun-colorize": FlowConfig(cond_channels=1, r_steps=24, t_steps=24, f_steps=12, hidden=64),
    "celeba-inpaint": FlowConfig(r_steps=30, t_steps=30, f_steps=16, hidden=64),
}
