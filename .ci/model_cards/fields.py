"""The card of a model of fields, from what `tests/benchmarks/rain.py` measured of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jinja2

from caflow_cli.checkpoint import read_info
from caflow_cli.model import CAFlow
from caflow_cli.paths import sha256_of
from caflow_cli.version import __version__

# Figure -> name in a card, decimals. The members are refined fields in the unit.
NAMES = {
    "crps": ("CRPS", 4),
    "crps_ratio": ("CRPS over that of the better peer", 2),
    "rank": ("mean rank of maxima (0.5 is right)", 2),
    "maxima": ("CRPS of maxima", 3),
    "maxima_ratio": ("CRPS of maxima over that of the guide with filtered noise", 2),
    "coverage": ("coverage, % (90.2 is right)", 1),
    "octave": ("power in the finest octave of dB (1 is right)", 2),
    "milliseconds": ("a member of 128×128, ms", 0),
}
WORDS = ("does", "columns", "tau", "peers", "fails")  # of docs/models/ID.toml


# The columns of a model, and those of its guide with filtered noise.
GUIDES = {"model": "guide", "tau_1": "guide", "five": "five_guide"}


def record_with(
    known: dict[str, Any], file: Path, measured: dict[str, Any], names: dict[str, str]
) -> dict[str, Any]:
    """A record with further columns, and what its model's file says.

    Args:
        known: The record so far, whose days have titles.
        file: Of the model.
        measured: What `tests/benchmarks/rain.py --json` wrote: figures by day and method.
        names: Of the columns that some methods become, such as "tau_1" of "model".
    """
    info = read_info(file)
    values = info.config.task.values
    days = []
    for day in known["days"]:
        found = measured.get(day["day"], {})
        columns = day["columns"] | {names.get(name, name): found[name] for name in found}
        days.append({**day, "columns": with_ratios(columns)})
    return {
        **known,
        "sha256": sha256_of(file),
        "bytes": file.stat().st_size,
        "version": __version__,
        "parameters": sum(part.numel() for part in CAFlow.load(file).parameters()),
        "unit": values.unit,
        "factor": info.config.task.factor,
        "values": {"low": values.low, "high": values.high, "zero": values.zero},
        "days": days,
    }


def with_ratios(columns: dict[str, dict[str, float]]) -> dict[str, dict[str, float]]:
    """The columns of a day, of which peers begin with `rainfarm` or `residuals`, with
    CRPS over the better peer's, and that of maxima over its guide's."""
    peers = [name for name in columns if name.startswith(("rainfarm", "residuals"))]
    better = min(columns[name]["crps"] for name in peers)
    made = {}
    for name, figures in columns.items():
        made[name] = {**figures, "crps_ratio": figures["crps"] / better}
        if name in GUIDES:
            guide = columns[GUIDES[name]]
            made[name]["maxima_ratio"] = figures["maxima"] / guide["maxima"]
        if name != "model":
            made[name].pop("milliseconds", None)
    return made


def figures_table(day: dict[str, Any], names: dict[str, str]) -> list[list[str]]:
    """The rows of a day: a figure each, by column."""
    return [
        [text, *(plain(day["columns"][column].get(name), decimals) for column in names)]
        for name, (text, decimals) in NAMES.items()
        if any(name in day["columns"][column] for column in names)
    ]


def plain(value: float | None, decimals: int) -> str:
    return "" if value is None else f"{value:.{decimals}f}"


def card_text(model: dict[str, Any], table: Any) -> str:
    """The part of a card that follows from the record and the words."""
    record, words = model["record"], model["words"]
    names = words["columns"]
    days = [
        {**day, "table": table(["", *names.values()], figures_table(day, names))}
        for day in record["days"]
    ]
    template = Path(__file__).with_name("field_card.md").read_text("utf-8")
    environment = jinja2.Environment(
        trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined
    )
    return environment.from_string(template).render(**model, days=days)


def table_cells(model: dict[str, Any], card: str) -> dict[str, str]:
    """The model's cells in a table of all models, by column; `card` is its path from the page."""
    record = model["record"]
    ratios = [day["columns"]["model"]["crps_ratio"] for day in record["days"]]
    mean = f"{sum(ratios) / len(ratios):.2f}"
    return {
        "model": f"[`{record['id']}`]({card})",
        "LPIPS": f"(CRPS {mean} of the better peer's)",
        "what it does": model["words"]["does"].strip(),
        "likeliest of its candidates": f"an ensemble at τ {record['protocol']['tau']}",
        "to compare": f"its CRPS is {mean} of that of RainFARM or of resampled residuals, on "
        f"{len(ratios)} days",
        "diversity": "",
        "bits/dim": "",
    }


def metrics(model: dict[str, Any]) -> dict[str, Any]:
    """The `metrics` of a manifest's entry."""
    record = model["record"]
    p = record["protocol"]
    found: dict[str, Any] = {
        "protocol": f"{p['members']} members of {p['windows']} windows of {p['side']}x{p['side']} "
        f"a day, seed {p['seed']}, tau {p['tau']}; {record['unit']}"
    }
    for day in record["days"]:
        values = day["columns"]["model"]
        found[day["day"]] = {name: round(values[name], NAMES[name][1] + 1) for name in values}
    return found
