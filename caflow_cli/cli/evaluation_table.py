"""An evaluation as a printed table."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING

from ..evaluation import METRICS

if TYPE_CHECKING:
    from ..evaluation import Evaluation
    from ..evaluation.result import Estimate

_WIDE = 1000  # characters of a line in a pipe, at most
_ARROWS = {"lower": " ↓", "higher": " ↑", "nominal": ""}


def evaluation_table(evaluation: Evaluation) -> str:
    """The results of an evaluation with their standard errors."""
    from rich.console import Console
    from rich.table import Table

    from ..evaluation.result import ALL

    task = f"{evaluation.settings['task']}, " if "task" in evaluation.settings else ""
    title = f"{task}{evaluation.images} images, ± standard error"
    table = Table(title=title, title_justify="left")
    table.add_column("")
    for label in evaluation.metrics:
        arrow = _ARROWS[METRICS[label.partition(":")[0]].better]
        table.add_column(f"{label}{arrow}", justify="right", no_wrap=True)
    is_sweep = len({result.cell for result in evaluation.results if result.what == "model"}) > 2
    for result in evaluation.results:
        if is_sweep and result.what == ALL:  # JSON has it
            continue
        style = "bold" if result.what in ("model", "generated") else None
        table.add_row(result.label, *_texts(evaluation, result.values), style=style)
        if is_sweep:
            continue
        for to, values in result.differences.items():
            table.add_row(f"  − {to}", *_texts(evaluation, values, "+"), style="dim")
    console = Console(width=None if sys.stdout.isatty() else _WIDE)
    with console.capture() as captured:
        console.print(table)
    return captured.get().rstrip("\n")


def _texts(evaluation: Evaluation, values: dict[str, Estimate], sign: str = "") -> Iterator[str]:
    """A text for each metric; `sign` is that of the format, such as "+"."""
    for label in evaluation.metrics:
        text = ""
        if label in values:
            value = values[label]
            decimals = METRICS[label.partition(":")[0]].decimals
            text = f"{value.mean:{sign}.{decimals}f}".replace("inf", "∞")
            if value.standard_error is not None:
                text += f" ± {value.standard_error:.{decimals}f}"
        yield text
