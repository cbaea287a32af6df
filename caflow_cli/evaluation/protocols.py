"""The paper's three tables: data, settings, metrics, and the published figures."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..errors import EXIT_USAGE, CaflowError
from ..temperature import Temperature
from .benchmarks import BENCHMARKS

if TYPE_CHECKING:
    from .result import Result
    from .settings import EvaluationSettings

__all__ = ["PROTOCOLS", "Protocol", "get_protocol"]

_Figures = tuple[tuple[str, dict[str, float]], ...]


@dataclass(frozen=True)
class Protocol:
    """The settings that reproduce a table of the paper."""

    name: str
    task: str
    model: str  # bundled, made for the table: the one that is measured where none is named
    data: str  # what the paper measured on
    tau: float
    candidates: int
    keep: tuple[int, ...]
    metrics: tuple[str, ...]
    images: int  # of the split, the first so many
    figures: _Figures  # published
    reading: str  # what the paper leaves open, and how it is read here

    @property
    def published(self) -> list[Result]:
        """Rows with the published figures, which have no count and no error."""
        from .estimates import Estimate
        from .result import Result

        return [
            Result(
                f"{what}, published",
                {name: Estimate(value, None, 0) for name, value in values.items()},
            )
            for what, values in self.figures
        ]

    def as_json(self) -> dict[str, Any]:
        return {"name": self.name, "data": self.data, "reading": self.reading}

    def departures(self, settings: EvaluationSettings, images: int, labels: list[str]) -> list[str]:
        """Notes on the differences between a run and the paper's protocol."""
        found = []
        for name, ours, theirs in (
            ("tau", settings.taus, (Temperature.of(self.tau),)),
            ("M", settings.candidates, (self.candidates,)),
            ("N", settings.keep, self.keep),
            ("rank", settings.ranks, ("likelihood",)),
        ):
            if ours != theirs:
                found.append(f"{name} {_list(ours)} instead of {_list(theirs)}")
        if images != self.images:
            found.append(f"{images} pictures instead of {self.images:,}")
        if "fid" in self.metrics and "fid" not in labels:
            found.append("another feature extractor: no FID, and not comparable with the paper's")
        return [f"not quite {self.name}: {'; '.join(found)}"] if found else []


def _list(values: Sequence[object]) -> str:
    return ", ".join(map(str, values))


_ALL = (
    Protocol(
        name="table1",
        task="superres",
        model="faces-superres-x4",
        data="100 unseen FFHQ pictures at 64x64 in test/, reduced to 16x16",
        tau=0.5,
        candidates=10,
        keep=(1,),
        metrics=("lpips", "rmse"),
        images=100,
        figures=(
            ("CAFLOW", {"lpips": 0.08, "rmse": 17.56}),
            ("BRGM", {"lpips": 0.24, "rmse": 25.66}),
            ("ESRGAN", {"lpips": 0.35, "rmse": 29.32}),
            ("SRFBN", {"lpips": 0.33, "rmse": 22.07}),
            ("bicubic", {"lpips": 0.34, "rmse": 20.10}),
        ),
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
        figures=(
            ("CAFLOW, one a picture", {"fid": 18.15}),
            ("CAFLOW, five a picture", {"fid": 16.73}),
            ("cINN", {"fid": 26.48}),
            ("ColorGAN", {"fid": 28.31}),
        ),
        reading="five a picture: read as the five likeliest of the ten",
    ),
    Protocol(
        name="table3",
        task="inpaint",
        model="faces-inpaint",
        data="2,000 CelebA pictures at 64x64 in test/, the central 25 % masked",
        tau=0.5,
        candidates=30,
        keep=(1,),
        metrics=("psnr", "lpips"),
        images=2000,
        figures=(
            ("CAFLOW", {"psnr": 26.08, "lpips": 0.06}),
            ("Lu and Huang", {"psnr": 24.88}),
        ),
        reading="tau, M and the pixels measured are not stated: those of the paper's figures, and "
        "the whole picture",
    ),
)

PROTOCOLS = {protocol.name: protocol for protocol in _ALL}


def get_protocol(name: str) -> Protocol:
    """The protocol with that name. If unknown, a CaflowError (exit 2) names the nearest one."""
    if name not in PROTOCOLS:
        near = difflib.get_close_matches(name, [*PROTOCOLS, *BENCHMARKS], n=1, cutoff=0)[0]
        raise CaflowError(f"unknown protocol {name!r}", f"--protocol {near}", EXIT_USAGE)
    return PROTOCOLS[name]
