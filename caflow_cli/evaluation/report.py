"""The report of an evaluation: `index.html`, which makes no request, and `metrics.json`."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..images import atomic_write, make_folder
from ..temperature import Temperature
from .metrics import METRICS
from .outputs import ERROR_SCALE, shown_cell
from .result import Evaluation, Result, Row, describe, draws_of, ranked
from .settings import Cell, Settings

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["write_report"]

_ARROWS = {"lower": "↓", "higher": "↑", "nominal": ""}
_MOST_RANK_PLOTS = 4
_NEAR: dict[str, Any] = {"fontsize": 7, "xytext": (4, 4), "textcoords": "offset points"}


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
    calibrated = [row for row in evaluation.results if "rank_histogram" in row.extra]
    plots = _sweep_plots(evaluation)
    plots += map(_likelihood_plot, evaluation.gaps)
    plots += map(_rank_plot, calibrated[:_MOST_RANK_PLOTS])
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
        plots=[plot[plot.index("<svg") :] for plot in plots],
        cards=[_card(row, cell, evaluation.metrics) for row in rows],
        sorts=[label for label, metric in heads.items() if metric.needs == "pairs"],
        baseline=settings.baselines(evaluation.settings["task"])[0],
        error_scale=ERROR_SCALE,
    )
    atomic_write(folder / "index.html", page.encode())


def _card(row: Row, cell: Cell | None, labels: Sequence[str]) -> dict[str, Any]:
    """The part of the page about an image."""
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
        card = {"file": f"c{place:02d}.png", "label": f"#{place}", "nats": nats}
        candidates.append({**card, "title": ", ".join(texts), "figures": figures})
    folder = f"images/{row['index']:05d}"
    return {
        "folder": folder,
        "candidates": candidates,
        "name": row["name"],
        "truth": row.get("truth"),
    }


def _plot(title: str, across: str, up: str) -> tuple[Figure, Axes]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5, 3), layout="constrained")
    axes = figure.subplots()
    axes.set(title=title, xlabel=across, ylabel=up)
    return figure, axes


def _svg(figure: Figure) -> str:
    import matplotlib

    text = io.StringIO()
    # Equal figures are equal bytes; text stays text.
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": "caflow"}):
        figure.savefig(text, format="svg", metadata={"Date": None})
    return text.getvalue()


def _likelihood_plot(gap: Row) -> str:
    """Histograms of truths and of candidates over common bins."""
    title = f"Log-likelihood, τ {Temperature.of(gap['tau'])}"
    figure, axes = _plot(title, "thousand nats", "share")
    edges = [edge / 1000 for edge in gap["histogram"]["edges"]]
    for name in ("truth", "candidates"):
        counts = gap["histogram"][name]
        shares = [count / sum(counts) for count in counts]
        axes.stairs(shares, edges, fill=True, alpha=0.5, label=name)
    axes.legend()
    return _svg(figure)


def _rank_plot(result: Result) -> str:
    """The truth's rank histogram among M candidates. It is level for a calibrated model."""
    shares, cell = result.extra["rank_histogram"], result.cell
    assert cell is not None
    title = f"Rank of the truth among {cell.m}, τ {cell.tau}"
    figure, axes = _plot(title, "rank; dashed: truth and candidates alike", "share")
    axes.bar(range(len(shares)), shares)
    axes.axhline(1 / len(shares), linestyle="--", color="C1")
    return _svg(figure)


def _sweep_plots(evaluation: Evaluation) -> list[str]:
    """LPIPS, SSIM and diversity of a sweep against RMSE: a line for each M, N and rule."""
    plots = []
    for name in ("lpips", "ssim", "diversity"):
        known = [row for row in evaluation.results if {"rmse", name} <= row.values.keys()]
        if sum(row.what == "model" for row in known) < 2:
            continue
        figure, axes = _plot(f"{name} against rmse", "rmse", name)
        lines: dict[str, list[tuple[float, float]]] = {}
        for row in known:
            point = row.values["rmse"].mean, row.values[name].mean
            if row.what == "model" and row.cell is not None:
                tau, m, n, rank = row.cell
                lines.setdefault(f"M {m}, N {n}, {rank}", []).append(point)
                axes.annotate(f"τ {tau}", point, **_NEAR)
            elif row.cell is None:
                axes.plot(*point, "D", label=row.what)
        for label, points in lines.items():
            axes.plot(*zip(*points, strict=True), "o-", label=label)
        axes.legend()
        plots.append(_svg(figure))
    return plots
