"""The texts that follow from a record: the card, the manifest's metrics, the rows of tables."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from typing import Any

from caflow_cli.evaluation.protocols import PROTOCOLS
from caflow_cli.hub.manifest import Entry
from model_cards.record import Figure, Figures, Record, Words
from model_cards.whole import Whole

# Label -> name in a card, decimals.
NAMES = {
    "rmse": ("RMSE, levels", 2),
    "psnr": ("PSNR, dB", 2),
    "lpips": ("LPIPS", 3),
    "ssim": ("SSIM", 3),
    "kid:alexnet": ("KID, AlexNet's features", 2),
    "coverage:alexnet": ("coverage, AlexNet's features", 3),
    "consistency": ("consistency, levels", 2),
    "seam": ("seam", 2),
    "diversity": ("diversity", 2),
    "psnr_y": ("PSNR of Y, dB", 2),
    "ssim_y": ("SSIM of Y", 3),
    "psnr_hole": ("PSNR in the holes, dB", 2),
    "colourfulness": ("colourfulness of the truth's", 2),
    "seconds": ("seconds a megapixel", 1),
}
_OF_SETS = ("kid:alexnet", "coverage:alexnet")
_SHORT = {"rmse": "RMSE", "psnr": "PSNR", "lpips": "LPIPS"}
# What stands for a task in the tables, first what is compared by pixels.
_FIRST = {"superres": "rmse", "colorize": "rmse", "inpaint": "psnr", "paired": "rmse"}


def card_block(record: Record, words: Words, entry: Entry, whole: Whole | None = None) -> str:
    """The part of a card that is written from the record, the words, and whole pictures."""
    parts = [
        _facts(record, words, entry),
        "## Measured, on exactly this file",
        _measured(record, words),
        *(["### Whole pictures", _whole(whole)] if whole is not None else []),
        "### Temperatures",
        _curve(record),
        "### Round trips, and draws at high temperatures",
        _far(record),
    ]
    if record.latents:
        parts += ["### Latents of test pictures", _latents(record)]
    parts += ["## What fails", words.fails.strip()]
    return "\n\n".join(parts)


# --- facts ----------------------------------------------------------------------------------------


def _facts(record: Record, words: Words, entry: Entry) -> str:
    protocol = record.protocol
    best = (
        "`--rank best` takes the likeliest, too"
        if protocol.rank == "likelihood"
        else f"`--rank best` takes {protocol.rank}"
    )
    facts = {
        "Model": _architecture(record),
        "Learned from": f"{entry.data}. Terms of the weights: {entry.license}",
        "Objective": _objective(record, words),
        "Last run": _last_run(record.training),
        "Default": f"τ {protocol.tau}, the likeliest of {protocol.candidates}; {best}. "
        + words.tau.strip().rstrip("."),
        "File": f"{record.bytes:,} bytes, sha256 `{record.sha256}`; measured with caflow "
        f"{record.version}",
    }
    return "\n".join(f"- **{name}**: {text}." for name, text in facts.items() if text)


def _architecture(record: Record) -> str:
    flow = record.flow
    kernels = _list(flow["hidden"])
    parts = [
        f"{flow['scales']} scales, {flow['r_steps']} / {flow['t_steps']} / {flow['f_steps']} steps "
        f"in R / T / F, {kernels} / {flow['f_hidden']} kernels, `{flow['conditional']}`"
    ]
    if flow.get("trunk"):
        parts.append(f"trunks of {flow['trunk_blocks']} blocks")
    if flow.get("anchor", "none") != "none":
        parts.append(f"anchor `{flow['anchor']}`")
    if flow.get("guide"):
        parts.append(f"guide `{flow['guide_net']}`, {_list(flow['guide'])} kernels")
    if flow.get("spread"):
        parts.append(f"a spread of {flow['spread']} kernels")
    millions = record.parameters / 1e6
    return "; ".join(
        [*parts, f"{millions:.1f} million parameters", f"{flow['dequantization']} dequantization"]
    )


def _list(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def _objective(record: Record, words: Words) -> str:
    optim = record.training.get("optim", {})
    text = "likelihood alone"
    if weight := optim.get("cond_weight"):
        text = f"likelihood, and {weight:g} × log p(y)"
    if record.flow.get("guide"):
        learned = words.guide.strip().rstrip(".") or _guide(optim)
        text += f", behind a guide that {learned}"
    samples = record.training.get("samples") or {}
    if share := samples.get("share"):
        tau = samples.get("tau", 0)
        what = f"the mean of two opposite draws up to τ {tau:g}" if tau else "the picture of τ 0"
        when = "Throughout the last run" if share == 1 else f"In {_share(share)} of the last run"
        text += f". {when} the loss also had {samples['weight']:g} × (L1 + "
        text += f"{samples['perceptual']:g} × LPIPS with VGG16"
        if grid := samples.get("lattice"):
            text += f" + {grid:g} × what repeats every four pixels"
        text += f") of {what}"
    return f"{text}. AlexNet (of LPIPS) judges below, and is in no loss and in no rule of choice"


def _guide(optim: dict[str, Any]) -> str:
    if optim.get("guide_first", 0) == 0:
        return "learned with the flows by likelihood"
    if optim.get("guide_loss", "likelihood") == "likelihood":
        text = "learned alone first, by likelihood"
    else:
        text = "learned alone first, by L1"
        if weight := optim["guide_perceptual"]:
            share = _share(optim["guide_perceptual_from"])
            text += f", and by {weight:g} × LPIPS with VGG16 as well after {share} of that time"
            if grid := optim.get("guide_lattice"):
                text += f" (and {grid:g} × what repeats every four pixels)"
    return text if optim.get("guide_lr_share", 1) else f"{text}, and was fixed then"


def _last_run(training: dict[str, Any]) -> str:
    parts = [
        f"{training[key]:,.0f} {name}"
        for key, name in (("steps", "steps"), ("images", "images"), ("minutes", "minutes"))
        if training.get(key) is not None
    ]
    if training.get("seed") is not None:
        parts.append(f"seed {training['seed']}")
    bits = [
        f"{training[key]:.3f} {name}"
        for key, name in (
            ("train_bits_per_dim", "in training"),
            ("val_bits_per_dim", "in validation"),
        )
        if training.get(key) is not None
    ]
    text = ", ".join(parts)
    if first := training.get("optim", {}).get("guide_first", 0):
        text += f"; in the first {_share(first)} of it the guide learned alone, then the flows"
    return text + (f"; bits/dim {', '.join(bits)}" if bits else "")


# --- figures --------------------------------------------------------------------------------------


def _measured(record: Record, words: Words) -> str:
    p = record.protocol
    columns: dict[str, Figures] = {}
    if record.baseline is not None:
        columns[record.baseline] = record.baseline_values
    columns[f"likeliest of {p.candidates}"] = record.likeliest
    if record.best:
        columns[f"best by {p.rank}"] = record.best
    # Pairs of all M draws have the smaller error; a set of the first ones has as many as truths.
    columns["single draws"] = record.all | {
        name: record.first[name] for name in _OF_SETS if name in record.first
    }
    rows = [
        [text, *(_figure(values.get(name), decimals) for values in columns.values())]
        for name, (text, decimals) in NAMES.items()
        if name != "diversity" and any(name in values for values in columns.values())
    ]
    paper = _paper(record)
    spread, inner, outer = record.all["diversity"], record.central_50, record.all["calibration"]
    bits = record.bits_per_dim
    return "\n\n".join(
        [
            f"{p.pictures} test pictures ({words.truths}), τ {p.tau}; candidate k of picture r "
            f"draws from seed {_seed(p.seed)}1,000,003 r + k. Means, with standard errors over "
            f"pictures. Single draws are the mean of all {p.candidates}; their KID and coverage "
            "are those of the first.",
            _table(["", *columns], rows) + (f"\n\nThe paper: {paper}." if paper else ""),
            f"- Diversity of the {p.candidates} draws: {_figure(spread, 2)} levels. "
            f"{_share(record.own_coverage)} of the truths are covered by one of their own "
            f"{p.candidates} draws.\n"
            f"- True values in the central half of the {p.candidates} draws: "
            f"{_share(inner.mean)}; in the central 90 %: {_share(outer.mean)}.\n"
            f"- Bits/dim: {_figure(bits, 3)} (K = {p.noise_samples}, "
            f"{record.flow['dequantization']} dequantization; {record.noise_error:.1g} of the "
            f"error is noise).{_blotches(record)}",
        ]
    )


def _blotches(record: Record) -> str:
    if record.blotches is None:
        return ""
    return (
        "\n- Variance of chroma in windows of 8×8 whose luminance is even (a standard deviation of "
        f"at most 4 levels): {record.blotches:.2f} times the truths' (best by "
        f"{record.protocol.rank})."
    )


def _seed(seed: int) -> str:
    return f"{seed:,} + " if seed else ""


def _paper(record: Record) -> str:
    published = _published(record)
    text = ", ".join(f"{_SHORT[name]} {value:g}" for name, value in published.items())
    # Its holes are in pictures of another set than ours.
    return f"{text} (CelebA)" if text and record.task == "inpaint" else text


def _published(record: Record) -> dict[str, float]:
    """The paper's figures, if the model was made for one of its tables, of metrics that stand in
    ours."""
    for protocol in PROTOCOLS.values():
        if protocol.model == record.id:
            found = dict(protocol.published("")).get("CAFLOW", {})
            return {name: found[name] for name in NAMES if name in found and name in _SHORT}
    return {}


def _whole(whole: Whole) -> str:
    """A table of all sets of pictures: the model, what it is compared with, what was published."""
    found = [row.values for one in whole.sets for row in one.rows]
    names = [name for name in NAMES if any(name in values for values in found)]
    rows = []
    for one in whole.sets:
        for k, row in enumerate(one.rows):
            of = f"{one.name}, {one.pictures}" if k == 0 else ""
            cells = (_plain(row.values.get(name), NAMES[name][1]) for name in names)
            rows.append([of, row.what, *cells])
    head = (
        f"`caflow evaluate --protocol {whole.protocol}`: pictures at their own size, as commands "
        "restore them ([how](../../../docs/evaluation.md#whole-pictures))."
    )
    failed = "".join(
        f" Of {one.name} all but the published figures leave out {'; '.join(one.failed)}."
        for one in whole.sets
        if one.failed
    )
    return f"{head}{failed}\n\n{_table(['set, pictures', '', *(NAMES[n][0] for n in names)], rows)}"


def _curve(record: Record) -> str:
    names = [
        name
        for name in NAMES
        if name not in ("consistency", "coverage:alexnet")
        and any(name in point.values for point in record.curve)
    ]
    rows = [
        [point.tau, *(_plain(point.values.get(name), NAMES[name][1]) for name in names)]
        for point in record.curve
    ]
    draws = record.protocol.curve_draws
    failed = "".join(
        f" At τ {point.tau}, {point.failed} pictures are left out: a draw and its ten redraws ran "
        "away."
        for point in record.curve
        if point.failed
    )
    head = f"Single draws, {draws} of each test picture, all latents at one τ.{failed}"
    return f"{head}\n\n{_table(['τ', *(NAMES[name][0] for name in names)], rows)}"


def _far(record: Record) -> str:
    p = record.protocol
    rows = []
    for far in record.far:
        total = far.conditions * far.draws - far.lost
        again = far.redrawn + far.lost
        rows.append(
            [
                f"{far.tau:g}",
                f"{far.conditions} × {far.draws}",
                f"{again} ({_share(again / (far.conditions * far.draws))})",
                f"{far.lost}",
                f"{far.farthest:.1f}",
                f"{far.within_20} of {total}",
                f"{far.returned} of {total}",
            ]
        )
    head = "τ, conditions × draws, drawn again, given up, farthest, within 20, come back"
    return "\n\n".join(
        [
            f"{record.returned} of {p.pictures} test pictures come back from `encode` and `decode` "
            "as the same 8 bits. The table is of draws at high temperatures, none of them chosen: "
            "how many ran away and were drawn again; how many were given up after ten redraws; "
            "the largest distance of log p from the median of its condition's draws, in 1.4826 × "
            "the median absolute deviation; how many are within 20 of it; how many pictures come "
            "back.",
            _table(head.split(", "), rows),
        ]
    )


def _latents(record: Record) -> str:
    rows = [
        [f"`{z.name}`", f"{z.mean:+.3f}", f"{z.variance:.3f}", f"{z.neighbours:+.3f}"]
        for z in record.latents
    ]
    return (
        "Of the test pictures with uniform noise, pooled over pictures and places. The model's own "
        "are 0, 1 and 0.\n\n" + _table(["", "mean", "variance", "neighbours' correlation"], rows)
    )


# --- the manifest and the tables ------------------------------------------------------------------


def manifest_metrics(record: Record, words: Words) -> dict[str, Any]:
    """The `metrics` of a manifest's entry."""
    p = record.protocol
    metrics: dict[str, Any] = {
        "protocol": f"{p.pictures} test pictures ({words.truths}), tau {p.tau}, seeds "
        f"{_seed(p.seed)}1000003 r + k; bits/dim K = {p.noise_samples}"
    }
    if record.baseline is not None:
        metrics[record.baseline] = _numbers(record.baseline_values)
    metrics[f"likeliest of {p.candidates}"] = _numbers(record.likeliest)
    if record.best:
        metrics[f"best by {p.rank}"] = _numbers(record.best)
    single = record.all | {name: record.first[name] for name in _OF_SETS if name in record.first}
    metrics["single draws"] = _numbers(single)
    bits = record.bits_per_dim
    metrics["bits_per_dim"] = {
        "value": round(_known(bits.mean), 4),
        "standard_error": round(_known(bits.standard_error), 4),
        "noise_samples": p.noise_samples,
        "dequantization": record.flow["dequantization"],
    }
    return metrics


def _numbers(values: Figures) -> dict[str, float]:
    return {
        name: round(mean, decimals + 1)
        for name, (_, decimals) in NAMES.items()
        if name in values and (mean := values[name].mean) is not None
    }


# Of the tables of all bundled models. The README says elsewhere what each does.
COLUMNS = (
    "model",
    "what it does",
    "likeliest of its candidates",
    "to compare",
    "diversity",
    "bits/dim",
)
README_COLUMNS = ("model", "likeliest of its candidates", "to compare", "diversity")


def table_row(record: Record, words: Words, card: str, columns: Sequence[str]) -> str:
    """The model's row in a table of all models.

    Args:
        card: Path of the card, from the page.
        columns: Some of `COLUMNS`.
    """
    p, first = record.protocol, _FIRST[record.task]

    def both(values: Figures) -> str:
        return ", ".join(
            f"{_SHORT[name]} {_plain(values.get(name), NAMES[name][1])}"
            for name in (first, "lpips")
        )

    compared = []
    if record.baseline is not None:
        compared.append(f"{record.baseline}: {both(record.baseline_values)}")
    if paper := _paper(record):
        compared.append(f"the paper: {paper}")
    cells = (
        f"[`{record.id}`]({card})",
        words.does.strip(),
        f"{both(record.likeliest)} at τ {p.tau}",
        "; ".join(compared),
        f"{_plain(record.all['diversity'], 1)} levels",
        _plain(record.bits_per_dim, 3),
    )
    of_column = dict(zip(COLUMNS, cells, strict=True))
    return _row([of_column[name] for name in columns])


def table(rows: Iterable[str], columns: Sequence[str]) -> str:
    """The table of all bundled models, of finished rows."""
    return "\n".join([_row(list(columns)), _row(["---"] * len(columns)), *rows])


def _table(head: list[str], rows: list[list[str]]) -> str:
    return "\n".join([_row(head), _row(["---"] * len(head)), *map(_row, rows)])


def _row(cells: list[str]) -> str:
    return re.sub(r"\|  (?=\|)", "| ", f"| {' | '.join(cells)} |")


def _figure(figure: Figure | None, decimals: int) -> str:
    if figure is None or figure.standard_error is None:
        return _plain(figure, decimals)
    return f"{_plain(figure, decimals)} ± {figure.standard_error:.{decimals}f}"


def _plain(figure: Figure | None, decimals: int) -> str:
    if figure is None:
        return ""
    return "∞" if figure.mean is None else f"{figure.mean:.{decimals}f}"


def _known(value: float | None) -> float:
    return math.inf if value is None else value


def _share(value: float | None) -> str:
    return f"{100 * _known(value):.3g} %"
