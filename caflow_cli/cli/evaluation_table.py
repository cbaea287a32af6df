"""An evaluation as a table for people, and as tab-separated lines for programs."""

from __future__ import annotations

import io
import os
import shutil
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING

from ..evaluation import METRICS

if TYPE_CHECKING:
    from ..evaluation import Evaluation

_ARROWS = {"lower": " ↓", "higher": " ↑", "nominal": ""}
_STYLES = {"model": "bold", "difference": "dim", "other": None}


def table_lines(evaluation: Evaluation) -> Iterator[str]:
    """The table where stdout is a terminal, else tab-separated lines.

    These are a header, then a line a row: what, tau, m, n, rank, then each metric and its error.
    """
    if sys.stdout is not None and sys.stdout.isatty():
        yield _table(evaluation)
        return
    columns = [column for label in evaluation.metrics for column in (label, f"{label}_se")]
    yield "\t".join(["what", "tau", "m", "n", "rank", *columns])
    for result in evaluation.results:
        cell = [""] * 4 if result.cell is None else [str(value) for value in result.cell]
        lines = {result.what: result.values} | {
            f"{result.what} - {to}": values for to, values in result.differences.items()
        }
        for what, values in lines.items():
            texts = []
            for value in map(values.get, evaluation.metrics):
                error = None if value is None else value.standard_error
                texts.append("" if value is None else f"{value.mean:.6g}")
                texts.append("" if error is None else f"{error:.3g}")
            yield "\t".join([what, *cell, *texts])


def _table(evaluation: Evaluation) -> str:
    """The table as text, as wide as the terminal."""
    from rich.console import Console
    from rich.table import Table

    caption = [
        f"log-likelihood of truth minus mean candidate at τ {'/'.join(map(str, gap['tau']))}: "
        f"{gap['truth_minus_mean_candidate']['mean']:.0f} ± "
        f"{gap['truth_minus_mean_candidate']['standard_error'] or 0:.0f} nats"
        for gap in evaluation.gaps
    ]
    task = f"{evaluation.settings['task']}, " if "task" in evaluation.settings else ""
    table = Table(
        title=f"{task}{evaluation.images} images, ± standard error",
        caption="\n".join(caption),
        title_justify="left",
        caption_justify="left",
    )
    table.add_column("")
    for label in evaluation.metrics:
        arrow = _ARROWS[METRICS[label.partition(":")[0]].better]
        table.add_column(f"{label}{arrow}", justify="right", no_wrap=True)
    for kind, label, texts in evaluation.table:
        table.add_row(label, *texts, style=_STYLES[kind])
    text = io.StringIO()
    color = "NO_COLOR" not in os.environ
    width = shutil.get_terminal_size().columns
    Console(file=text, width=width, force_terminal=color).print(table)
    return text.getvalue().rstrip("\n")
