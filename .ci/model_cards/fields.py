"""The card of a model of fields, from what its script in tests/benchmarks measured of it."""

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
    "crps_guide_ratio": ("CRPS over that of the guide with filtered noise", 3),
    "slope_crps": ("CRPS of slopes", 3),
    "slope_crps_ratio": ("CRPS of slopes over that of the better peer", 2),
    "slope_crps_guide_ratio": ("CRPS of slopes over that of the guide with filtered noise", 3),
    "spread": ("spread over error (1 is right)", 2),
    "slope": ("mean slope over the true one", 2),
    "rank": ("mean rank of maxima (0.5 is right)", 2),
    "maxima": ("CRPS of maxima", 3),
    "maxima_ratio": ("CRPS of maxima over that of the guide with filtered noise", 2),
    "coverage": ("coverage, % (90.2 is right)", 1),
    "octave": ("power in the finest octave (1 is right)", 2),
    "sea": ("cells of the sea within 1 m, %", 2),
    "milliseconds": ("a member of 128×128, ms", 0),
}
WORDS = ("does", "columns", "tau", "peers", "compared", "fails")  # of docs/models/ID.toml


# The columns of a model, and those of its guide with filtered noise. All others are peers.
GUIDES = {"model": "guide", "tau_1": "guide", "five": "five_guide"}
# Ratios to the least figure of the peers, and to that of the own guide.
OVER_PEERS = {"crps_ratio": "crps", "slope_crps_ratio": "slope_crps"}
OVER_GUIDE = {
    "crps_guide_ratio": "crps",
    "slope_crps_guide_ratio": "slope_crps",
    "maxima_ratio": "maxima",
}


def record_with(
    known: dict[str, Any], file: Path, measured: dict[str, Any], names: dict[str, str]
) -> dict[str, Any]:
    """A record with further columns, and what its model's file says.

    Args:
        known: The record so far, whose groups, such as days, have titles.
        file: Of the model.
        measured: What the benchmark's `--json` wrote: figures by group and method.
        names: Of the columns that some methods become, such as "tau_1" of "model".
    """
    info = read_info(file)
    values = info.config.task.values
    groups = []
    for group in known["groups"]:
        found = measured.get(group["group"], {})
        columns = group["columns"] | {names.get(name, name): found[name] for name in found}
        groups.append({**group, "columns": with_ratios(columns)})
    return {
        **known,
        "sha256": sha256_of(file),
        "bytes": file.stat().st_size,
        "version": __version__,
        "parameters": sum(part.numel() for part in CAFlow.load(file).parameters()),
        "unit": values.unit,
        "factor": info.config.task.factor,
        "values": {
            name: getattr(values, name)
            for name in ("low", "high", "zero", "resolution")
            if getattr(values, name) is not None
        },
        "groups": groups,
    }


def with_ratios(columns: dict[str, dict[str, float]]) -> dict[str, dict[str, float]]:
    """The columns of a group, with figures over those of the better peer and of the own guide."""
    peers = [columns[name] for name in columns if name not in {*GUIDES, *GUIDES.values()}]
    made = {}
    for name, figures in columns.items():
        made[name] = dict(figures)
        guide = columns[GUIDES[name]] if name in GUIDES else {}
        for ratio, of in OVER_PEERS.items():
            known = [peer[of] for peer in peers if of in peer]
            if of in figures and known:
                made[name][ratio] = figures[of] / min(known)
        for ratio, of in OVER_GUIDE.items():
            if of in figures and of in guide:
                made[name][ratio] = figures[of] / guide[of]
        if name != "model":
            made[name].pop("milliseconds", None)
    return made


def figures_table(group: dict[str, Any], names: dict[str, str]) -> list[list[str]]:
    """The rows of a group: a figure each, by column."""
    columns = [group["columns"].get(column, {}) for column in names]
    return [
        [text, *(plain(column.get(name), decimals) for column in columns)]
        for name, (text, decimals) in NAMES.items()
        if any(name in column for column in columns)
    ]


def plain(value: float | None, decimals: int) -> str:
    return "" if value is None else f"{value:.{decimals}f}"


def card_text(model: dict[str, Any], table: Any) -> str:
    """The part of a card that follows from the record and the words."""
    record, words = model["record"], model["words"]
    names = words["columns"]
    groups = [
        {**group, "table": table(["", *names.values()], figures_table(group, names))}
        for group in record["groups"]
    ]
    template = Path(__file__).with_name("field_card.md").read_text("utf-8")
    environment = jinja2.Environment(
        trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined
    )
    return environment.from_string(template).render(**model, groups=groups)


def table_cells(model: dict[str, Any], card: str) -> dict[str, str]:
    """The model's cells in a table of all models, by column; `card` is its path from the page."""
    record = model["record"]
    ratios = [group["columns"]["model"]["crps_ratio"] for group in record["groups"]]
    mean = f"{sum(ratios) / len(ratios):.2f}"
    return {
        "model": f"[`{record['id']}`]({card})",
        "LPIPS": f"(CRPS {mean} of the better peer's)",
        "what it does": model["words"]["does"].strip(),
        "likeliest of its candidates": f"an ensemble at τ {record['protocol']['tau']}",
        "to compare": f"its CRPS is {mean} of that of {model['words']['compared']}",
        "diversity": "",
        "bits/dim": "",
    }


def metrics(model: dict[str, Any]) -> dict[str, Any]:
    """The `metrics` of a manifest's entry."""
    record = model["record"]
    p = record["protocol"]
    found: dict[str, Any] = {
        "protocol": f"{p['members']} members of {p['windows']} windows of {p['side']}x{p['side']} "
        f"a {p['of']}, seed {p['seed']}, tau {p['tau']}; {record['unit']}"
    }
    for group in record["groups"]:
        values = group["columns"]["model"]
        found[group["group"]] = {name: round(values[name], NAMES[name][1] + 1) for name in values}
    return found
