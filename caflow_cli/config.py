"""The config of a model, as frozen dataclasses, and the presets."""

from __future__ import annotations

import dataclasses
import difflib
import typing
from dataclasses import dataclass, field
from typing import Any, ClassVar, TypeVar

from .errors import EXIT_USAGE, CaflowError
from .temperature import Temperature

__all__ = [
    "FILLS",
    "NOISE_STEPS",
    "PRESETS",
    "RULES",
    "TASK_NAMES",
    "TRANSITIONS",
    "Config",
    "FlowConfig",
    "TaskConfig",
    "parse",
    "preset",
]

_T = TypeVar("_T")
# The keys of `tasks.TASKS`, for what must not import it: `--help` and completion are quick.
TASK_NAMES = ("superres", "colorize", "inpaint", "paired")
# By which candidates can be ordered (`inference.choice`).
RULES = ("likelihood", "consensus", "typical", "likely-consensus")
# What can stand in a model's place, to fill holes by OpenCV (`tasks.classical`): its constants.
# Telea 2004, a fast marching; Bertalmio et al. 2001, Navier-Stokes.
FILLS = {"telea": "INPAINT_TELEA", "navier-stokes": "INPAINT_NS"}


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."


def _require(condition: bool, name: str, value: object, wanted: str) -> None:
    if not condition:
        raise CaflowError(f"{name} is {_short(value)}", f"set {name} to {wanted}", EXIT_USAGE)


# The same in every model.
TRANSITIONS = 2  # transition steps of each scale (paper appendix A.1)
NOISE_STEPS = 4  # conditional steps of q(u|w), with variational dequantization

# Anchors, and the channels of the condition and the target that each is for.
_ANCHORS = {"pixels": (4, 3), "fill": (4, 3), "luminance": (1, 3), "enlarged": (3, 3)}


@dataclass(frozen=True)
class FlowConfig:
    """The architecture: sizes and variants of the flows (docs/model.md).

    A default is the value of a field that a model file does not state, so defaults never change.
    New models get the preset `compact` instead.
    """

    GUIDE_NET: ClassVar = ("guide_net", "guide_blocks", "guide_factor", "guide_says")
    GUIDE_FIELDS: ClassVar = ("guide", *GUIDE_NET, "guide_views")

    scales: int = 3  # n; image sides must be multiples of 2^(n+1)
    target_channels: int = 3
    cond_channels: int = 3
    r_steps: int = 4  # flow steps a scale of R, the condition's flow
    t_steps: int = 8  # of T, the target's flow
    f_steps: int = 5  # of each f_j^i
    hidden: int | tuple[int, ...] = 48  # kernels of the nets of R and T; or so many a scale,
    # finest first: coarse scales have many channels, and cost little
    f_hidden: int = 32  # of the nets of F
    trunk: int | tuple[int, ...] = 0  # width of the net that reads the condition once for all
    # steps of an f_j^i; or so many for each j, finest first; 0: none
    trunk_blocks: int = 1  # its depth; every other block reads at half the resolution
    conditional: str = "caflow"  # or "shared" (appendix D), "dual-glow" (the baseline, equation 6)
    dequantization: str = "uniform"  # or "variational" (appendix A.1)
    alpha: float = 0.05  # of the logit
    scale_bound: float = 2.0  # log-scales lie in (-bound, bound)
    anchor: str = "none"  # what of the target the condition tells outright: "pixels" (outside a
    # hole; 4 channels), "fill" (the same, and a smooth fill of the hole), "luminance" (1 channel)
    # or "enlarged" (all of it, coarsely; 3 channels); the flow models the rest
    guide: int | tuple[int, ...] = 0  # widths of a net over the whole condition that scales and
    # shifts every value of the target, at a half of its side, a quarter, ... 2^-(n+1); 0: none
    guide_net: str = "sums"  # `Guide`; or "unet", `UNet`; or "enlarge", `Enlarge`, of one width
    guide_blocks: int = 12  # of "enlarge": its depth,
    guide_factor: int = 4  # and how many times the condition was enlarged
    guide_says: str = "scale"  # scale and shift of every value; or "mean", the mean alone
    guide_views: int = 1  # the guide says the mean of what its net says of so many orientations
    # of the condition: 2 with the mirrored one, 4 both ways, 8 turned as well
    spread: int = 0  # width of a net that scales what the mean leaves; it reads the condition and
    # the picture that the guide means, and learns with the flows; 0: none
    r_reads: str = "condition"  # y; or "guide", y and the picture that the guide means beside it

    def __post_init__(self) -> None:
        kinds = ("caflow", "shared", "dual-glow")
        _require(self.conditional in kinds, "conditional", self.conditional, " or ".join(kinds))
        draws = ("uniform", "variational")
        _require(
            self.dequantization in draws, "dequantization", self.dequantization, " or ".join(draws)
        )
        _require(0 < self.alpha < 1, "alpha", self.alpha, "a number between 0 and 1")
        _require(self.scale_bound > 0, "scale_bound", self.scale_bound, "a positive number")
        # Beyond 12 scales a side would be a multiple of 16,384.
        _require(1 <= self.scales <= 12, "scales", self.scales, "1 to 12")
        for name in ("target_channels", "cond_channels", "f_hidden", "f_steps"):
            _require(getattr(self, name) >= 1, name, getattr(self, name), "1 or more")
        _require(
            len(self.widths) == self.scales and min(self.widths) >= 1,
            "hidden",
            self.hidden,
            f"1 or more, or to {self.scales} such numbers, one a scale",
        )
        _require(
            len(self.trunks) == self.scales and min(self.trunks) >= 0,
            "trunk",
            self.trunk,
            f"0 or more, or to {self.scales} such numbers, one a scale",
        )
        anchors = ("none", *_ANCHORS)
        _require(self.anchor in anchors, "anchor", self.anchor, " or ".join(anchors))
        given, asked = _ANCHORS.get(self.anchor, (self.cond_channels, self.target_channels))
        _require(
            (self.cond_channels, self.target_channels) == (given, asked),
            "anchor",
            self.anchor,
            f"none, or cond_channels to {given} and target_channels to {asked}",
        )
        levels = self.scales + 1
        if self.guide_net == "enlarge":
            levels = 1
            powers = [2**k for k in range(1, self.scales + 2)]
            _require(
                self.guide_factor in powers,
                "guide_factor",
                self.guide_factor,
                " or ".join(map(str, powers)),
            )
            _require(self.guide_blocks >= 1, "guide_blocks", self.guide_blocks, "1 or more")
        reads = ("condition", "guide")
        _require(self.r_reads in reads, "r_reads", self.r_reads, " or ".join(reads))
        _require(
            self.r_reads == "condition" or bool(self.guides),
            "r_reads",
            self.r_reads,
            '"condition", for flow.guide is 0, or give the model a guide',
        )
        says = ("scale", "mean")
        _require(self.guide_says in says, "guide_says", self.guide_says, " or ".join(says))
        views = (1, 2, 4, 8) if self.guides else (1,)
        _require(
            self.guide_views in views,
            "guide_views",
            self.guide_views,
            " or ".join(map(str, views)) if self.guides else "1, or give the model a guide",
        )
        _require(self.spread >= 0, "spread", self.spread, "0 or more")
        _require(
            self.spread == 0 or (bool(self.guides) and self.guide_says == "mean"),
            "spread",
            self.spread,
            '0, or give the model a guide with guide_says = "mean"',
        )
        _require(
            self.guide == 0 or (len(self.guides) == levels and min(self.guides) >= 1),
            "guide",
            self.guide,
            f"0 or more, or to {levels} numbers of 1 or more, one a resolution",
        )
        nets = ("sums", "unet", "enlarge")
        _require(self.guide_net in nets, "guide_net", self.guide_net, " or ".join(nets))
        for name in ("r_steps", "t_steps", "trunk_blocks"):
            _require(getattr(self, name) >= 0, name, getattr(self, name), "0 or more")

    @property
    def widths(self) -> tuple[int, ...]:
        """Kernels of the nets of R and T at each scale, finest first."""
        return self.hidden if isinstance(self.hidden, tuple) else (self.hidden,) * self.scales

    @property
    def trunks(self) -> tuple[int, ...]:
        """Widths of the trunks of f_j^i for each j, finest first."""
        return self.trunk if isinstance(self.trunk, tuple) else (self.trunk,) * self.scales

    @property
    def guides(self) -> tuple[int, ...]:
        """Widths of the guide, finest first; empty: there is no guide."""
        if isinstance(self.guide, tuple):
            return self.guide
        levels = 1 if self.guide_net == "enlarge" else self.scales + 1
        return (self.guide,) * levels if self.guide else ()

    @property
    def latent_scales(self) -> tuple[int, ...]:
        """The scale of each latent, in their order, counted from the finest, 0: n - 1 - j of
        z_{n-1}^{n-1}, z_{n-2}^{n-1}, ..., z_0^0."""
        n = self.scales
        if self.conditional == "dual-glow":  # one latent a scale
            return tuple(range(n))
        return tuple(scale for finest in range(n) for scale in range(finest, n))

    @property
    def normalises(self) -> bool:
        """Whether the guide's net normalises over the whole condition."""
        return bool(self.guides) and self.guide_net == "unet"

    def same_guide(self, other: FlowConfig) -> bool:
        """Whether the other config's guide has the same net, so that its weights fit."""
        names = ("guides", *self.GUIDE_NET)
        return all(getattr(self, name) == getattr(other, name) for name in names)

    @property
    def r_channels(self) -> int:
        """Channels of the picture that R reads."""
        return self.cond_channels + (self.target_channels if self.r_reads == "guide" else 0)

    @property
    def multiple(self) -> int:
        """Image sides must be multiples of this: R and T squeeze n times, and F once more."""
        return int(2 ** (self.scales + 1))


@dataclass(frozen=True)
class TaskConfig:
    """The task that the model was trained for, and how it samples by default."""

    name: str = "superres"
    factor: int = 4  # superres: how many times larger
    size: int = 64  # side of the training images
    holes: str = "mixed"  # inpaint: "central" (25 %), "random" or "mixed"
    rim: int = 0  # inpaint: so many pixels from the edge of a thick hole are filled at native scale
    window: int = 0  # inpaint: side of the windows of holes, in pictures larger than `size`;
    # 0: `size`
    native: bool = False  # paired: a condition is read at its own scale; else its shorter side is
    # brought to `size`
    tau: float | tuple[float, ...] | None = None  # or a shape: one a scale, finest first, or one a
    # latent; None: the task's default
    candidates: int | None = None  # M; None: the task's default
    rank: str = "likelihood"  # what `--rank best` is: one of RULES
    degrade: str = "clean"  # superres, in training: inputs are shrunk by BICUBIC; or "photo": they
    # are blurred, noisy, compressed and shrunk by several kernels, too

    def __post_init__(self) -> None:
        # A model file states these, and pictures and work grow with them.
        _require(2 <= self.factor <= 64, "factor", self.factor, "2 to 64")
        _require(4 <= self.size <= 8192, "size", self.size, "4 to 8192")
        degradations = ("clean", "photo")
        _require(self.degrade in degradations, "degrade", self.degrade, " or ".join(degradations))
        _require(
            self.degrade == "clean" or self.name == "superres",
            "degrade",
            self.degrade,
            '"clean", for only superres has other inputs',
        )
        holes = ("mixed", "central", "random")
        _require(self.holes in holes, "holes", self.holes, " or ".join(holes))
        _require(0 <= self.rim <= self.size, "rim", self.rim, f"0 to size, {self.size}")
        _require(
            self.window == 0 or self.size <= self.window <= 1024,
            "window",
            self.window,
            f"0, or size, {self.size}, to 1024",
        )
        _require(
            not self.native or self.name == "paired",
            "native",
            self.native,
            "false, for other tasks say themselves at which scale they work",
        )
        for tau in self.tau if isinstance(self.tau, tuple) else (self.tau,):
            _require(tau is None or tau >= 0, "tau", self.tau, "0 or more")
        if self.candidates is not None:
            _require(1 <= self.candidates <= 10_000, "candidates", self.candidates, "1 to 10,000")
        _require(self.rank in RULES, "rank", self.rank, " or ".join(RULES))


@dataclass(frozen=True)
class Config:
    """A model's architecture and task: all that is needed to build it.

    Examples:
        >>> from caflow_cli import Config
        >>> Config().flow.multiple  # sides of pictures are multiples of this
        16
    """

    flow: FlowConfig = field(default_factory=FlowConfig)
    task: TaskConfig = field(default_factory=TaskConfig)

    def __post_init__(self) -> None:
        if isinstance(self.task.tau, tuple):
            Temperature.of(self.task.tau).of_latents(self.flow.latent_scales)

    def to_dict(self) -> dict[str, Any]:
        """Convert to nested plain values for JSON and TOML; `parse(Config, d)` reads them back."""
        return dataclasses.asdict(self)


PRESETS: dict[str, FlowConfig] = {
    # Sized for training on a CPU, and found there: docs/experiments.md has the search.
    "compact": FlowConfig(
        r_steps=2,
        t_steps=8,
        f_steps=6,
        hidden=(32, 96, 160),
        f_hidden=32,
        trunk=(64, 64, 96),
        trunk_blocks=3,
    ),
    # Paper appendix B.
    "ffhq-superres-x4": FlowConfig(
        r_steps=16, t_steps=32, f_steps=12, hidden=64, f_hidden=32, dequantization="variational"
    ),
    "lsun-colorize": FlowConfig(
        cond_channels=1, r_steps=24, t_steps=24, f_steps=12, hidden=64, f_hidden=32
    ),
    "celeba-inpaint": FlowConfig(r_steps=30, t_steps=30, f_steps=16, hidden=64, f_hidden=32),
}
# A guide that pictures teach, and the flows behind it.
_TAUGHT: dict[str, Any] = {
    "guide_says": "mean",
    "spread": 64,
    "r_reads": "guide",
    "scale_bound": 1.0,
}
# What a preset adds where the condition has to be read from afar, or tells part of the target
# outright (docs/model.md).
_OF_TASKS: dict[tuple[str, str], dict[str, Any]] = {
    ("compact", "superres"): {
        "anchor": "enlarged",
        "guide": 64,
        "guide_net": "enlarge",
        **_TAUGHT,
    },
    ("compact", "inpaint"): {
        "anchor": "pixels",
        "guide": (64, 96, 96, 112),
        "hidden": (32, 64, 128),
        **_TAUGHT,
    },
    ("compact", "colorize"): {
        "anchor": "luminance",
        "guide": (64, 96, 128, 128),
        "guide_net": "unet",
        "hidden": (32, 64, 128),
        **_TAUGHT,
    },
}


def preset(name: str, task: str = "superres") -> FlowConfig:
    """The architecture with that name, adapted to a task.

    With an anchor, the condition has the channels that the anchor needs. Without one, the channels
    are not adapted to the task. An unknown name is a CaflowError that names the nearest one.
    """
    if name not in PRESETS:
        near = difflib.get_close_matches(name, PRESETS, n=1) or ["compact"]
        others = ", ".join(other for other in PRESETS if other != near[0])
        hint = f"--preset {near[0]}; there are also {others}"
        raise CaflowError(f"unknown preset {name!r}", hint, EXIT_USAGE)
    own = _OF_TASKS.get((name, task), {})
    if "anchor" in own:
        own = {**own, "cond_channels": _ANCHORS[own["anchor"]][0]}
    return dataclasses.replace(PRESETS[name], **own)


def parse(cls: type[_T], values: Any, where: str = "") -> _T:
    """Build a dataclass from nested plain values, strictly.

    Raises:
        CaflowError: A key is unknown (the hint names the nearest one), or a value has a wrong type.
    """
    if not isinstance(values, dict):
        raise CaflowError(
            f"{where or 'the config'} is {values!r}, not a table", "see the config of a run"
        )
    hints = typing.get_type_hints(cls)
    names = [f.name for f in dataclasses.fields(cls)]  # type: ignore[arg-type]
    kwargs: dict[str, Any] = {}
    for key, value in values.items():
        key = str(key)[:80]
        path = f"{where}.{key}" if where else key
        if key not in names:
            near = difflib.get_close_matches(key, names, n=1, cutoff=0)[0]
            known = f"{where}.{near}" if where else near
            raise CaflowError(
                f"unknown config key {path!r}", f"did you mean {known!r}?", EXIT_USAGE
            )
        kwargs[key] = _parse_value(hints[key], value, path)
    return cls(**kwargs)


def _parse_value(kind: Any, value: Any, path: str) -> Any:
    if dataclasses.is_dataclass(kind):
        return parse(kind, value, path)  # type: ignore[arg-type]
    allowed = typing.get_args(kind) or (kind,)
    if isinstance(value, list | tuple):
        for option in allowed:
            if typing.get_origin(option) is tuple:
                item = typing.get_args(option)[0]
                return tuple(_parse_value(item, v, f"{path}[{k}]") for k, v in enumerate(value))
    allowed = tuple(option for option in allowed if typing.get_origin(option) is None)
    if float in allowed and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    for option in allowed:
        if isinstance(value, option) and not (option in (int, float) and isinstance(value, bool)):
            return value
    names = " or ".join("none" if a is type(None) else a.__name__ for a in allowed)
    raise CaflowError(
        f"config key {path!r} is {_short(value)}, not {names}", f"set {path} to {names}", EXIT_USAGE
    )
