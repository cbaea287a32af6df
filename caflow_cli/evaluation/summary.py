"""From rows to results: means over images, paired differences, rank histograms."""

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
import torch

from .metrics.pairs import central_share
from .result import ALL, Estimate, Result, estimate
from .rows import Draws, Row, Values
from .settings import Cell

LIKELIEST = "likeliest"  # the likeliest candidates, if another rule chose those of the row

_Key: TypeAlias = tuple[str, Cell | None]  # a row of the table: what, and the model's setting


def summarize(rows: Sequence[Row], cells: Sequence[Cell], metrics: Sequence[str]) -> list[Result]:
    """Summarize rows as results in the order of the table: baselines, settings, truth.

    Args:
        rows: One per image, at least one.
        cells: The settings of the sweep; empty if nothing was drawn.
        metrics: The metrics that were measured.
    """
    images = [_values(row, cells, metrics) for row in rows]
    columns: dict[_Key, list[Values]] = {}
    for image in images:
        for key in image:
            columns[key] = [other.get(key, {}) for other in images]
    results = []
    for (what, cell), column in columns.items():
        if what == LIKELIEST:
            continue
        if what == ALL:
            kept = columns["model", cell]
            if any(ours and not values for ours, values in zip(kept, column, strict=True)):
                continue  # only the kept candidates were measured
        result = Result(what, estimates(column), cell)
        if what == "model" and cell is not None:
            result.differences = _paired_differences(columns, cell)
            draws = [row.at(cell.tau) for row in rows]
            if "calibration" in result.values:
                result.extra = _histogram(draws)
            diverged = sum(len(some.diverged) for some in draws)
            if diverged:
                result.extra["diverged"] = diverged
        results.append(result)
    return results


def _values(row: Row, cells: Sequence[Cell], metrics: Sequence[str]) -> dict[_Key, Values]:
    """The values of an image in each row of the table.

    If samples diverged, the values are those of the other candidates. The shares of `calibration`
    and `likelihood` depend on M, so such an image has none.
    """
    columns: dict[_Key, Values] = {}
    for name, values in row.baselines.items():
        columns[name, None] = values
    for cell in cells:
        draws = row.at(cell.tau)
        ranked = [draw.values for draw in draws.ranked(cell.rank)]
        likelier = draws.ranked("likelihood")
        values = means(ranked[: cell.n]) | draws.values
        if "likelihood" in metrics and not draws.diverged:
            best = likelier[0].log_likelihood
            assert best is not None, "metrics need joint log-likelihoods"
            values["likelihood"] = float(row.truth["log_likelihood"] > best)
        if draws.ranks:
            values["calibration"] = central_share(
                torch.tensor(draws.ranks, dtype=torch.float64), 0.9
            )
        columns["model", cell] = values
        if cell.m == cell.n:
            continue
        if cell.rank != "likelihood":
            columns[LIKELIEST, cell] = means([draw.values for draw in likelier[: cell.n]])
        columns[ALL, cell] = means(ranked)
    if "bpd" in metrics:
        columns["truth", None] = {"bpd": row.truth["bits_per_dim"]}
    return columns


def means(images: Sequence[Mapping[str, Any]]) -> Values:
    """The mean of each metric that all images have; None (infinity) if one value is."""
    found: Values = {}
    for name in images[0] if images else ():
        values = [image[name] for image in images if name in image]
        if len(values) < len(images):
            continue
        if None in values:
            found[name] = None
        else:
            found[name] = np.mean(values, axis=0).tolist()
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
    columns: dict[_Key, list[Values]], cell: Cell
) -> dict[str, dict[str, Estimate]]:
    """The differences of the model's row: first within the same setting, then to baselines."""
    differences = {}
    for what, setting in sorted(columns, key=lambda key: key[1] is None):
        if what in ("model", "truth") or setting not in (cell, None):
            continue
        found = _differences(columns["model", cell], columns[what, setting])
        if found:
            differences[what] = found
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


def _histogram(draws: Sequence[Draws]) -> dict[str, Any]:
    """The mean rank histogram, and the share of true values within the central half."""
    ranks = torch.tensor([some.ranks for some in draws if some.ranks], dtype=torch.float64)
    shares = [central_share(histogram, 0.5) for histogram in ranks]
    return {
        "rank_histogram": ranks.mean(0).tolist(),
        "coverage_50": estimate(shares).as_json(),
    }
