"""The protocols on whole pictures, at their own size, and the published figures beside them."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .result import Result

__all__ = ["BENCHMARKS", "CENTRE", "FACTOR", "Benchmark"]

FACTOR = 4  # of sr4

_Figures = tuple[tuple[str, dict[str, float]], ...]


@dataclass(frozen=True)
class Benchmark:
    """The task, metrics and baselines of a protocol, and how it is read."""

    name: str
    task: str
    data: str  # what it is made for
    metrics: tuple[str, ...]
    baselines: tuple[str, ...]
    reading: str
    # By the name of the set, as `_set_name` makes it; what each was published in.
    figures: dict[str, _Figures] = field(default_factory=dict)
    source: str = ""

    def published(self, data: str) -> list[Result]:
        """Rows with the published figures of a set that is known by its name, if it is."""
        from .estimates import Estimate
        from .result import Result

        return [
            Result(
                f"{what}, published",
                {name: Estimate(value, None, 0) for name, value in values.items()},
            )
            for what, values in self.figures.get(_set_name(data), ())
        ]

    def as_json(self) -> dict[str, Any]:
        record = {"name": self.name, "data": self.data, "reading": self.reading}
        return {**record, "source": self.source} if self.source else record


def _set_name(data: str) -> str:
    """The name of a folder or zip: lower case, letters and digits alone."""
    stem = PurePath(data.replace("\\", "/")).stem.lower()
    name = "".join(character for character in stem if character.isalnum())
    return {"b100": "bsd100", "bsds100": "bsd100"}.get(name, name)


def _sr(
    bicubic: tuple[float, float, float],
    srcnn: tuple[float, float],
    edsr: tuple[float, float],
    rrdb: tuple[float, float],
    esrgan: tuple[float, float],
) -> _Figures:
    """Rows of a set: psnr_y and ssim_y; of bicubic lpips too; of ESRGAN psnr_y and lpips."""
    *pixels, looks = bicubic
    found = {"bicubic": pixels, "SRCNN": srcnn, "EDSR": edsr, "RRDB": rrdb}
    rows = {
        name: dict(zip(("psnr_y", "ssim_y"), pair, strict=True)) for name, pair in found.items()
    }
    rows["bicubic"]["lpips"] = looks
    rows["ESRGAN"] = dict(zip(("psnr_y", "lpips"), esrgan, strict=True))
    return tuple(rows.items())


_SR4 = Benchmark(
    name="sr4",
    task="superres",
    data="originals, such as Set5, Set14, BSD100 and Urban100; cropped to multiples of 4",
    metrics=("lpips", "psnr_y", "ssim_y", "seconds"),
    baselines=("bicubic",),
    reading="the input is Pillow BICUBIC with antialiasing, rounded to 8 bits; published figures "
    "are of MATLAB's imresize, whose small pictures differ by 0.5 to 0.7 levels (rmse), and 0.002 "
    "dB of bicubic",
    figures={
        "set5": _sr(
            bicubic=(28.42, 0.8104, 0.3407),
            srcnn=(30.48, 0.8628),
            edsr=(32.46, 0.8968),
            rrdb=(32.73, 0.9011),
            esrgan=(30.454, 0.0748),
        ),
        "set14": _sr(
            bicubic=(26.00, 0.7027, 0.4393),
            srcnn=(27.50, 0.7513),
            edsr=(28.80, 0.7876),
            rrdb=(28.99, 0.7917),
            esrgan=(26.276, 0.1329),
        ),
        "bsd100": _sr(
            bicubic=(25.96, 0.6675, 0.5249),
            srcnn=(26.90, 0.7101),
            edsr=(27.71, 0.7420),
            rrdb=(27.85, 0.7455),
            esrgan=(25.317, 0.1614),
        ),
        "urban100": _sr(
            bicubic=(23.14, 0.6577, 0.4726),
            srcnn=(24.52, 0.7221),
            edsr=(26.64, 0.8033),
            rrdb=(27.03, 0.8153),
            esrgan=(24.360, 0.1229),
        ),
    },
    source="psnr_y and ssim_y of table 2 of Wang et al. 2018 (ESRGAN, arXiv 1809.00219): SRCNN of "
    "Dong et al. 2014, EDSR of Lim et al. 2017, and RRDB, ESRGAN's network before its adversarial "
    "training; ESRGAN, and lpips, as Ma et al. 2020 measured them (SPSR, arXiv 2003.13081)",
)
_REPAIR = Benchmark(
    name="repair",
    task="inpaint",
    data="pictures, and --masks of damage",
    metrics=("lpips", "psnr_hole", "seconds"),
    baselines=("telea", "navier-stokes"),
    reading="masks and pictures in order of name, spread evenly; a mask is tiled and cut to the "
    "picture from a corner that --seed and the picture's place decide; lpips of the whole picture",
)
_COLOUR = Benchmark(
    name="colour",
    task="colorize",
    data="colour pictures",
    metrics=("lpips", "rmse", "colourfulness", "seconds"),
    baselines=("grey copy",),
    reading="the input is Pillow's L of the picture",
)
# Of `--model telea` without a protocol.
CENTRE = Benchmark(
    name="centre",
    task="inpaint",
    data="pictures",
    metrics=(),
    baselines=("mean fill",),
    reading="the central 25 % of each picture is masked",
)

BENCHMARKS = {benchmark.name: benchmark for benchmark in (_SR4, _REPAIR, _COLOUR)}
