"""An evaluation as a printed table, and as tab-separated lines for programs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from ..evaluation import METRICS

if TYPE_CHECKING:
    from ..evaluation import Evaluation
    from ..evaluation.result import Estimate, Estimates

_ARROWS = {"lower": " ↓", "higher": " ↑", "nominal": ""}


def table_lines(evaluation: Evaluation) -> Iterator[str]:
    """Tab-separated lines with a header."""
    columns = ["what", "tau", "m", "n", "ranked_by", "images"]
    for label in evaluation.metrics:
        columns += [label, f"{label}_se"]
    yield "\t".join(columns)
    for result in evaluation.results:
        rows = {result.what: result.values}
        for to, differences in result.differences.items():
            rows[f"{result.what} - {to}"] = differences
        for what, values in rows.items():
            measured = any(value.count for value in values.values())
            count = result.extra.get("fields", evaluation.images)
            images = str(count) if measured else ""  # of published figures, unknown
            texts = [what, *map(str, result.cell or [""] * 4), images]
            for label in evaluation.metrics:
                texts += _figures(values[label]) if label in values else ["", ""]
            yield "\t".join(texts)


def _figures(value: Estimate) -> list[str]:
    error = value.standard_error
    return [f"{value.mean:.6g}", "" if error is None else f"{error:.3g}"]


def table(evaluation: Evaluation) -> str:
    """A table for a terminal."""
    from rich.console import Console
    from rich.table import Table

    from ..evaluation.result import ALL

    task = f"{evaluation.settings['task']}, " if "task" in evaluation.settings else ""
    what = "images"
    if evaluation.form == "fields":
        what = f"fields of {len(evaluation.settings['days'])} days, {evaluation.settings['unit']}"
    title = f"{task}{evaluation.images} {what}, ± standard error"
    rows = Table(title=title, title_justify="left")
    rows.add_column("")
    for label in evaluation.metrics:
        arrow = _ARROWS[METRICS[label.partition(":")[0]].better]
        rows.add_column(f"{label}{arrow}", justify="right", no_wrap=True)
    is_sweep = len({result.cell for result in evaluation.results if result.what == "model"}) > 2
    for result in evaluation.results:
        if is_sweep and result.what == ALL:  # JSON has it
            continue
        style = "bold" if result.what in ("model", "generated") else None
        rows.add_row(result.label, *_texts(evaluation, result.values), style=style)
        if is_sweep:
            continue
        for to, values in result.differences.items():
            rows.add_row(f"  − {to}", *_texts(evaluation, values, "+"), style="dim")
    console = Console()  # stdout is a terminal
    with console.capture() as captured:
        console.print(rows)
    return captured.get().rstrip("\n")


def _texts(evaluation: Evaluation, values: Estimates, sign: str = "") -> Iterator[str]:
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
