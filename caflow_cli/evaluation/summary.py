"""From rows to results: means over images, paired differences, rank histograms."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch

from ..ensembles import central_share, unevenness
from ..errors import ensure
from .kinds import Cell
from .metrics.features import Extractor
from .metrics.sets import coverage, fid, kid
from .result import ALL, Estimate, Estimates, Result, estimate
from .rows import Draws, Row, Values, divergence

LIKELIEST = "likeliest"  # the likeliest candidates, if another rule chose those of the row


def summarize(rows: Sequence[Row], cells: Sequence[Cell], metrics: Sequence[str]) -> list[Result]:
    """Summarize rows as results in the order of the table: baselines, settings, truth.

    Args:
        rows: One per image, at least one.
        cells: The settings of the sweep; empty if nothing was drawn.
        metrics: The metrics that were measured.
    """
    results = []
    baselines: dict[str, list[Values]] = {}
    names = [name for row in rows for name in row.baselines]
    for name in dict.fromkeys(names):
        column = [row.baselines.get(name, {}) for row in rows]
        baselines[name] = column
        results.append(Result(name, estimates(column)))
    for cell in cells:
        results += _of_cell(rows, cell, metrics, baselines)
    if "bpd" in metrics:
        bits = [row.truth["bits_per_dim"] for row in rows]
        results.append(Result("truth", {"bpd": estimate(bits)}))
    return results


def _of_cell(
    rows: Sequence[Row],
    cell: Cell,
    metrics: Sequence[str],
    baselines: Mapping[str, list[Values]],
) -> list[Result]:
    """The results of a setting: the kept candidates, and the mean of all, if all were measured."""
    draws = [row.at(cell.tau) for row in rows]
    kept = [_kept(row, cell, metrics) for row in rows]
    columns: dict[str, list[Values]] = {}
    if cell.keep < cell.candidates:
        if cell.rank != "likelihood":
            columns[LIKELIEST] = [_means(some, "likelihood", cell.keep) for some in draws]
        columns[ALL] = [_means(some, cell.rank, cell.candidates) for some in draws]
    result = Result("model", estimates(kept), cell)
    columns |= baselines
    for what, column in columns.items():
        differences = _differences(kept, column)
        if differences:
            result.differences[what] = differences
    _add_ranks(result, draws, metrics)
    result.extra |= divergence(draws).as_json()
    everything = columns.get(ALL, [])
    # For whole images, only the kept candidates are measured.
    measured = zip(kept, everything, strict=False)
    if everything and all(values or not ours for ours, values in measured):
        return [result, Result(ALL, estimates(everything), cell)]
    return [result]


def _kept(row: Row, cell: Cell, metrics: Sequence[str]) -> Values:
    """The values of an image: means over the kept candidates, and those of all together.

    If windows are the guide's prediction, the image has no shares of `calibration` and
    `likelihood`, which are of samples.
    """
    draws = row.at(cell.tau)
    values = _means(draws, cell.rank, cell.keep) | draws.values
    if "likelihood" in metrics and draws.candidates and not draws.predicted:
        best = draws.ranked("likelihood")[0].log_likelihood
        assert best is not None, "metrics need joint log-likelihoods"
        values["likelihood"] = float(row.truth["log_likelihood"] > best)
    if "calibration" in metrics and draws.ranks:
        values["calibration"] = central_share(np.array(draws.ranks), 0.9)
    return values


def _means(draws: Draws, rank: str, count: int) -> Values:
    """The means over the best candidates."""
    best = draws.ranked(rank)[:count]
    return means([draw.values for draw in best])


def add_distances(
    result: Result,
    names: Sequence[str],
    extractor: Extractor,
    images: Sequence[torch.Tensor],
    truths: Sequence[torch.Tensor],
) -> None:
    """Add `fid`, `kid` and `coverage`, those in `names`, between two sets.

    Args:
        result: Where they go, by label, and KID's deviation over subsets and the density.
        names: Metrics; others are left out.
        extractor: The extractor of the features.
        images, truths: The features of each image, (1, d) float64, at least two of both.
    """
    least = min(len(images), len(truths))
    ensure(
        least > 1,
        f"a set has {least} images, too few for a distance between sets",
        "give at least two, preferably 2,048",
    )
    generated, reference = torch.cat([*images]), torch.cat([*truths])
    for name in names:
        label = extractor.label(name)
        if name == "fid":
            value = fid(generated, reference)
        elif name == "coverage":
            value, result.extra[f"{label}_density"] = coverage(generated, reference)
        elif name == "kid":
            value, result.extra[f"{label}_subset_deviation"] = kid(generated, reference)
        else:
            continue
        result.values[label] = Estimate(value, None, len(generated))


def means(images: Sequence[Mapping[str, Any]]) -> Values:
    """The mean of each metric that all images have; None (infinity) if one value is."""
    averages: Values = {}
    for name in images[0] if images else ():
        values = [image[name] for image in images if name in image]
        if len(values) < len(images):
            continue
        averages[name] = None
        if None not in values:
            averages[name] = np.mean(values, axis=0).tolist()
    return averages


def estimates(rows: Sequence[Values]) -> Estimates:
    """The estimate of each metric over the images that have it; ratios to 0 are omitted."""
    by_metric = {}
    names = [name for values in rows for name in values]
    for name in dict.fromkeys(names):
        column = [values[name] for values in rows if name in values]
        ratios = [value for value in column if isinstance(value, list)]
        is_zero = not any(under for _, under in ratios)
        if not (ratios and is_zero):
            by_metric[name] = estimate(column)
    return by_metric


def _differences(ours: Sequence[Values], theirs: Sequence[Values]) -> Estimates:
    """Estimates of paired differences, over images where both are finite; ratios are omitted."""
    columns: dict[str, list[float]] = {}
    for a, b in zip(ours, theirs, strict=True):
        for name, value in a.items():
            other = b.get(name)
            if isinstance(value, float) and isinstance(other, float):
                columns.setdefault(name, []).append(value - other)
    return {name: estimate(column) for name, column in columns.items()}


def _add_ranks(result: Result, draws: Sequence[Draws], metrics: Sequence[str]) -> None:
    """Add the metric `rank`, the mean rank histogram, and what supplements the metrics of ranks."""
    ranks = [some.ranks for some in draws if some.ranks]
    if not ranks:
        return
    histograms = np.array(ranks)  # (N, M + 1)
    result.extra["rank_histogram"] = histograms.mean(0).tolist()
    if "calibration" in metrics:
        shares = [central_share(histogram, 0.5) for histogram in histograms]
        result.extra["coverage_50"] = estimate(shares).as_json()
    if "rank" in metrics:
        values, result.extra["rank_by_chance"] = unevenness(histograms)
        result.values["rank"] = estimate(values)
