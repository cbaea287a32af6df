"""The report of an evaluation: a self-contained `index.html`, and `metrics.json`."""

import json
from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from typing import Any

from ..images import atomic_write, make_folder
from .metrics import METRICS
from .outputs import shown_cell
from .result import Evaluation, Row, describe, draws_of, ranked
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
    ordered = [] if cell is None else ranked(draws_of(row, cell), cell)
    for place, c in enumerate(ordered, 1):
        figures = {
            label: "∞" if c[label] is None else f"{c[label]:.{METRICS[label].decimals}f}"
            for label in labels
            if label in c and not isinstance(c[label], list)
        }
        texts = [f"seed {c['seed']}", *(f"{name} {text}" for name, text in figures.items())]
        nats = "" if c["log_likelihood"] is None else f"{c['log_likelihood']:,.0f} nats"
        candidates.append(
            {
                "file": f"c{place:02d}.png",
                "label": f"#{place}",
                "nats": nats,
                "title": ", ".join(texts),
                "figures": figures,
            }
        )
    return {
        "folder": f"images/{row['index']:05d}",
        "candidates": candidates,
        "name": row["name"],
        "truth": row.get("truth"),
    }
