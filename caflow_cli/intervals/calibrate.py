"""Calibrate a model's intervals on images with known truth, and check them on others."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

import numpy as np
import torch

from ..checkpoint import Calibration
from ..data.examples import Examples, central, open_files, open_split
from ..data.split import has_splits
from ..errors import CaflowError, check_usage, ensure, usage_error
from ..evaluation.examples import make_example
from ..evaluation.result import Failures, estimate
from ..evaluation.run import Progress
from ..evaluation.settings import CalibrationImages
from ..images import Input, Pixels, Raster
from ..model import CAFlow
from ..records import Table
from ..restoration import Candidates, draw, encode, moments, prepare, task_of
from ..restoration.figures import Plane
from ..sampling import Sampling, seed_of
from .bounds import (
    LAMBDAS,
    bounds,
    calibrated,
    check_one_pass,
    first_controlled,
    least_images,
    mean_width,
    risks,
)

# Values of λ at which the mean width is measured; between them it is almost linear.
_KNOTS = np.geomspace(1, 256, 33) - 1

Drawn = tuple[Pixels, Plane, Plane]  # the truth; mean and standard deviation of the candidates


@dataclass(frozen=True)
class Coverage:
    """How many values of images lie within their intervals, ends included."""

    images: int
    coverage: float  # share of values, mean over images
    standard_error: float | None  # of the mean, over images; None for one image
    quantiles: tuple[float, float]  # 5 and 95 % quantiles of the share, over images
    width: float  # mean width of the intervals, in levels


def calibrate(
    model: CAFlow,
    images: CalibrationImages,
    sampling: Sampling | None = None,
    level: float = 0.9,
    progress: Progress = lambda done, total: None,
) -> tuple[Calibration, Failures]:
    """Calibrate a model's intervals by conformal risk control (`intervals.bounds`).

    Args:
        model: A model for superres or colorize.
        images: Images of the kind for which intervals are wanted, unseen in training.
        sampling: What is decided by an `Ensemble`. Default: the model's.
        level: The expected share of values within their intervals.
        progress: Called after each image.

    Returns:
        The calibration, and the errors of images that were left out.

    Raises:
        CaflowError: The model or a setting does not fit, there are fewer images than
            level / (1 - level), or the data cannot be used.
    """
    check_usage(0 < level < 1, f"the level is {level:g}", "--level 0.9")
    if model.config.task.values is not None:
        raise _no_intervals(images.data)
    sampling = _filled(model, sampling or Sampling())
    total = np.zeros(len(LAMBDAS))
    widths = np.zeros(len(_KNOTS))
    count = 0
    failures: Failures = {}
    with _opened(model, images) as reader:
        _check_count(len(reader), level)
        drawn = _draw(model, reader, images, sampling, failures, progress)
        for truth, mean, deviation in drawn:
            total += risks(truth, mean, deviation)
            widths += [mean_width(*bounds(mean, deviation, lambd)) for lambd in _KNOTS]
            count += 1
        if count == 0:
            raise next(iter(failures.values()))
        _check_count(count, level)
        data = _name_of(images.data, reader.split)
    lambd = float(LAMBDAS[first_controlled(total / count, count, level)])
    calibration = Calibration(
        **sampling.ensemble,
        level=level,
        lambd=lambd,
        images=count,
        width=float(np.interp(lambd, _KNOTS, widths / count)),
        data=data,
    )
    return calibration, failures


def check_calibration(
    model: CAFlow,
    images: CalibrationImages,
    sampling: Sampling | None = None,
    progress: Progress = lambda done, total: None,
) -> tuple[Coverage, Failures]:
    """Measure a model's calibrated intervals on other images with known truth.

    Raises:
        CaflowError: The model has no calibration, `sampling` differs from it, or no image can be
            drawn.
    """
    sampling = calibrated(sampling or Sampling(), model.calibration, model.identity["id"])
    assert model.calibration is not None
    shares = []
    widths = []
    failures: Failures = {}
    with _opened(model, images) as reader:
        drawn = _draw(model, reader, images, sampling, failures, progress)
        for truth, mean, deviation in drawn:
            low, high = bounds(mean, deviation, model.calibration.lambd)
            covered = (low <= truth) & (truth <= high)
            shares.append(float(covered.mean()))
            widths.append(mean_width(low, high))
    if not shares:
        raise next(iter(failures.values()))
    share = estimate(shares)
    low_share, high_share = np.quantile(shares, (0.05, 0.95)).tolist()
    coverage = Coverage(
        images=share.count,
        coverage=share.mean,
        standard_error=share.standard_error,
        quantiles=(low_share, high_share),
        width=float(np.mean(widths)),
    )
    return coverage, failures


def _no_intervals(data: str | Path) -> CaflowError:
    """Why a model of fields gets no intervals from a set of fields."""
    with open_files(data, "fields") as files:
        groups = {PurePosixPath(name).parent for name in files.members}
    least = least_images(0.9)
    why = "intervals are not calibrated for fields"
    if len(groups) < least:
        why = (
            f"intervals of fields need {least} groups or more, such as days, because the fields of "
            f"a group are alike; {str(data)!r} has {len(groups)}"
        )
    return usage_error(
        why, "caflow superres FIELD -m 50: quantiles of the members, which promise nothing"
    )


def _name_of(data: str | Path, split: str) -> str:
    """The name of a set and its split, without folders, because models are shared."""
    name = Path(data).resolve().name
    name = "".join(filter(str.isprintable, name)) or "images"
    return name if split == "all" else f"{name}, {split}"


def _filled(model: CAFlow, sampling: Sampling) -> Sampling:
    """The settings with defaults; CaflowError (exit 2) if the model has no intervals with them."""
    task = task_of(model)
    check_usage(
        task.of_one_kind,
        f"intervals are for superres and colorize, not {task.name}",
        "a --model for one of these",
    )
    filled = sampling.of(model.config)
    check_usage((filled.candidates or 0) > 1, "one candidate has no standard deviation", "-m 10")
    return filled


def _check_count(count: int, level: float) -> None:
    least = least_images(level)
    check_usage(
        count >= least,
        f"intervals at level {level:g} need {least} images or more, not {count}",
        "more images, or a lower --level",
    )


def has_learned(model: CAFlow, data: str | Path) -> bool:
    """Whether a model learned from a set of that name, of which it held images out."""
    return bool(model.record.get("data") == Path(data).name)


@contextmanager
def _opened(model: CAFlow, images: CalibrationImages) -> Iterator[Examples]:
    """The images, limited, and cropped or downsampled."""
    split = images.split
    if split is None and has_learned(model, images.data):
        split = "calibrate"  # held out, and the other half of val/ has chosen the model
    elif split is None:
        with open_files(images.data) as files:
            split = "val" if has_splits(files) else None
    side = images.crop
    rule: Table = {"seed": model.split_seed, "hold_out": model.hold_out}
    with open_split(images.data, split, images.size, **rule, least=side or 0) as reader:

        def read(row: int) -> list[Pixels]:
            (image,) = reader.read(row)
            return [central(image, side) if side else image]

        yield replace(reader, names=reader.names[: images.limit], read=read)


@torch.no_grad()
def _draw(
    model: CAFlow,
    reader: Examples,
    images: CalibrationImages,
    sampling: Sampling,
    failures: Failures,
    progress: Progress,
) -> Iterator[Drawn]:
    """Draw the candidates of every image; what fails is left out, and noted in `failures`.

    An image with a candidate that diverged gets no interval, so it is left out here, too.
    """
    task = task_of(model, sampling)
    inputs = images.inputs or model.config.task.degrade
    for index, name in enumerate(reader.names):
        try:
            example = make_example(task, reader, index, inputs=inputs)
            request = prepare(model, Input(Raster(example.input)), None, sampling)
            check_one_pass(request.size)
            settings = replace(request.sampling, seed=seed_of(index))
            unanswered = Candidates(replace(request, sampling=settings).unscored)
            *_, [found] = draw([unanswered], encode([request]))
            ensure(found.predicted_note is None, f"{name}: {found.predicted_note}", "a lower --tau")
        except CaflowError as error:
            failures[name] = error
        else:
            mean, variance = moments(candidate.pixels for candidate in found.drawn)
            yield example.truth, mean, np.sqrt(variance)
        progress(index + 1, len(reader))
