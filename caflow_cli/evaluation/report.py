"""The report of an evaluation: a self-contained `index.html`, and `metrics.json`."""

import json
from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from typing import Any

from ..images import atomic_write, make_folder
from .metrics import METRICS
from .outputs import shown_cell
from .result import Evaluation, describe
from .rows import Row, Values
from .settings import Cell, Settings

_ARROWS = {"lower": "↓", "higher": "↑", "nominal": ""}


def write_report(
    folder: Path,
    evaluation: Evaluation,
    settings: Settings,
    rows: Sequence[Row],
    identity: dict[str, str | None],
) -> None:
    """Write `index.html` and `metrics.json` beside the images."""
    import jinja2

    make_folder(folder)
    text = json.dumps(evaluation.as_json(), ensure_ascii=False, allow_nan=False, indent=1)
    atomic_write(folder / "metrics.json", f"{text}\n".encode())
    template = (resources.files(__package__) / "report.html").read_text(encoding="utf-8")
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined)
    heads = {label: METRICS[label.partition(":")[0]] for label in evaluation.metrics}
    cell = shown_cell(settings)
    page = environment.from_string(template).render(
        about=evaluation.settings,
        model=f"{identity['id']} (sha256 {(identity['sha256'] or 'unknown')[:12]}…)",
        data=Path(evaluation.settings["data"]["path"]).name,
        settings=settings,
        heads=[f"{label} {_ARROWS[metric.better]}" for label, metric in heads.items()],
        evaluation=evaluation,
        definitions={label: describe(label) for label in evaluation.metrics},
        cards=[_card(row, cell, evaluation.metrics) for row in rows],
        sorts=[label for label, metric in heads.items() if metric.needs == "pairs"],
        baseline=settings.baselines(evaluation.settings["task"])[0],
    )
    atomic_write(folder / "index.html", page.encode())


def _card(row: Row, cell: Cell | None, labels: Sequence[str]) -> dict[str, Any]:
    candidates = []
    ranked = [] if cell is None else row.draws_of(cell).ranked(cell)
    for place, draw in enumerate(ranked, 1):
        figures = _texts(draw.values, labels)
        texts = [f"{name} {text}" for name, text in figures.items()]
        nats = draw.log_likelihood
        candidates.append(
            {
                "file": f"c{place:02d}.png",
                "label": f"#{place}",
                "nats": "" if nats is None else f"{nats:,.0f} nats",
                "title": ", ".join([f"seed {draw.seed}", *texts]),
                "figures": figures,
            }
        )
    return {
        "folder": f"images/{row.index:05d}",
        "candidates": candidates,
        "name": row.name,
        "truth": row.truth,
    }


def _texts(values: Values, labels: Sequence[str]) -> dict[str, str]:
    """The values of a candidate as texts, by metric; pairs are omitted."""
    texts = {}
    for label in labels:
        value = values.get(label, [])
        if not isinstance(value, list):
            decimals = METRICS[label].decimals
            texts[label] = "∞" if value is None else f"{value:.{decimals}f}"
    return texts
