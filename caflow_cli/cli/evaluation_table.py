"""An evaluation as a printed table, and as tab-separated lines for programs."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING

from ..evaluation import METRICS

if TYPE_CHECKING:
    from ..evaluation import Evaluation
    from ..evaluation.result import Estimate

_ARROWS = {"lower": " ↓", "higher": " ↑", "nominal": ""}
_STYLES = {"model": "bold", "difference": "dim", "other": None}


def table_lines(evaluation: Evaluation) -> Iterator[str]:
    """A table if stdout is a terminal, else tab-separated lines with a header."""
    if sys.stdout.isatty():
        yield _table(evaluation)
        return
    columns = ["what", "tau", "m", "n", "rank"]
    for label in evaluation.metrics:
        columns += [label, f"{label}_se"]
    yield "\t".join(columns)
    for result in evaluation.results:
        rows = {result.what: result.values}
        for to, differences in result.differences.items():
            rows[f"{result.what} - {to}"] = differences
        for what, values in rows.items():
            texts = [what, *map(str, result.cell or [""] * 4)]
            for label in evaluation.metrics:
                texts += _figures(values[label]) if label in values else ["", ""]
            yield "\t".join(texts)


def _figures(value: Estimate) -> list[str]:
    error = value.standard_error
    return [f"{value.mean:.6g}", "" if error is None else f"{error:.3g}"]


def _table(evaluation: Evaluation) -> str:
    from rich.console import Console
    from rich.table import Table

    task = f"{evaluation.settings['task']}, " if "task" in evaluation.settings else ""
    title = f"{task}{evaluation.images} images, ± standard error"
    table = Table(title=title, title_justify="left")
    table.add_column("")
    for label in evaluation.metrics:
        arrow = _ARROWS[METRICS[label.partition(":")[0]].better]
        table.add_column(f"{label}{arrow}", justify="right", no_wrap=True)
    for kind, label, texts in evaluation.table:
        table.add_row(label, *texts, style=_STYLES[kind])
    console = Console()  # stdout is a terminal
    with console.capture() as captured:
        console.print(table)
    return captured.get().rstrip("\n")
