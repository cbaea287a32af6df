"""Protocols: data, degradation, settings, metrics and baselines, with published figures.

The paper's three tables measure images at the model's size. The others measure whole images at
their own size, as commands restore them.
"""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import PurePath
from typing import Any

from ..errors import EXIT_USAGE, CaflowError

__all__ = ["BASELINES", "PROTOCOLS", "Protocol", "get_protocol"]

# By task: what can be had without a model.
BASELINES = {
    "superres": "bicubic",
    "colorize": "grey copy",
    "inpaint": "mean fill",
    "paired": "another target",
}
_Figures = tuple[tuple[str, dict[str, float]], ...]


@dataclass(frozen=True)
class Protocol:
    """What is measured, how, and what was published beside it."""

    name: str
    task: str
    data: str  # what it is made for
    metrics: tuple[str, ...]
    reading: str  # how it is read, and what a paper leaves open
    whole: bool = False  # images keep their size, and the best candidate alone is measured
    baselines: tuple[str, ...] = ()  # default: the task's
    masks: bool = False  # of damage are needed
    factor: int | None = None  # of superres: what the model must have
    # Settings of a paper's table. None: the model's, or everything.
    model: str | None = None  # bundled, made for the table
    tau: float | None = None
    candidates: int | None = None
    keep: tuple[int, ...] = (1,)
    images: int | None = None  # of the split, the first so many
    # By the name of the set, as `_set_name` makes it; "": of whatever set.
    figures: dict[str, _Figures] = field(default_factory=dict)
    source: str = ""  # of the figures

    def published(self, data: str) -> _Figures:
        """Published figures by metric, each with what they are of, for a set of that name."""
        return self.figures.get("", ()) or self.figures.get(_set_name(data), ())

    def departures(
        self, taus: Sequence[object], params: dict[str, Any], images: int, labels: Sequence[str]
    ) -> list[str]:
        """Notes on the differences between a run and a paper's table.

        Args:
            taus: Temperatures of the run.
            params: Its other settings, as `Settings.as_json`.
            images: That were measured.
            labels: Metrics of its table.
        """
        if self.images is None:
            return []
        found = [
            f"{name} {_list(ours)} instead of {_list(theirs)}"
            for name, ours, theirs in (
                ("tau", taus, [self.tau]),
                ("M", params["candidates"], [self.candidates]),
                ("N", params["keep"], self.keep),
                ("rank", params["ranks"], ["likelihood"]),
            )
            if list(ours) != list(theirs)
        ]
        if images != self.images:
            found.append(f"{images} images instead of {self.images:,}")
        if "fid" in self.metrics and "fid" not in labels:
            found.append("another feature extractor: no FID, and not comparable with the paper's")
        return [f"not quite {self.name}: {'; '.join(found)}"] if found else []

    def as_json(self) -> dict[str, Any]:
        record = {"name": self.name, "data": self.data, "reading": self.reading}
        return {**record, "source": self.source} if self.source else record


def _list(values: Sequence[object]) -> str:
    return ", ".join(map(str, values))


def _set_name(data: str) -> str:
    """The name of a folder or zip: lower case, letters and digits alone."""
    stem = PurePath(data.replace("\\", "/")).stem.lower()
    name = "".join(character for character in stem if character.isalnum())
    return {"b100": "bsd100", "bsds100": "bsd100"}.get(name, name)


def _sr4(*figures: float) -> _Figures:
    """Rows of a set: psnr_y and ssim_y of four methods, psnr_y of ESRGAN, two lpips."""
    names = ("bicubic", "SRCNN", "EDSR", "RRDB")
    pairs = zip(figures[:8:2], figures[1:8:2], strict=True)
    rows = {
        name: {"psnr_y": psnr, "ssim_y": ssim}
        for name, (psnr, ssim) in zip(names, pairs, strict=True)
    }
    rows["ESRGAN"] = {"psnr_y": figures[8], "lpips": figures[10]}
    rows["bicubic"]["lpips"] = figures[9]
    return tuple(rows.items())


_ALL = (
    Protocol(
        name="table1",
        task="superres",
        model="faces-superres-x4",
        data="100 unseen FFHQ pictures at 64x64 in test/, reduced to 16x16",
        tau=0.5,
        candidates=10,
        metrics=("lpips", "rmse"),
        images=100,
        figures={
            "": (
                ("CAFLOW", {"lpips": 0.08, "rmse": 17.56}),
                ("BRGM", {"lpips": 0.24, "rmse": 25.66}),
                ("ESRGAN", {"lpips": 0.35, "rmse": 29.32}),
                ("SRFBN", {"lpips": 0.33, "rmse": 22.07}),
                ("bicubic", {"lpips": 0.34, "rmse": 20.10}),
            )
        },
        reading="the paper does not say which pictures, nor which reduction; here Pillow BICUBIC",
    ),
    Protocol(
        name="table2",
        task="colorize",
        model="bedrooms-colorize",
        data="5,000 LSUN bedroom pictures at 64x64 in test/",
        tau=0.85,
        candidates=10,
        keep=(1, 5),
        metrics=("fid",),
        images=5000,
        figures={
            "": (
                ("CAFLOW, one a picture", {"fid": 18.15}),
                ("CAFLOW, five a picture", {"fid": 16.73}),
                ("cINN", {"fid": 26.48}),
                ("ColorGAN", {"fid": 28.31}),
            )
        },
        reading="five a picture: read as the five likeliest of the ten",
    ),
    Protocol(
        name="table3",
        task="inpaint",
        model="faces-inpaint",
        data="2,000 CelebA pictures at 64x64 in test/, the central 25 % masked",
        tau=0.5,
        candidates=30,
        metrics=("psnr", "lpips"),
        images=2000,
        figures={
            "": (
                ("CAFLOW", {"psnr": 26.08, "lpips": 0.06}),
                ("Lu and Huang", {"psnr": 24.88}),
            )
        },
        reading="tau, M and the pixels measured are not stated: those of the paper's figures, and "
        "the whole picture",
    ),
    Protocol(
        name="sr4",
        task="superres",
        whole=True,
        factor=4,
        data="originals, such as Set5, Set14, BSD100 and Urban100; cropped to multiples of 4",
        metrics=("lpips", "psnr_y", "ssim_y", "seconds"),
        baselines=("bicubic",),
        reading="the input is Pillow BICUBIC with antialiasing, rounded to 8 bits; published "
        "figures are of MATLAB's imresize, whose small pictures differ by 0.5 to 0.7 levels "
        "(rmse), and 0.002 dB of bicubic",
        # psnr_y, ssim_y of bicubic, SRCNN, EDSR, RRDB; psnr_y of ESRGAN; lpips of bicubic, ESRGAN.
        figures={
            "set5": _sr4(
                *(28.42, 0.8104, 30.48, 0.8628, 32.46, 0.8968, 32.73, 0.9011),
                *(30.454, 0.3407, 0.0748),
            ),
            "set14": _sr4(
                *(26.00, 0.7027, 27.50, 0.7513, 28.80, 0.7876, 28.99, 0.7917),
                *(26.276, 0.4393, 0.1329),
            ),
            "bsd100": _sr4(
                *(25.96, 0.6675, 26.90, 0.7101, 27.71, 0.7420, 27.85, 0.7455),
                *(25.317, 0.5249, 0.1614),
            ),
            "urban100": _sr4(
                *(23.14, 0.6577, 24.52, 0.7221, 26.64, 0.8033, 27.03, 0.8153),
                *(24.360, 0.4726, 0.1229),
            ),
        },
        source="psnr_y and ssim_y of table 2 of Wang et al. 2018 (ESRGAN, arXiv 1809.00219): SRCNN "
        "of Dong et al. 2014, EDSR of Lim et al. 2017, and RRDB, ESRGAN's network before its "
        "adversarial training; ESRGAN, and lpips, as Ma et al. 2020 measured them (SPSR, arXiv "
        "2003.13081)",
    ),
    Protocol(
        name="repair",
        task="inpaint",
        whole=True,
        masks=True,
        data="pictures, and --masks of damage",
        metrics=("lpips", "psnr_hole", "seconds"),
        baselines=("telea", "navier-stokes"),
        reading="masks and pictures in order of name, spread evenly; a mask is tiled and cut to "
        "the picture from a corner that --seed and the picture's place decide; lpips of the whole "
        "picture",
    ),
    Protocol(
        name="colour",
        task="colorize",
        whole=True,
        data="colour pictures",
        metrics=("lpips", "rmse", "colourfulness", "seconds"),
        baselines=("grey copy",),
        reading="the input is Pillow's L of the picture",
    ),
)

PROTOCOLS = {protocol.name: protocol for protocol in _ALL}


def get_protocol(name: str) -> Protocol:
    """The protocol with that name. If unknown, a CaflowError (exit 2) names the nearest one."""
    if name not in PROTOCOLS:
        near = difflib.get_close_matches(name, PROTOCOLS, n=1, cutoff=0)[0]
        raise CaflowError(f"unknown protocol {name!r}", f"--protocol {near}", EXIT_USAGE)
    return PROTOCOLS[name]
