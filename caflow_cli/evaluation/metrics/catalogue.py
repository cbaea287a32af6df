"""The description of each metric. Help, JSON and tables take their text from here."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from ...errors import EXIT_USAGE, CaflowError

__all__ = ["METRICS", "Metric", "Weights", "choose_metrics"]


@dataclass(frozen=True)
class Metric:
    """A metric.

    `needs` is pairs (image and truth), sets (two sets), a model that samples, or a benchmark: one
    of the protocols on whole images.
    """

    name: str
    definition: str
    range: str
    units: str
    better: Literal["lower", "higher", "nominal"]
    needs: Literal["pairs", "sets", "model", "benchmark"]
    decimals: int  # that a table shows


@dataclass(frozen=True)
class Weights:
    """Where the networks of metrics come from.

    None is the environment's file, else torch's cache, else a download.
    """

    lpips: str | Path | None = None
    fid: str | Path | None = None
    extractor: str = "inception"  # of the features of FID, KID and coverage


_ALL = (
    Metric(
        "lpips",
        "perceptual distance, AlexNet v0.1 of the lpips package, images in [-1, 1]; "
        "mean over images",
        "0 to about 1",
        "none",
        "lower",
        "pairs",
        3,
    ),
    Metric(
        "rmse",
        "root mean square error over the pixels and channels of an image; mean over images",
        "0 to 255",
        "levels",
        "lower",
        "pairs",
        2,
    ),
    Metric(
        "psnr",
        "20 log10(255 / rmse) of an image; mean over images",
        "0 to infinity (equal images; JSON: null)",
        "dB",
        "higher",
        "pairs",
        2,
    ),
    Metric(
        "ssim",
        "structural similarity: Gaussian window of 11x11, sigma 1.5, K1 0.01, K2 0.03, range 255, "
        "population covariances, whole windows only, mean over channels; mean over images",
        "-1 to 1",
        "none",
        "higher",
        "pairs",
        3,
    ),
    Metric(
        "psnr_y",
        "PSNR of Y of YCbCr (BT.601, 16 to 235, not rounded) without the 4 pixels next to each "
        "border, as super-resolution is compared; mean over images",
        "0 to infinity (equal images; JSON: null)",
        "dB",
        "higher",
        "pairs",
        2,
    ),
    Metric(
        "ssim_y",
        "structural similarity, as ssim, of what psnr_y compares; mean over images",
        "-1 to 1",
        "none",
        "higher",
        "pairs",
        4,
    ),
    Metric(
        "psnr_hole",
        "20 log10(255 / rmse) over the pixels of the holes alone; mean over images",
        "0 to infinity (equal images; JSON: null)",
        "dB",
        "higher",
        "benchmark",
        2,
    ),
    Metric(
        "colourfulness",
        "colourfulness (Hasler and Suesstrunk 2003) over the truth's: the ratio of the two means "
        "over images",
        "0 (grey) up; 1 is the truth's",
        "ratio",
        "nominal",
        "benchmark",
        3,
    ),
    Metric(
        "seconds",
        "seconds a megapixel of result, for all M candidates with their scores: all the time over "
        "all the pixels",
        "0 up",
        "s/MP",
        "lower",
        "benchmark",
        2,
    ),
    Metric(
        "fid",
        "Frechet distance of two Gaussians fitted to the 2,048 pooled Inception features of each "
        "set, images resized as TensorFlow 1 does, without antialiasing; float64 statistics",
        "0 up",
        "squared feature units",
        "lower",
        "sets",
        2,
    ),
    Metric(
        "kid",
        "unbiased squared MMD of the same features, kernel (x.y / d + 1)^3: mean over 100 random "
        "subsets of at most 1,000, its standard deviation over them beside it",
        "about 0 up",
        "none",
        "lower",
        "sets",
        4,
    ),
    Metric(
        "coverage",
        "share of truths whose ball, which reaches to the 5th nearest other truth in the same "
        "features, holds an image of the set (Naeem et al. 2020); their density, and the share of "
        "truths covered by a draw of their own condition, beside it",
        "0 to 1; 0.97 for two equal sets of one distribution",
        "share",
        "higher",
        "sets",
        3,
    ),
    Metric(
        "bpd",
        "-log2 p(truth | condition) / D on the 8-bit scale, an estimate of an upper bound on the "
        "bits a value takes, K noise draws an image; mean over images",
        "0 up; 8 is a uniform guess",
        "bits/dim",
        "lower",
        "model",
        3,
    ),
    Metric(
        "diversity",
        "standard deviation of a value among the M candidates (divisor M - 1), root mean square "
        "over pixels and channels; mean over images",
        "0 to 255",
        "levels",
        "nominal",
        "model",
        2,
    ),
    Metric(
        "consistency",
        "rmse between the input and the input recomputed from a candidate (shrunk, turned grey, or "
        "its known pixels); mean over images",
        "0 to 255",
        "levels",
        "lower",
        "model",
        2,
    ),
    Metric(
        "seam",
        "inpainting: mean absolute difference of neighbouring pixels on the two sides of the "
        "hole's border, over the truth's; mean over images",
        "0 up; 1 is the truth's",
        "ratio",
        "nominal",
        "model",
        3,
    ),
    Metric(
        "calibration",
        "share of true values within the central 90 % of M candidates' values at that place, ties "
        "shared evenly; 50 % and the rank histogram of M + 1 bins beside it",
        "0 to 1; 0.9 is calibrated",
        "share",
        "nominal",
        "model",
        3,
    ),
    Metric(
        "likelihood",
        "share of images whose truth has a higher log-likelihood than all M candidates, at tau "
        "and at tau 1; histograms of both, and truth minus mean candidate, beside it",
        "0 to 1; 1 / (M + 1) if truth and candidates were alike",
        "share",
        "nominal",
        "model",
        2,
    ),
)

METRICS: dict[str, Metric] = {metric.name: metric for metric in _ALL}


def choose_metrics(
    given: Sequence[str], offered: Iterable[str], default: Sequence[str] = ()
) -> list[str]:
    """The metrics that `--metric` names, in the catalogue's order.

    Args:
        given: Names, comma lists of them, or `all`.
        offered: Names that this form of evaluation has; `all` stands for these.
        default: Names to use if none is given.

    Raises:
        CaflowError: (exit 2) a metric is unknown, or this form cannot measure it.
    """
    offered = list(offered)
    wanted: set[str] = set()
    for name in [part.strip().lower() for text in given for part in text.split(",")]:
        if name == "all":
            wanted.update(offered)
        elif name in offered:
            wanted.add(name)
        elif name in METRICS and METRICS[name].needs == "benchmark":
            raise CaflowError(
                f"{name!r} is measured by a protocol on whole images",
                "caflow evaluate --protocol sr4|repair|colour --data DIR",
                EXIT_USAGE,
            )
        elif name in METRICS:
            raise CaflowError(
                f"{name!r} needs a model that draws candidates",
                f"caflow evaluate --task superres --model ID --data DIR --metric {name}",
                EXIT_USAGE,
            )
        else:
            near = difflib.get_close_matches(name, offered, n=1, cutoff=0)[0]
            hint = f"--metric {near}; known: {', '.join(offered)}, and all for all of them"
            raise CaflowError(f"unknown metric {name!r}", hint, EXIT_USAGE)
    chosen = wanted or set(default)
    if not chosen:
        raise CaflowError("no metric", "--metric lpips,rmse", EXIT_USAGE)
    return [name for name in METRICS if name in chosen]
