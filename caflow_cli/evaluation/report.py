"""The report of an evaluation: `index.html`, which makes no request, and `metrics.json`."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..images import atomic_write, make_folder
from .metrics import METRICS
from .outputs import ERROR_SCALE, shown_cell
from .result import Evaluation, Result, Row, describe, draws_of, ranked
from .settings import Settings

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
    """Write `index.html`, `metrics.json` and, for a sweep, `sweep.svg` beside the images."""
    import jinja2

    make_folder(folder)
    text = json.dumps(evaluation.as_json(), ensure_ascii=False, allow_nan=False, indent=1)
    atomic_write(folder / "metrics.json", f"{text}\n".encode())
    plots = []
    if (sweep := _sweep_plot(evaluation)) is not None:
        plots.append(sweep)
        atomic_write(folder / "sweep.svg", sweep.encode())
    plots += [_likelihood_plot(gap) for gap in evaluation.gaps]
    calibrated = [row for row in evaluation.results if "rank_histogram" in row.extra]
    plots += map(_rank_plot, calibrated[:_MOST_RANK_PLOTS])
    template = (resources.files(__package__) / "report.html").read_text(encoding="utf-8")
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined)
    heads = {label: METRICS[label.partition(":")[0]] for label in evaluation.metrics}
    page = environment.from_string(template).render(
        title=f"{evaluation.settings['task']}: {evaluation.images} images",
        facts=_facts(evaluation, settings, identity),
        heads=[f"{label} {_ARROWS[metric.better]}" for label, metric in heads.items()],
        evaluation=evaluation,
        definitions={label: describe(label) for label in evaluation.metrics},
        plots=[plot[plot.index("<svg") :] for plot in plots],
        cards=[_card(row, evaluation, settings) for row in rows],
        sorts=[label for label, metric in heads.items() if metric.needs == "pairs"],
        baseline=settings.baselines(evaluation.settings["task"])[0],
        error_scale=ERROR_SCALE,
    )
    atomic_write(folder / "index.html", page.encode())


def _facts(
    evaluation: Evaluation, settings: Settings, identity: dict[str, str | None]
) -> dict[str, str]:
    """The measurements, as a page."""
    about = evaluation.settings
    data, params, size = about["data"], about["params"], about["data"]["size"]
    taus, ms, ns, rules = (
        ", ".join(map(str, values))
        for values in (settings.tau, params["candidates"], params["keep"], params["ranks"])
    )
    facts = {
        "model": f"{identity['id']} (sha256 {(identity['sha256'] or 'unknown')[:12]}…)",
        "data": f"{Path(data['path']).name}, {data['split']}, "
        + ("as they are" if size is None else f"{size}×{size}"),
        "settings": f"τ {taus}; M {ms}; N {ns}; by {rules}; seed {settings.seed}",
        "log-likelihoods": f"{about['estimator']['dequantization']} dequantization, "
        f"K = {settings.noise_samples}",
    }
    return facts | ({"protocol": about["protocol"]["name"]} if "protocol" in about else {})


def _card(row: Row, evaluation: Evaluation, settings: Settings) -> dict[str, Any]:
    """The part of the page about an image."""
    cell, candidates = shown_cell(settings), []
    if cell is not None:
        for place, c in enumerate(ranked(draws_of(row, cell.tau, cell.m), cell.m, cell.rank), 1):
            score = c["log_likelihood"]
            figures = {
                label: "∞" if c[label] is None else f"{c[label]:.{METRICS[label].decimals}f}"
                for label in evaluation.metrics
                if label in c and not isinstance(c[label], list)
            }
            candidates.append(
                {
                    "file": f"c{place:02d}.png",
                    "label": f"#{place}",
                    "nats": "" if score is None else f"{score:,.0f} nats",
                    "title": ", ".join(
                        [f"seed {c['seed']}", *(f"{n} {text}" for n, text in figures.items())]
                    ),
                    "figures": figures,
                }
            )
    return {
        "name": row["name"],
        "folder": f"images/{row['index']:05d}",
        "truth": row.get("truth"),
        "candidates": candidates,
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


def _likelihood_plot(gap: dict[str, Any]) -> str:
    """Histograms of truths and of candidates over common bins."""
    tau = "/".join(f"{value:g}" for value in gap["tau"])
    figure, axes = _plot(f"Log-likelihood, τ {tau}", "thousand nats", "share")
    edges = [edge / 1000 for edge in gap["histogram"]["edges"]]
    for name in ("truth", "candidates"):
        counts = gap["histogram"][name]
        axes.stairs(
            [count / sum(counts) for count in counts], edges, fill=True, alpha=0.5, label=name
        )
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


def _sweep_plot(evaluation: Evaluation) -> str | None:
    """LPIPS, SSIM and diversity against RMSE: a point for each setting, a line for each M.

    None if there is no sweep, or nothing to draw.
    """
    from matplotlib.figure import Figure

    rows = [row for row in evaluation.results if row.what == "model" and row.cell is not None]
    across = next((m for m in ("rmse", "psnr") if all(m in r.values for r in rows)), None)
    up = [m for m in ("lpips", "ssim", "diversity") if any(m in r.values for r in rows)]
    if len(rows) < 2 or across is None or not up:
        return None
    beside = [row for row in evaluation.results if row.cell is None and across in row.values]
    lines: dict[str, list[Result]] = {}
    for row in rows:
        assert row.cell is not None
        _, m, n, rank = row.cell
        label = f"M {m}" + (f", N {n}" if n > 1 else "")
        lines.setdefault(label if rank == "likelihood" else f"{label}, {rank}", []).append(row)
    figure = Figure(figsize=(5, 3.2 * len(up)), layout="constrained")
    for axes, name in zip(figure.subplots(len(up), squeeze=False)[:, 0], up, strict=True):
        axes.set(title=f"{name} against {across}", xlabel=_axis(across), ylabel=_axis(name))
        for place, (label, some) in enumerate(lines.items()):
            points = [r for r in some if name in r.values]
            xs, ys = ([r.values[metric].mean for r in points] for metric in (across, name))
            axes.plot(xs, ys, "o-", label=label)
            for x, y, row in zip(xs, ys, points, strict=True) if place == 0 else ():
                axes.annotate(f"τ {row.cell.tau}" if row.cell else "", (x, y), **_NEAR)
        for row in beside:
            if name in row.values:
                point = row.values[across].mean, row.values[name].mean
                axes.plot(*point, "D", color="grey")
                axes.annotate(row.what.removesuffix(", published"), point, **_NEAR)
        axes.legend()
    return _svg(figure)


def _axis(name: str) -> str:
    better = METRICS[name].better
    return name if better == "nominal" else f"{name}, {better} is better"
