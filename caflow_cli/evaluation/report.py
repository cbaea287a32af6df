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
from .result import ALL, Evaluation, Result, Row, describe, draws_of, ranked
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
    """Write `index.html`, `metrics.json` and, for a sweep, `sweep.svg` beside the images."""
    import jinja2

    make_folder(folder)
    text = json.dumps(evaluation.as_json(), ensure_ascii=False, allow_nan=False, indent=1)
    atomic_write(folder / "metrics.json", f"{text}\n".encode())
    plots = _sweep_plot(evaluation)
    for sweep in plots:
        atomic_write(folder / "sweep.svg", sweep.encode())
    calibrated = [row for row in evaluation.results if "rank_histogram" in row.extra]
    plots += map(_likelihood_plot, evaluation.gaps)
    plots += map(_rank_plot, calibrated[:_MOST_RANK_PLOTS])
    template = (resources.files(__package__) / "report.html").read_text(encoding="utf-8")
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined)
    heads = {label: METRICS[label.partition(":")[0]] for label in evaluation.metrics}
    cell, task = shown_cell(settings), evaluation.settings["task"]
    page = environment.from_string(template).render(
        title=f"{task}: {evaluation.images} images",
        facts=_facts(evaluation.settings, settings, identity),
        heads=[f"{label} {_ARROWS[metric.better]}" for label, metric in heads.items()],
        evaluation=evaluation,
        definitions={label: describe(label) for label in evaluation.metrics},
        plots=[plot[plot.index("<svg") :] for plot in plots],
        cards=[_card(row, cell, evaluation.metrics) for row in rows],
        sorts=[label for label, metric in heads.items() if metric.needs == "pairs"],
        baseline=settings.baselines(task)[0],
        error_scale=ERROR_SCALE,
    )
    atomic_write(folder / "index.html", page.encode())


def _facts(
    about: dict[str, Any], settings: Settings, identity: dict[str, str | None]
) -> dict[str, str]:
    """The measurements, as a page."""
    data, size = about["data"], about["data"]["size"]
    taus, ms, ns, rules = (
        ", ".join(map(str, values))
        for values in (settings.tau, settings.candidates, settings.keep, settings.rank)
    )
    facts = {
        "model": f"{identity['id']} (sha256 {(identity['sha256'] or 'unknown')[:12]}…)",
        "data": f"{Path(data['path']).name}, {data['split']}, "
        + ("as they are" if size is None else f"{size}×{size}"),
        "settings": f"τ {taus}; M {ms}; N {ns}; by {rules}; seed {settings.seed}",
        "log-likelihoods": f"{about['estimator']['dequantization']} dequantization, "
        f"K = {settings.noise_samples}",
    }
    return facts | ({} if settings.protocol is None else {"protocol": settings.protocol.name})


def _card(row: Row, cell: Cell | None, labels: Sequence[str]) -> dict[str, Any]:
    """The part of the page about an image."""
    candidates = []
    ordered = [] if cell is None else ranked(draws_of(row, cell), cell.m, cell.rank)
    for place, c in enumerate(ordered, 1):
        figures = {
            label: "∞" if c[label] is None else f"{c[label]:.{METRICS[label].decimals}f}"
            for label in labels
            if label in c and not isinstance(c[label], list)
        }
        texts = [f"seed {c['seed']}", *(f"{name} {text}" for name, text in figures.items())]
        score = c["log_likelihood"]
        candidates.append(
            {
                "file": f"c{place:02d}.png",
                "label": f"#{place}",
                "nats": "" if score is None else f"{score:,.0f} nats",
                "title": ", ".join(texts),
                "figures": figures,
            }
        )
    return {
        "name": row["name"],
        "folder": f"images/{row['index']:05d}",
        "truth": row.get("truth"),
        "candidates": candidates,
    }


def _plots(titles: Sequence[str], **labels: str) -> tuple[Figure, list[Axes]]:
    """A figure with a plot for each title."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5, 3.1 * len(titles)), layout="constrained")
    every = list(figure.subplots(len(titles), squeeze=False)[:, 0])
    for axes, title in zip(every, titles, strict=True):
        axes.set(title=title, **labels)
    return figure, every


def _svg(figure: Figure) -> str:
    import matplotlib

    text = io.StringIO()
    # Equal figures are equal bytes; text stays text.
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": "caflow"}):
        figure.savefig(text, format="svg", metadata={"Date": None})
    return text.getvalue()


def _likelihood_plot(gap: dict[str, Any]) -> str:
    """Histograms of truths and of candidates over common bins."""
    title = f"Log-likelihood, τ {Temperature.of(gap['tau'])}"
    figure, (axes,) = _plots([title], xlabel="thousand nats", ylabel="share")
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
    across = "rank; dashed: truth and candidates alike"
    title = f"Rank of the truth among {cell.m}, τ {cell.tau}"
    figure, (axes,) = _plots([title], xlabel=across, ylabel="share")
    axes.bar(range(len(shares)), shares)
    axes.axhline(1 / len(shares), linestyle="--", color="C1")
    return _svg(figure)


def _sweep_plot(evaluation: Evaluation) -> list[str]:
    """LPIPS, SSIM and diversity against RMSE: a point for each setting, a line for each M, N and
    rule. Empty if there is no sweep, or nothing to draw."""
    rows = [row for row in evaluation.results if row.what == "model"]
    across = next((m for m in ("rmse", "psnr") if all(m in r.values for r in rows)), "")
    up = [m for m in ("lpips", "ssim", "diversity") if any(m in r.values for r in rows)]
    if len(rows) < 2 or not across or not up:
        return []
    figure, every = _plots([f"{name} against {across}" for name in up], xlabel=across)
    for axes, name in zip(every, up, strict=True):
        lines: dict[str, list[tuple[float, float]]] = {}
        for row in evaluation.results:
            if row.what == ALL or not {across, name} <= row.values.keys():
                continue
            point = row.values[across].mean, row.values[name].mean
            text = row.what.removesuffix(", published")
            if row.cell is None:
                axes.plot(*point, "D", color="grey")
            else:
                tau, m, n, rank = row.cell
                text = f"τ {tau}"
                lines.setdefault(f"M {m}, N {n}, {rank}", []).append(point)
            axes.annotate(text, point, **_NEAR)
        for label, points in lines.items():
            axes.plot(*zip(*points, strict=True), "o-", label=label)
        axes.legend()
    return [_svg(figure)]
