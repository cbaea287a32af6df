"""An evaluation as a table for people, and as tab-separated lines for programs."""

from __future__ import annotations

import io
import math
import os
import shutil
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING

from ..evaluation.metrics import METRICS

if TYPE_CHECKING:
    from ..evaluation import Evaluation, Result
    from ..evaluation.estimates import Estimate

__all__ = ["rich_table", "tab_separated", "table_lines"]

_ARROWS = {"lower": " ↓", "higher": " ↑", "nominal": ""}


def table_lines(evaluation: Evaluation) -> Iterator[str]:
    """The table where stdout is a terminal, else tab-separated lines."""
    if sys.stdout is not None and sys.stdout.isatty():
        yield rich_table(evaluation)
    else:
        yield from tab_separated(evaluation)


def tab_separated(evaluation: Evaluation) -> Iterator[str]:
    """A header, then a line a row: what, tau, m, n, rank, then each metric and its error."""
    columns = [column for label in evaluation.metrics for column in (label, f"{label}_se")]
    yield "\t".join(["what", "tau", "m", "n", "rank", *columns])
    for result in evaluation.results:
        yield _line(evaluation, result, result.what, result.values)
        for to, values in result.differences.items():
            yield _line(evaluation, result, f"{result.what} - {to}", values)


def _line(evaluation: Evaluation, result: Result, what: str, values: dict[str, Estimate]) -> str:
    cell = result.cell
    cells = [what, *[""] * 4]
    if cell is not None:
        cells = [what, str(cell.tau), str(cell.m), str(cell.n), cell.rank]
    for label in evaluation.metrics:
        value = values.get(label)
        error = None if value is None else value.standard_error
        cells += ["" if value is None else f"{value.mean:.6g}"]
        cells += ["" if error is None else f"{error:.3g}"]
    return "\t".join(cells)


def rich_table(evaluation: Evaluation) -> str:
    """The table as text, as wide as the terminal."""
    from rich.console import Console
    from rich.table import Table

    table = Table(
        title=_title(evaluation),
        caption=_caption(evaluation),
        title_justify="left",
        caption_justify="left",
    )
    table.add_column("")
    for label in evaluation.metrics:
        metric = METRICS[label.partition(":")[0]]
        table.add_column(f"{label}{_ARROWS[metric.better]}", justify="right", no_wrap=True)
    styles = {"model": "bold", "difference": "dim", "other": None}
    for kind, label, values in evaluation.table:
        texts = _texts(evaluation, values, signed=kind == "difference")
        table.add_row(label, *texts, style=styles[kind])
    text = io.StringIO()
    console = Console(
        file=text,
        width=shutil.get_terminal_size().columns,
        force_terminal=sys.stdout.isatty() and "NO_COLOR" not in os.environ,
    )
    console.print(table)
    return text.getvalue().rstrip("\n")


def _title(evaluation: Evaluation) -> str:
    task = evaluation.settings.get("task")
    what = f"{task}, " if task else ""
    return f"{what}{evaluation.images} pictures, ± standard error"


def _caption(evaluation: Evaluation) -> str:
    lines = [
        f"log-likelihood of truth minus mean candidate at τ {gap.tau}: "
        f"{gap.difference.mean:.0f} ± {gap.difference.standard_error or 0:.0f} nats"
        for gap in evaluation.gaps
    ]
    return "\n".join(lines)


def _texts(evaluation: Evaluation, values: dict[str, Estimate], signed: bool = False) -> list[str]:
    texts = []
    for label in evaluation.metrics:
        value = values.get(label)
        decimals = METRICS[label.partition(":")[0]].decimals
        if value is None:
            texts.append("")
        elif not math.isfinite(value.mean):
            texts.append("∞")
        else:
            sign = "+" if signed else ""
            text = f"{value.mean:{sign}.{decimals}f}"
            error = value.standard_error
            texts.append(text if error is None else f"{text} ± {error:.{decimals}f}")
    return texts
