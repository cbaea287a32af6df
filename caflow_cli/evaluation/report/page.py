"""`index.html`: summary, plots and gallery data in one page that makes no request."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from html import escape
from importlib import resources
from pathlib import Path
from string import Template
from typing import Any

from ...images import atomic_write, make_folder
from ..estimates import Estimate
from ..metrics import METRICS
from ..picture_row import PictureRow
from ..problems import BASELINES
from ..result import Evaluation, describe
from ..settings import EvaluationSettings
from .pictures import ERROR_SCALE, shown_cell
from .plots import PLOT_STYLE, likelihood_plot, rank_plot, sweep_plot

__all__ = ["write_report"]

_ARROWS = {"lower": "↓", "higher": "↑", "nominal": ""}


def write_report(
    folder: Path,
    evaluation: Evaluation,
    settings: EvaluationSettings,
    rows: Iterable[PictureRow],
    identity: dict[str, str] | None,
) -> None:
    """Write `index.html`, `metrics.json` and, for a sweep, `sweep.svg` beside the pictures."""
    make_folder(folder)
    sweep = sweep_plot(evaluation)
    if sweep is not None:
        head, _, rest = sweep.partition(">")
        alone = f"{head}><style>{PLOT_STYLE}</style>{rest}"
        atomic_write(folder / "sweep.svg", alone.encode())
    record = evaluation.as_json()
    atomic_write(
        folder / "metrics.json",
        (json.dumps(record, ensure_ascii=False, allow_nan=False, indent=1) + "\n").encode(),
    )
    page = Template(_file("template.html")).substitute(
        title=escape(f"{evaluation.settings['task']}: {evaluation.images} pictures"),
        style=_file("style.css") + PLOT_STYLE,
        script=_file("script.js"),
        facts=_facts(evaluation, settings, identity),
        table=_table(evaluation),
        notes="".join(f"<p class=note>{escape(note)}</p>" for note in evaluation.notes),
        plots="".join(f"<figure>{plot}</figure>" for plot in _plots(evaluation, sweep)),
        definitions=_definitions(evaluation),
        failed=_failed(evaluation),
        data=_data(evaluation, settings, rows),
    )
    atomic_write(folder / "index.html", page.encode())


def _file(name: str) -> str:
    return (resources.files(__package__) / name).read_text(encoding="utf-8")


def _facts(
    evaluation: Evaluation, settings: EvaluationSettings, identity: dict[str, str] | None
) -> str:
    data = evaluation.settings["data"]
    size = "as they are" if data["size"] is None else f"{data['size']}×{data['size']}"
    facts = {
        "model": f"{identity['id']} (sha256 {identity['sha256'][:12]}…)" if identity else None,
        "data": f"{Path(data['path']).name}, {data['split']}, {size}",
        "settings": f"τ {_list(settings.taus)}; M {_list(settings.candidates)}; "
        f"N {_list(settings.keep)}; by {_list(settings.ranks)}; seed {settings.seed}",
        "log-likelihoods": f"{evaluation.settings['estimator']['dequantization']} dequantization, "
        f"K = {settings.noise_samples}",
        "protocol": evaluation.settings.get("protocol", {}).get("name"),
    }
    return "".join(
        f"<dt>{escape(name)}</dt><dd>{escape(value)}</dd>"
        for name, value in facts.items()
        if value is not None
    )


def _list(values: Iterable[object]) -> str:
    return ", ".join(map(str, values))


def _table(evaluation: Evaluation) -> str:
    heads = "".join(
        f"<th scope=col>{escape(label)} {_ARROWS[METRICS[label.partition(':')[0]].better]}</th>"
        for label in evaluation.metrics
    )
    body = [
        _table_row(evaluation, label.strip(), values, kind)
        for kind, label, values in evaluation.table
    ]
    return f"<thead><tr><td></td>{heads}</tr></thead><tbody>{''.join(body)}</tbody>"


def _table_row(
    evaluation: Evaluation,
    name: str,
    values: dict[str, Estimate],
    kind: str,
) -> str:
    sign = "+" if kind == "difference" else ""
    cells = []
    for label in evaluation.metrics:
        value, decimals = values.get(label), METRICS[label.partition(":")[0]].decimals
        text = ""
        if value is not None and not math.isfinite(value.mean):
            text = "∞"
        elif value is not None:
            text = f"{value.mean:{sign}.{decimals}f}"
            if value.standard_error is not None:
                text += f" <small>± {value.standard_error:.{decimals}f}</small>"
        cells.append(f"<td>{text}</td>")
    return f"<tr class={kind}><th scope=row>{escape(name)}</th>{''.join(cells)}</tr>"


def _plots(evaluation: Evaluation, sweep: str | None) -> list[str]:
    rank_plots = [
        rank_plot(result)
        for result in evaluation.results
        if result.what == "model" and "rank_histogram" in result.extra
    ]
    return [*([sweep] if sweep else []), *map(likelihood_plot, evaluation.gaps), *rank_plots[:4]]


def _definitions(evaluation: Evaluation) -> str:
    parts = []
    for label in evaluation.metrics:
        metric = describe(label)
        parts.append(
            f"<dt>{escape(label)}</dt><dd>{escape(metric['definition'])}. Range "
            f"{escape(metric['range'])}, units {escape(metric['units'])}.</dd>"
        )
    return "".join(parts)


def _failed(evaluation: Evaluation) -> str:
    if not evaluation.failed:
        return ""
    items = "".join(f"<li>{escape(error.message)}</li>" for _, error in evaluation.failed)
    return f"<section><h2>Left out</h2><ul>{items}</ul></section>"


def _data(evaluation: Evaluation, settings: EvaluationSettings, rows: Iterable[PictureRow]) -> str:
    """The data for the page's script, as JSON that cannot close its HTML element."""
    cell = shown_cell(settings)
    names = [m for m in evaluation.metrics if METRICS[m.partition(":")[0]].needs == "pairs"]
    pictures = []
    for row in rows:
        record: dict[str, Any] = {"i": row.index, "name": row.name, "c": []}
        if row.truth is not None:
            record["ll"] = row.truth.log_likelihood
            record["bpd"] = row.truth.bits_per_dim
        if cell is not None:
            record["c"] = [
                {"seed": c.seed, "ll": c.log_likelihood}
                | {name: c.values[name] for name in (*names, "consistency") if name in c.values}
                for c in row.draws_at(cell.tau).ranked(cell.m, cell.rank)
            ]
        pictures.append(record)
    shown = {
        "pictures": pictures,
        "metrics": {
            name: {"decimals": METRICS[name].decimals, "better": METRICS[name].better}
            for name in ("lpips", "rmse", "psnr", "ssim", "psnr_y", "ssim_y", "consistency")
            if name in evaluation.metrics
        },
        "baseline": BASELINES.get(evaluation.settings["task"]),
        "tau": None if cell is None else str(cell.tau),
        "errorScale": ERROR_SCALE,
    }
    return json.dumps(shown, ensure_ascii=False, allow_nan=False).replace("</", "<\\/")
