"""Cards, tables and the manifest's metrics: what they should be, and what they are."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import jinja2

from caflow_cli.errors import CaflowError
from caflow_cli.evaluation.protocols import PROTOCOLS
from caflow_cli.hub.manifest import Entry, load_manifest, manifest_json
from caflow_cli.paths import sha256_of
from caflow_cli.records import read_toml
from caflow_cli.sampling import RANKS

from . import fields

# Label -> name in a card, decimals.
NAMES = {
    "rmse": ("RMSE, levels", 2),
    "psnr": ("PSNR, dB", 2),
    "lpips": ("LPIPS", 3),
    "ssim": ("SSIM", 3),
    "kid:alexnet": ("KID, AlexNet's features", 2),
    "coverage:alexnet": ("coverage, AlexNet's features", 3),
    "consistency": ("consistency, levels", 2),
    "diversity": ("diversity", 2),
    "psnr_y": ("PSNR of Y, dB", 2),
    "ssim_y": ("SSIM of Y", 3),
    "psnr_hole": ("PSNR in the holes, dB", 2),
    "colorfulness": ("colorfulness of the truth's", 2),
    "checkerboard": ("checkerboard share", 3),
    "diversity_score": ("diversity score, %", 2),
    "lpips_map": ("LPIPS, mean of the maps", 3),
    "lr_psnr": ("LR-PSNR, dB", 2),
    "lr_psnr_worst": ("LR-PSNR, worst, dB", 2),
    "seconds": ("seconds a megapixel", 1),
}
TABLES = {
    "README.md": ("model", "what it does", "LPIPS"),
    "docs/models.md": (
        *("model", "what it does", "likeliest of its candidates", "to compare"),
        *("diversity", "bits/dim"),
    ),
}
WORDS = ("does", "data", "images", "truths", "tau", "fails")  # of docs/models/ID.toml
_OF_SETS = ("kid:alexnet", "coverage:alexnet")
_MARK = "<!-- {}: .ci/models write -->"
_END = "<!-- end of {} -->"


@dataclass(frozen=True)
class Place:
    """A checkout."""

    root: Path

    def record(self, model_id: str) -> Path:
        return self.root / "docs" / "models" / f"{model_id}.json"

    def whole(self, model_id: str) -> Path:
        return self.record(model_id).with_suffix(".whole.json")

    def intervals(self, model_id: str) -> Path:
        return self.record(model_id).with_suffix(".intervals.json")

    def words(self, model_id: str) -> Path:
        return self.record(model_id).with_suffix(".toml")

    def card(self, model_id: str) -> Path:
        return self.weights(model_id).with_suffix(".md")

    def weights(self, model_id: str) -> Path:
        return self.root / "caflow_cli" / "assets" / "weights" / f"{model_id}.safetensors"


def save(path: Path, record: dict[str, Any]) -> None:
    """Write a record; floats have six digits, and each leaf is on one line."""

    def rounded(value: Any) -> Any:
        if isinstance(value, dict):
            return {name: rounded(part) for name, part in value.items()}
        if isinstance(value, list):
            return [rounded(part) for part in value]
        return float(f"{value:.6g}") if isinstance(value, float) else value

    text = json.dumps(rounded(record), indent=1)
    leaves = r"\{[^{}]*\}|\[[^][{}]*\]"
    text = re.sub(leaves, lambda leaf: " ".join(leaf[0].split()), text)
    path.write_text(f"{text}\n", encoding="utf-8")


def read_words(path: Path, names: tuple[str, ...] = WORDS) -> dict[str, Any]:
    """What no measurement says. CaflowError if the file is missing, or lacks some."""
    words = read_toml(path) if path.exists() else {}
    missing = [name for name in names if not words.get(name)]
    if missing:
        raise CaflowError(f"{path.name} says nothing of {', '.join(missing)}", "CONTRIBUTING.md")
    return words


def write(place: Place) -> list[Path]:
    """Write what differs, and return it."""
    changed = [(path, text) for path, text in list(wanted(place)) if _read(path) != text]
    for path, text in changed:
        path.write_text(text, encoding="utf-8")
    return [path for path, _ in changed]


def check(place: Place) -> list[str]:
    """What differs, a line each; empty if nothing does."""
    try:
        different = [path for path, text in wanted(place) if _read(path) != text]
    except CaflowError as error:
        return [f"{error.message} ({error.hint})"]
    return [
        f"{path.relative_to(place.root).as_posix()} differs from the records (.ci/models write)"
        for path in different
    ]


def wanted(place: Place) -> Iterator[tuple[Path, str]]:
    """Each file that holds figures of records, and what it should hold. CaflowError if records and
    bundled models do not belong together, or a page lacks the marks around a text."""
    manifest = place.root / "weights_manifest.json"
    entries = load_manifest(manifest)
    bundled = {entry.id: entry for entry in entries.values() if entry.file is not None}
    for path in sorted((place.root / "docs" / "models").glob("*.*")):
        model_id = path.name.partition(".")[0]
        if model_id not in bundled:
            hint = f"remove it, or bundle {model_id}"
            raise CaflowError(f"docs/models/{path.name} is of no bundled model", hint)
    models = {model_id: _model(place, entry) for model_id, entry in bundled.items()}
    for model_id, model in models.items():
        found = fields.metrics(model) if _of_field(model) else metrics(model)
        entries[model_id] = replace(entries[model_id], metrics=found)
    yield manifest, manifest_json(entries.values())
    for model_id, model in models.items():
        card = place.card(model_id)
        does = model["words"]["does"].strip()
        new = f"# {model_id}\n\n{does[0].upper()}{does[1:].rstrip('.')}.\n\n"
        new += f"{_MARK.format('figures')}\n{_END.format('figures')}\n"
        text = fields.card_text(model, table) if _of_field(model) else card_text(model)
        yield card, _with_block(card, _read(card) or new, "figures", text)
    for name, columns in TABLES.items():
        page = place.root / name
        rows = []
        for model_id, model in models.items():
            link = os.path.relpath(place.card(model_id), page.parent).replace(os.sep, "/")
            cells_of = fields.table_cells if _of_field(model) else table_cells
            cells = cells_of(model, link)
            rows.append([cells[column] for column in columns])
        yield page, _with_block(page, _read(page), "models", table(list(columns), rows))


def _model(place: Place, entry: Entry) -> dict[str, Any]:
    """The records and the words of a bundled model."""
    path = place.record(entry.id)
    hint = f".ci/models measure {entry.id} --data FILE"
    if not path.exists():
        raise CaflowError(f"{entry.id} has no record docs/models/{path.name}", hint)
    record = json.loads(_read(path))
    of_field = "groups" in record
    words = read_words(place.words(entry.id), fields.WORDS if of_field else WORDS)
    whole_path = place.whole(entry.id)
    whole = json.loads(_read(whole_path)) if whole_path.exists() else None
    intervals_path = place.intervals(entry.id)
    intervals = json.loads(_read(intervals_path)) if intervals_path.exists() else None
    digests = {"its manifest entry": entry.sha256, "its file": sha256_of(place.weights(entry.id))}
    for what, digest in digests.items():
        for file, of in (
            (path, record),
            (whole_path, whole or record),
            (intervals_path, intervals or record),
        ):
            if of["sha256"] != digest:
                raise CaflowError(f"docs/models/{file.name} is of another file than {what}", hint)
    if not of_field and (record["id"], record["protocol"]["images"]) != (entry.id, words["images"]):
        raise CaflowError(f"docs/models/{path.name} is not of {words['images']} images", hint)
    known = (entry.calibration or {}).get("lambda")
    if intervals and intervals["calibration"]["lambda"] != known:
        raise CaflowError(f"{intervals_path.name} is of another calibration", "measure it again")
    return {
        "record": record,
        "words": words,
        "whole": whole,
        "intervals": intervals,
        "entry": entry,
    }


def _of_field(model: dict[str, Any]) -> bool:
    return "groups" in model["record"]


def card_text(model: dict[str, Any]) -> str:
    """The part of a card that follows from the record, the words, and whole images."""
    record = model["record"]
    columns = {record["baseline"]: record["baseline_values"]}
    columns[f"likeliest of {record['protocol']['candidates']}"] = record["likeliest"]
    if record.get("best") and record["protocol"]["rank"] in RANKS:
        columns[f"by {record['protocol']['rank']}"] = record["best"]
    columns["single samples"] = _single(record)
    measured = [
        [text, *(figure(values.get(name), decimals) for values in columns.values())]
        for name, (text, decimals) in NAMES.items()
        if name != "diversity" and any(name in values for values in columns.values())
    ]
    curve = [
        name
        for name in NAMES
        if name not in ("consistency", "coverage:alexnet")
        and any(name in point["values"] for point in record["curve"])
    ]
    points = [
        [point["tau"], *(plain(point["values"].get(name), NAMES[name][1]) for name in curve)]
        for point in record["curve"]
    ]
    template = Path(__file__).with_name("card.md").read_text("utf-8")
    environment = jinja2.Environment(
        trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined
    )
    environment.filters |= {"figure": figure, "share": share}
    return environment.from_string(template).render(
        **model,
        measured=table(["", *columns], measured),
        paper=paper(record),
        whole_table=_whole_table(model["whole"]),
        curve=table(["τ", *(NAMES[name][0] for name in curve)], points),
    )


def _whole_table(whole: dict[str, Any] | None) -> str:
    sets = whole["sets"] if whole else []
    measured = {name for part in sets for row in part["rows"] for name in row["values"]}
    names = [name for name in NAMES if name in measured]
    rows = []
    for part in sets:
        first = f"{part['name']}, {part['images']}"
        for row in part["rows"]:
            cells = [plain(row["values"].get(name), NAMES[name][1]) for name in names]
            rows.append([first, row["what"], *cells])
            first = ""
    heads = [NAMES[name][0] for name in names]
    return table(["set, images", "", *heads], rows)


def _single(record: dict[str, Any]) -> dict[str, Any]:
    # Pairs of all M samples have the smaller error; a set of the first ones has as many as truths.
    return record["all"] | {n: record["first"][n] for n in _OF_SETS if n in record["first"]}


def paper(record: dict[str, Any]) -> str:
    """The paper's figures, if the model was made for one of its tables."""
    for protocol in PROTOCOLS.values():
        if protocol.model == record["id"]:
            ours = protocol.published("").get("CAFLOW", {})
            text = ", ".join(f"{n.upper()} {ours[n]:g}" for n in NAMES if n in ours)
            return f"{text} (CelebA)" if text and record["task"] == "inpaint" else text
    return ""


def table_cells(model: dict[str, Any], card: str) -> dict[str, str]:
    """The model's cells in a table of all models, by column; `card` is its path from the page."""
    record = model["record"]
    first = "psnr" if record["task"] == "inpaint" else "rmse"

    def both(values: dict[str, Any]) -> str:
        return ", ".join(
            f"{name.upper()} {plain(values.get(name), NAMES[name][1])}" for name in (first, "lpips")
        )

    baseline = record["baseline"]
    values = record["baseline_values"]
    published = paper(record)
    beside = f"{baseline}: {both(values)}"
    if published:
        beside += f"; the paper: {published}"
    ours = plain(record["likeliest"].get("lpips"), 3)
    theirs = plain(values.get("lpips"), 3)
    return {
        "model": f"[`{record['id']}`]({card})",
        "LPIPS": f"{ours}; {baseline} {theirs}",
        "what it does": model["words"]["does"].strip(),
        "likeliest of its candidates": f"{both(record['likeliest'])} at τ "
        f"{record['protocol']['tau']}",
        "to compare": beside,
        "diversity": f"{plain(record['all']['diversity'], 1)} levels",
        "bits/dim": plain(record["bits_per_dim"], 3),
    }


def metrics(model: dict[str, Any]) -> dict[str, Any]:
    """The `metrics` of a manifest's entry."""
    record = model["record"]
    p = record["protocol"]

    def numbers(values: dict[str, Any]) -> dict[str, float]:
        return {
            name: round(values[name]["mean"], decimals + 1)
            for name, (_, decimals) in NAMES.items()
            if name in values and values[name]["mean"] is not None
        }

    found: dict[str, Any] = {
        "protocol": f"{p['images']} test images ({model['words']['truths']}), tau {p['tau']}, "
        f"seeds 1000003 r + k; bits/dim K = {p['noise_samples']}"
    }
    found[record["baseline"]] = numbers(record["baseline_values"])
    found[f"likeliest of {p['candidates']}"] = numbers(record["likeliest"])
    if record.get("best"):
        found[f"best by {p['rank']}"] = numbers(record["best"])
    found["single draws"] = numbers(_single(record))
    bits = record["bits_per_dim"]
    found["bits_per_dim"] = {
        "value": round(bits["mean"], 4),
        "standard_error": round(bits["standard_error"], 4),
        "noise_samples": p["noise_samples"],
        "dequantization": record["flow"]["dequantization"],
    }
    return found


def table(head: list[str], rows: list[list[str]]) -> str:
    lines = [f"| {' | '.join(cells)} |" for cells in (head, ["---"] * len(head), *rows)]
    return "\n".join(re.sub(r"\|  (?=\|)", "| ", line) for line in lines)


def figure(value: dict[str, Any] | None, decimals: int) -> str:
    error = None if value is None else value["standard_error"]
    return plain(value, decimals) + ("" if error is None else f" ± {error:.{decimals}f}")


def plain(value: dict[str, Any] | None, decimals: int) -> str:
    if value is None:
        return ""
    return "∞" if value["mean"] is None else f"{value['mean']:.{decimals}f}"


def share(value: float) -> str:
    return f"{100 * value:.3g} %"


def _with_block(page: Path, text: str, name: str, block: str) -> str:
    """The page with other text between its marks."""
    mark = _MARK.format(name)
    end = _END.format(name)
    before, found, rest = text.partition(mark)
    _, closed, after = rest.partition(end)
    if not found or not closed or mark in rest or end in after:
        hint = f"put the lines {mark} and {end} in place of what was written by hand"
        raise CaflowError(f"{page.name} has no place for its {name}", hint)
    return f"{before}{mark}\n\n{block.strip()}\n\n{end}{after}"


def _read(path: Path) -> str:
    return path.read_text("utf-8") if path.exists() else ""
