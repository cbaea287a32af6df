"""From rows to results: means over images, paired differences, truths against candidates."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch

from .metrics.pairs import central_share
from .result import ALL, Estimate, Result, estimate
from .rows import Row, Values
from .settings import Cell

LIKELIEST = "likeliest"  # the likeliest candidates, if another rule chose those of the row


def summarize(
    rows: Sequence[Row], cells: Sequence[Cell], metrics: Sequence[str]
) -> tuple[list[Result], list[dict[str, Any]]]:
    """Summarize rows as results, in the order of the table (baselines, settings, truth), and gaps.

    Args:
        rows: One per image, at least one.
        cells: The settings of the sweep; empty if nothing was drawn.
        metrics: The metrics that were measured.
    """
    images = [_values(row, cells, metrics) for row in rows]
    names = dict.fromkeys(name for image in images for name in image)
    columns = {name: [image.get(name, {}) for image in images] for name in names}
    results = []
    for (what, cell), ours in columns.items():
        if what == LIKELIEST or (what == ALL and not all(ours)):
            continue
        result = Result(what, estimates(ours), cell)
        if what == "model" and cell is not None:
            result.differences = _paired_differences(columns, cell)
            if "calibration" in result.values:
                result.extra = _histogram(rows, cell)
        results.append(result)
    gaps = []
    if "likelihood" in metrics:
        for place, draws in enumerate(rows[0].draws):
            gap, above = _gap(rows, place)
            gaps.append(gap)
            if all(cell.tau != draws.tau for cell in cells):
                drawn = Cell(draws.tau, gap["candidates"], 1)
                results.append(Result("model", {"likelihood": above}, drawn))
    return results, gaps


def _values(
    row: Row, cells: Sequence[Cell], metrics: Sequence[str]
) -> dict[tuple[str, Cell | None], Values]:
    """The values of an image in each row of the table."""
    columns: dict[tuple[str, Cell | None], Values] = {
        (name, None): values for name, values in row.baselines.items()
    }
    for cell in cells:
        draws = row.draws_of(cell)
        ranked = draws.ranked(cell)
        likelier = draws.ranked(cell._replace(rank="likelihood"))
        values = means([draw.values for draw in ranked[: cell.n]])
        columns["model", cell] = values
        if draws.seconds is not None:
            values["seconds"] = draws.seconds
        if "likelihood" in metrics:
            best = likelier[0].log_likelihood
            assert best is not None, "metrics need joint log-likelihoods"
            values["likelihood"] = float(row.truth["log_likelihood"] > best)
        if cell.m in draws.diversity:
            values["diversity"] = draws.diversity[cell.m]
        if cell.m in draws.ranks:
            histogram = torch.tensor(draws.ranks[cell.m], dtype=torch.float64)
            values["calibration"] = central_share(histogram, 0.9)
        if cell.m > cell.n:
            if cell.rank != "likelihood":
                columns[LIKELIEST, cell] = means([draw.values for draw in likelier[: cell.n]])
            columns[ALL, cell] = means([draw.values for draw in ranked])
    if "bpd" in metrics:
        columns["truth", None] = {"bpd": row.truth["bits_per_dim"]}
    return columns


def means(images: Sequence[Mapping[str, Any]]) -> Values:
    """The mean of each metric that all images have; None (infinity) if one value is."""
    found: Values = {}
    for name in images[0]:
        values = [image[name] for image in images if name in image]
        if len(values) == len(images):
            found[name] = None if None in values else np.mean(values, axis=0).tolist()
    return found


def estimates(rows: Sequence[Values]) -> dict[str, Estimate]:
    """The estimate of each metric over the images that have it; ratios to 0 are omitted."""
    found = {}
    for name in dict.fromkeys(name for values in rows for name in values):
        column = [values[name] for values in rows if name in values]
        pairs = [value for value in column if isinstance(value, list)]
        if not pairs or any(under for _, under in pairs):
            found[name] = estimate(column)
    return found


def _paired_differences(
    columns: dict[tuple[str, Cell | None], list[Values]], cell: Cell
) -> dict[str, dict[str, Estimate]]:
    """The differences of the model's row: first within the same setting, then to baselines."""
    keys = [key for key in columns if key[1] == cell and key[0] != "model"]
    keys += [key for key in columns if key[1] is None and key[0] != "truth"]
    differences = {}
    for key in keys:
        if found := _differences(columns["model", cell], columns[key]):
            differences[key[0]] = found
    return differences


def _differences(ours: Sequence[Values], theirs: Sequence[Values]) -> dict[str, Estimate]:
    """Estimates of paired differences, over images where both are finite; ratios are omitted."""
    columns: dict[str, list[float]] = {}
    for a, b in zip(ours, theirs, strict=True):
        for name, value in a.items():
            other = b.get(name)
            if isinstance(value, float) and isinstance(other, float):
                columns.setdefault(name, []).append(value - other)
    return {name: estimate(column) for name, column in columns.items()}


def _histogram(rows: Sequence[Row], cell: Cell) -> dict[str, Any]:
    """The mean rank histogram, and the share of true values within the central half."""
    histograms = [row.draws_of(cell).ranks[cell.m] for row in rows]
    ranks = torch.tensor(histograms, dtype=torch.float64)
    shares = [central_share(histogram, 0.5) for histogram in ranks]
    return {
        "rank_histogram": ranks.mean(0).tolist(),
        "coverage_50": estimate(shares).as_json(),
    }


def _gap(rows: Sequence[Row], place: int) -> tuple[dict[str, Any], Estimate]:
    """Compare the truths' log-likelihoods with those of the M candidates at a temperature; nats.

    Also returns the share of images whose truth is above all candidates.
    """
    draws = [row.draws[place] for row in rows]
    truths = np.array([row.truth["log_likelihood"] for row in rows])
    candidates = np.array([[draw.log_likelihood for draw in some.candidates] for some in draws])
    edges = np.histogram_bin_edges([*truths, *candidates.flat], 24)
    above = estimate((truths > candidates.max(1)).astype(float).tolist())
    difference = estimate((truths - candidates.mean(1)).tolist())
    gap = {
        "tau": draws[0].tau.as_json(),
        "candidates": candidates.shape[1],
        "truth_above_all": above.as_json(),
        "truth_minus_mean_candidate": difference.as_json(),
        "histogram": {
            "edges": edges.tolist(),
            "truth": np.histogram(truths, edges)[0].tolist(),
            "candidates": np.histogram(candidates, edges)[0].tolist(),
        },
    }
    return gap, above
