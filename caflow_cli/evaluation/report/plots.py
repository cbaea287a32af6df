"""Plots as SVG. They take their colours from the page, which has a light and a dark mode."""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape

from ..metrics import METRICS
from ..result import Evaluation, LikelihoodGap, Result
from ..settings import Cell

__all__ = ["PLOT_STYLE", "likelihood_plot", "rank_plot", "sweep_plot"]

# Also in a file of its own: the page's stylesheet says the same of its variables.
PLOT_STYLE = """
svg{--ink:#1c2330;--muted:#5c6675;--line:#ccd3dc;--c0:#1f6feb;--c1:#d9730d;--c2:#1a7f4b;--c3:#a23bb8;
--c4:#b3261e;font:12px system-ui,sans-serif}
@media(prefers-color-scheme:dark){svg{--ink:#e6e9ee;--muted:#9aa5b4;--line:#3a4452;--c0:#6aa8ff;
--c1:#f5a35c;--c2:#5fd39a;--c3:#dd8cf0;--c4:#ff8a80}}
svg text{fill:var(--muted)}svg .t{fill:var(--ink)}svg .a{stroke:var(--line);fill:none}
"""

_W, _H = 460, 260
_LEFT, _RIGHT, _TOP, _BOTTOM = 56, 14, 34, 44
_COLOURS = 5


def likelihood_plot(gap: LikelihoodGap) -> str:
    """Plot histograms of truths and of candidates over common bins."""
    histogram = gap.histogram()
    edges = [edge / 1000 for edge in histogram["edges"]]
    series = []
    for name in ("truth", "candidates"):
        counts = histogram[name]
        series.append((name, [count / max(1, sum(counts)) for count in counts]))
    frame = _Frame(
        f"Log-likelihood, τ {gap.tau}",
        "thousand nats",
        "share",
        (edges[0], edges[-1]),
        (0, max(max(shares) for _, shares in series) * 1.1),
    )
    for place, (_, shares) in enumerate(series):
        for left, right, share in zip(edges, edges[1:], shares, strict=False):
            if share:
                x, y = frame.x(left), frame.y(share)
                frame.add(
                    f'<rect x="{x:.1f}" y="{y:.1f}" width="{frame.x(right) - x:.1f}" '
                    f'height="{frame.y(0) - y:.1f}" fill="var(--c{place})" fill-opacity=".5" '
                    f'stroke="var(--c{place})"/>'
                )
    frame.legend([name for name, _ in series])
    return frame.svg()


def rank_plot(result: Result) -> str:
    """Plot the truth's rank histogram among M candidates. It is level for a calibrated model."""
    shares = result.extra["rank_histogram"]
    cell = result.cell
    assert cell is not None
    frame = _Frame(
        f"Rank of the truth among {cell.m}, τ {cell.tau}",
        "rank; dashed: truth and candidates alike",
        "share",
        (-0.5, len(shares) - 0.5),
        (0, max(shares) * 1.1),
        whole=True,
    )
    for rank, share in enumerate(shares):
        x, y = frame.x(rank - 0.42), frame.y(share)
        frame.add(
            f'<rect x="{x:.1f}" y="{y:.1f}" width="{frame.x(rank + 0.42) - x:.1f}" '
            f'height="{frame.y(0) - y:.1f}" fill="var(--c0)" fill-opacity=".75"/>'
        )
    level = frame.y(1 / len(shares))
    frame.add(
        f'<path d="M{_LEFT} {level:.1f}H{_W - _RIGHT}" stroke="var(--c1)" stroke-dasharray="5 4"/>'
    )
    return frame.svg()


def sweep_plot(evaluation: Evaluation) -> str | None:
    """Plot LPIPS and diversity against RMSE: a point for each setting, a line for each M.

    None if there is no sweep, or nothing to draw.
    """
    rows = [r for r in evaluation.results if r.what == "model" and r.cell is not None]
    across = next((m for m in ("rmse", "psnr") if all(m in r.values for r in rows)), None)
    up = [m for m in ("lpips", "ssim", "diversity") if any(m in r.values for r in rows)]
    if len(rows) < 2 or across is None or not up:
        return None
    base = [
        r for r in evaluation.results if r.cell is None and across in r.values and r.what != "truth"
    ]
    cells = [r.cell for r in rows if r.cell is not None]
    settings = list(dict.fromkeys((cell.m, cell.n, cell.rank) for cell in cells))
    panels = []
    for name in up:
        drawn, shown = ([r for r in some if name in r.values] for some in (rows, base))
        xs = [r.values[across].mean for r in (*drawn, *shown)]
        ys = [r.values[name].mean for r in (*drawn, *shown)]
        title = f"{name} against {across}"
        frame = _Frame(title, _axis(across), _axis(name), _around(xs), _around(ys))
        labelled = True
        for place, setting in enumerate(settings):
            members = [r for r in drawn if r.cell and _line_of(r.cell) == setting]
            if members:
                _curve(frame, members, across, name, place % _COLOURS, labelled)
                labelled = False  # the temperatures of one line are enough
        for row in shown:
            x, y = frame.x(row.values[across].mean), frame.y(row.values[name].mean)
            frame.add(
                f'<path class="t" d="M{x:.1f} {y - 5:.1f}l5 5l-5 5l-5 -5z" fill="var(--muted)"/>'
                f'<text x="{_inside(x)}" y="{y - 8:.1f}" text-anchor="middle">'
                f"{escape(row.what.removesuffix(', published'))}</text>"
            )
        frame.legend([_line_label(*setting) for setting in settings])
        panels.append(frame)
    height = len(panels) * (_H + 12)
    inner = "".join(
        f'<g transform="translate(0 {place * (_H + 12)})">{frame.inner}</g>'
        for place, frame in enumerate(panels)
    )
    return _wrap(inner, height, " and ".join(frame.title for frame in panels))


def _line_of(cell: Cell) -> tuple[int, int, str]:
    """The settings that all points of a line share."""
    return cell.m, cell.n, cell.rank


def _line_label(m: int, n: int, rank: str) -> str:
    label = f"M {m}" + (f", N {n}" if n > 1 else "")
    return label if rank == "likelihood" else f"{label}, {rank}"


def _curve(
    frame: _Frame, rows: list[Result], across: str, name: str, colour: int, labelled: bool
) -> None:
    points = []
    for row in rows:
        cell: Cell | None = row.cell
        assert cell is not None
        x, y = frame.x(row.values[across].mean), frame.y(row.values[name].mean)
        points.append(f"{x:.1f} {y:.1f}")
        frame.add(
            f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4" fill="var(--c{colour})">'
            f"<title>τ {cell.tau}, M {cell.m}: {across} {row.values[across].mean:.4g}, "
            f"{name} {row.values[name].mean:.4g}</title></circle>"
        )
        if labelled:
            frame.add(f'<text x="{x + 6:.1f}" y="{y - 6:.1f}">τ {cell.tau}</text>')
    frame.add(f'<path d="M{"L".join(points)}" fill="none" stroke="var(--c{colour})"/>')


class _Frame:
    """Axes with ticks, a title and the drawn content."""

    def __init__(
        self,
        title: str,
        x_label: str,
        y_label: str,
        x_range: tuple[float, float],
        y_range: tuple[float, float],
        whole: bool = False,
    ) -> None:
        self.title = title
        self._x, self._y = x_range, y_range
        bottom = _H - _BOTTOM
        self._parts = [
            f'<text class="t" x="{_LEFT}" y="16" font-weight="600">{escape(title)}</text>',
            f'<text x="{(_LEFT + _W - _RIGHT) / 2}" y="{_H - 8}" text-anchor="middle">'
            f"{escape(x_label)}</text>",
            f'<text transform="translate(13 {(_TOP + bottom) / 2})rotate(-90)" '
            f'text-anchor="middle">{escape(y_label)}</text>',
            f'<path class="a" d="M{_LEFT} {_TOP}V{bottom}H{_W - _RIGHT}"/>',
        ]
        for value in _ticks(*x_range, 7):
            if not whole or value == int(value):
                x = f"{self.x(value):.1f}"
                self.add(
                    f'<path class="a" d="M{x} {bottom}v4"/>'
                    f'<text x="{x}" y="{bottom + 16}" text-anchor="middle">{value:g}</text>'
                )
        for value in _ticks(*y_range, 5):
            self.add(
                f'<path class="a" d="M{_LEFT} {self.y(value):.1f}H{_W - _RIGHT}" '
                f'stroke-opacity=".5"/><text x="{_LEFT - 6}" y="{self.y(value) + 4:.1f}" '
                f'text-anchor="end">{value:g}</text>'
            )

    def x(self, value: float) -> float:
        low, high = self._x
        return _LEFT + (value - low) / (high - low) * (_W - _LEFT - _RIGHT)

    def y(self, value: float) -> float:
        low, high = self._y
        return _H - _BOTTOM - (value - low) / (high - low) * (_H - _TOP - _BOTTOM)

    def add(self, part: str) -> None:
        self._parts.append(part)

    def legend(self, names: Sequence[str]) -> None:
        x = _W - _RIGHT - sum(26 + 7 * len(name) for name in names)
        for place, name in enumerate(names):
            colour = place % _COLOURS
            self.add(
                f'<rect x="{x}" y="7" width="10" height="10" fill="var(--c{colour})"/>'
                f'<text x="{x + 15}" y="16">{escape(name)}</text>'
            )
            x += 26 + 7 * len(name)

    @property
    def inner(self) -> str:
        return "".join(self._parts)

    def svg(self) -> str:
        return _wrap(self.inner, _H, self.title)


def _wrap(inner: str, height: int, title: str) -> str:
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_W} {height}" role="img" '
        f'aria-label="{escape(title)}">{inner}</svg>'
    )


def _axis(name: str) -> str:
    metric = METRICS[name]
    better = "" if metric.better == "nominal" else f", {metric.better} is better"
    return f"{name}{better}"


def _around(values: Sequence[float]) -> tuple[float, float]:
    """A range with room around the values."""
    low, high = min(values), max(values)
    room = (high - low) * 0.12 or abs(high) * 0.1 or 1.0
    return low - room, high + room


def _inside(x: float) -> str:
    return f"{min(max(x, _LEFT + 34), _W - _RIGHT - 34):.1f}"


def _ticks(low: float, high: float, most: int) -> list[float]:
    """Round numbers in a range."""
    step = 10 ** math.floor(math.log10((high - low) / most))
    step = next(step * f for f in (1, 2, 5, 10) if (high - low) / (step * f) <= most)
    first = math.ceil(low / step - 1e-9)
    count = math.floor(high / step + 1e-9) - first + 1
    return [round((first + i) * step, 10) for i in range(count)]
