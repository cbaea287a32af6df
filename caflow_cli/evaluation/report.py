"""The report of an evaluation: a self-contained `index.html`, and `metrics.json`."""

import json
import math
from collections.abc import Sequence
from importlib import resources
from pathlib import Path

from ..images import atomic_write, make_folder
from .result import Evaluation, describe, shown
from .rows import Row, Values
from .settings import Settings


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
    environment.filters["figures"] = _figures
    page = environment.from_string(template).render(
        about=evaluation.settings,
        identity=identity,
        data=Path(evaluation.settings["data"]["path"]).name,
        settings=settings,
        evaluation=evaluation,
        definitions={label: describe(label) for label in evaluation.metrics},
        rows=rows,
    )
    atomic_write(folder / "index.html", page.encode())


def _figures(values: Values) -> dict[str, str]:
    """The values of a candidate as texts, by metric; pairs are omitted."""
    texts = {}
    for label, value in values.items():
        if not isinstance(value, list):
            texts[label] = shown(label, math.inf if value is None else value)
    return texts
