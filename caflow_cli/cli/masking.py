"""Masks: where they come from, and their options."""

from __future__ import annotations

import math
import shlex
import sys
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Annotated, ClassVar, TypeAlias, Union

from ..config import HOLE, MOST_FILLED
from ..errors import check_usage, ensure, usage_error
from ..records import Setting
from .options import OUTPUT, option

if TYPE_CHECKING:
    from ..damage.find import Progress
    from ..images import Input, Pixels
    from .inputs import InputImage

Mask: TypeAlias = Union["File", "Damage", "Infrared", "Transparent"]

MUCH = 0.01  # share of an image; damage that covers more deserves a second look
SOME = 0.005  # and to be seen


@dataclass(frozen=True)
class File:
    """A mask that was drawn."""

    file: InputImage

    @property
    def name(self) -> str:
        return self.file.name

    def mask(self, image: Input, source: InputImage) -> Pixels:
        """Its gray, black where it is transparent."""
        from ..images import white
        from ..tasks.arguments import drawn_mask

        drawn = self.file.read().image
        if drawn.shown.max() <= 1 and drawn.bits < 32:  # 16 bits may hold values of 8, or 0 and 1
            stored = drawn.values
            most, half = int(stored.max()), white(stored) // 2 + 1
            ensure(
                most == 0,
                f"the mask {self.name!r} holds only 0 to {most}, and {half} and above is filled",
                f"multiply its values by {white(stored) // max(1, most)}",
            )
        return drawn_mask(drawn)

    def colors(self) -> int:
        """How many colors it has."""
        import numpy as np

        red, green, blue = np.moveaxis(self.file.read().image.shown.astype(np.uint32), 2, 0)
        seen = np.zeros(2**24, bool)
        seen[(red << 16) | (green << 8) | blue] = True
        return int(seen.sum())


@dataclass(frozen=True)
class Transparent:
    """What is transparent in the image."""

    name: ClassVar[str] = ""

    def mask(self, image: Input, source: InputImage) -> Pixels:
        import numpy as np

        from ..images import white

        alpha = image.image.alpha
        if alpha is None:
            raise usage_error(
                f"inpaint needs a mask, because {source.name!r} is opaque",
                "--mask auto (finds scratches, cracks and dust), --mask FILE (white = fill), or "
                "make the hole transparent in the image",
            )
        return np.where(alpha < white(alpha), np.uint8(255), np.uint8(0))


@dataclass(frozen=True)
class Found:
    """A mask that is found, by a way that has a threshold."""

    threshold: float
    name: str = ""  # as typed

    way: ClassVar[str]
    default: ClassVar[float]
    low: ClassVar[float]  # shows doubtful marks, too
    least: ClassVar[float]
    most: ClassVar[float]

    @classmethod
    def allows(cls, threshold: float) -> bool:
        return cls.least < threshold < cls.most

    def mask(
        self, image: Input, source: InputImage, step: Progress = lambda done, total: None
    ) -> Pixels:
        """The mask of what is found: uint8 (H, W), 255 or 0."""
        raise NotImplementedError

    def command(self, name: str) -> str:
        """The command that writes this mask of an image."""
        way = " --ir" if self.way == Infrared.way else ""
        threshold = "" if self.threshold == self.default else f" --threshold {self.threshold:g}"
        return f"caflow mask {shlex.quote(name)}{way}{threshold}"

    def more(self, image: Input, source: InputImage, end: str = "") -> str:
        """What to do if nothing was found; what a lower threshold finds is to be looked at, by the
        command that ends in `end`, before it is filled.
        """
        low = type(self)(self.low)
        helps = self.threshold > self.low and low.mask(image, source).any()
        doubtful = f"; `{low.command(source.name)}{end}` shows doubtful marks" if helps else ""
        return f"paint what was missed (--mask FILE), or nothing is damaged{doubtful}"


class Damage(Found):
    """The damage of which the network is as confident as the threshold says."""

    way, default, low, least, most = "auto", 0.5, 0.2, 0, 1

    def mask(
        self, image: Input, source: InputImage, step: Progress = lambda done, total: None
    ) -> Pixels:
        from ..damage import damage_of

        return damage_of(image.image, self.threshold, step)


class Infrared(Found):
    """The dust that infrared shows, darker than the film by so many deviations."""

    way, default, low, least, most = "ir", 4.5, 3, 1, 100

    def mask(
        self, image: Input, source: InputImage, step: Progress = lambda done, total: None
    ) -> Pixels:
        from ..damage.infrared import infrared_mask, read_infrared

        if source.path is None:
            message = "the infrared channel of stdin is not read"
            raise usage_error(message, "give the scan as a file")
        infrared = read_infrared(image.image, source.path, source.name)
        return infrared_mask(image.image.levels.values, infrared, self.threshold)


def _once(mask: str | None) -> str | None:
    """Raise CaflowError (exit 2) for two masks, of which only the last would count."""
    typed = [word for word in sys.argv if word.partition("=")[0] == "--mask"]
    check_usage(len(typed) < 2, "--mask is given twice", "--mask FILE, or --mask DIR")
    return mask


@dataclass(frozen=True, kw_only=True)
class Marking:
    """The option of commands that can show a mask."""

    marks: Annotated[
        str | None,
        Setting(
            "--marks FILE|DIR/",
            "Also write a PNG of the image with the mask in red, before anything is filled. For "
            "several images, a folder, in which each has NAME_marks.png.",
            OUTPUT,
            commands=("inpaint", "sample", "mask"),
            of="masks",
        ),
    ] = None

    @property
    def found(self) -> Damage | Infrared | None:
        """How masks to fill are found; None if they are not."""
        return None


@dataclass(frozen=True, kw_only=True)
class Masking(Marking):
    """The mask options; each field is the option of the same name."""

    mask: str | None = option(
        "--mask FILE|DIR|auto[:T]|ir[:K]",
        "Mask of the same size as the image, white where to fill. One file for all images, a "
        "folder of masks named like the images; auto: the damage that `caflow mask` finds, with "
        "--threshold T (default 0.5); or ir: the dust that infrared shows in a scan of color film, "
        "darker by K deviations (default 4.5). Without it, inpaint fills transparent pixels.",
        callback=_once,
        of="masks",
    )
    grow: int = option(
        "--grow N",
        "Extend the mask by N pixels in each direction, so that edges of an object are filled, "
        "too. The extended mask is the one that counts.",
        default=0,
        min=0,
        max=1000,
        of="masks",
    )
    snap: bool = option(
        "--snap",
        "The mask is painted roughly: each connected stroke becomes the damage that is found, by a "
        "confidence of 0.05, on it and up to half its width beside it, or stays if that is less "
        "than a tenth of it.",
        OUTPUT,
        of="masks",
    )
    invert_mask: bool = option("--invert-mask", "Fill where the mask is black.", OUTPUT, of="masks")
    mask_as_is: bool = option("--mask-as-is", "Accept a mostly white mask.", OUTPUT, of="masks")

    def __post_init__(self) -> None:
        check_usage(
            not (self.invert_mask and self.found is not None),
            f"--mask {self.mask} and --invert-mask cannot be used together",
            "omit --invert-mask",
        )
        check_usage(
            not self.snap or self.file is not None,
            "--snap is for a mask that is painted",
            "--mask FILE --snap, or omit --snap",
        )

    @cached_property
    def found(self) -> Damage | Infrared | None:
        """How masks are found, if they are; CaflowError (exit 2) if T or K is out of range."""
        way, _, typed = (self.mask or "").partition(":")
        for kind in (Damage, Infrared):
            if kind.way == way:
                number = math.nan
                with suppress(ValueError):
                    number = float(typed) if typed else kind.default
                hint = f"--mask {way}:{kind.default:g}, between {kind.least} and {kind.most}"
                check_usage(kind.allows(number), f"--mask is {self.mask!r}", hint)
                return kind(number, self.mask or "")
        return None

    @property
    def file(self) -> str | None:
        """The file or folder of masks; None if they come from elsewhere."""
        return self.mask if self.found is None else None

    @property
    def companions(self) -> dict[str, str]:
        """The file or folder of masks, as `Editing.companions`."""
        return {"mask": self.file} if self.file is not None else {}

    def read(self, mask: Mask, image: Input, source: InputImage) -> Pixels:
        """The mask of the image of `source`: uint8 (H, W), white where it is to be filled.

        It is snapped to damage if that is asked, and extended by `grow` pixels. CaflowError if it
        cannot be read or has another size (exit 1), or if it is missing or mostly white (exit 2).
        """
        from ..tasks.sizes import check_same_size

        level = mask.mask(image, source)
        check_same_size("the mask is", level.shape, image.image.size)
        if self.invert_mask:
            level = 255 - level
        if self.snap:
            from ..damage import confidence_of, snapped

            level = snapped(level, confidence_of(image.image))
        if self.grow:
            from scipy.ndimage import maximum_filter

            level = maximum_filter(level, 2 * self.grow + 1)
        share = float((level >= HOLE).mean())
        other = "omit --invert-mask" if self.invert_mask else "--invert-mask"
        if isinstance(mask, Found):
            other = f"a higher threshold, --mask {mask.way}:T"
        name = mask.name if isinstance(mask, File) else source.name
        check_usage(
            share <= MOST_FILLED or self.mask_as_is,
            f"{name!r} marks {share:.0%} of the image to be filled",
            f"{other}, or --mask-as-is",
        )
        return level


def marked(mask: Pixels, hint: str = "") -> str:
    """What is said of a mask that marks something; with `hint` if it marks much."""
    from ..tasks.holes import spots_in

    hole = mask >= HOLE
    spots = spots_in(hole)
    share = float(hole.mean())
    text = f"{100 * share:.2f} % is marked, in {len(spots)} spot{'s' * (len(spots) != 1)}"
    if share <= MUCH:
        return text
    rows, columns = spots[0]
    width, height = columns.stop - columns.start, rows.stop - rows.start
    return f"{text}; the largest is {width}×{height} at {columns.start},{rows.start}{hint}"
