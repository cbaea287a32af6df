"""`caflow train`."""

from __future__ import annotations

import json
import os
from contextlib import nullcontext
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from ...config import PRESETS
from ...data.split import check_there, mask_errors
from ...errors import CaflowError, check_usage, memory_errors
from ...paths import is_file
from ...records import Table, read_toml
from .. import options
from ..config import source
from ..console import Console
from ..options import expanded, option
from ..training_report import FEW, Display, few_to_calibrate, pulse, table, trend, verdict

if TYPE_CHECKING:
    from ...evaluation import ChosenTemperature
    from ...training import RunConfig, RunSummary
    from ...training.log import Event

TRAINING = "Training"  # title of a group in `--help`
_VALUES = ("unit", "transform", "zero", "resolution")  # options that set fields of `task.values`


@dataclass(frozen=True, kw_only=True)
class Training:
    """The options for the task, the data, the start and the budget of a run."""

    out: str = option("--out RUN", "Folder of the run.", default=...)
    data: str | None = option(
        "--data DATA",
        "Images: a folder, zip or manifest (CSV, JSON lines); with `datasets`, also Parquet, "
        "WebDataset or hf://owner/name. Uses train/, val/, test/ if present.",
    )
    crop: str | None = option(
        "--crop HOW",
        "random: train on random crops of images of any size. Default: whole images, downsampled.",
        TRAINING,
    )
    task: str | None = option(
        "--task TASK", "superres, colorize, inpaint or paired. Default: superres."
    )
    preset: str | None = option(
        "--preset P",
        f"Architecture: {', '.join(PRESETS)}. Default: compact, or field; others have the paper's "
        "size.",
    )
    unit: str | None = option(
        "--unit UNIT",
        "Train on measured fields in this unit, such as mm/h: folders of TIFF, .npy or NetCDF "
        "files. A subfolder, such as a day, stays whole in one split.",
        TRAINING,
    )
    transform: str | None = option(
        "--transform T",
        "Scale of the model: db, for rain; relative, for heights; or linear.",
        TRAINING,
        of="fields",
    )
    zero: float | None = option(
        "--zero Z", "db: the least value of a wet cell; others are dry.", TRAINING, of="fields"
    )
    resolution: float | None = option(
        "--resolution R", "relative: the size of fine detail, in the unit.", TRAINING, of="fields"
    )
    config: str | None = option("--config FILE", "A TOML file like RUN/config.toml.", TRAINING)
    set: list[str] | None = option(
        "--set KEY=VALUE", "Set any field, such as optim.lr=0.001. Repeatable.", TRAINING
    )
    init_from: str | None = option(
        "--init-from MODEL",
        "Initialize from this model's weights. Only the guide of its flow may differ.",
        TRAINING,
    )
    guide: str | None = option(
        "--guide FILE",
        "A network of another project as the guide: .safetensors, for superres or paired. Needs "
        "spandrel.",
        TRAINING,
    )
    guide_license: str | None = option(
        "--guide-license TEXT", "License of that network. Default: not stated.", TRAINING
    )
    perceptual_weights: str | None = option(
        "--perceptual-weights FILE",
        "VGG16's trunk for LPIPS. Default: CAFLOW_LPIPS_VGG_WEIGHTS, or torch's cache.",
        TRAINING,
        of="images",
    )
    resume: bool = option("--resume", "Resume the run in RUN, with its config.")
    minutes: float | None = option("--minutes M", "Training budget in minutes.")
    images: int | None = option("--images N", "Training budget in images seen.")
    batch_size: int | None = option("--batch-size B", "Images per step.", TRAINING)
    lr: float | None = option("--lr X", "Peak learning rate.", TRAINING)
    seed: int | None = option(
        "--seed S", "Seed for data order, noise and initial weights. Default: 0.", TRAINING
    )
    device: str | None = options.device_option(TRAINING)  # the config may name one

    @property
    def settings(self) -> list[str]:
        """`KEY=VALUE` for each option that sets one field of the config, then those of --set."""
        names = ["data", "crop", "seed", "device", "perceptual_weights"]
        fields = {name: getattr(self, name) for name in names}
        fields |= {f"task.values.{name}": getattr(self, name) for name in _VALUES}
        fields |= {"optim.batch_size": self.batch_size, "optim.lr": self.lr}
        fields = {key: value for key, value in fields.items() if value is not None}
        if self.minutes is not None or self.images is not None:  # each replaces the other
            fields |= {"optim.minutes": self.minutes, "optim.images": self.images}
        settings = [f"{key}={json.dumps(value)}" for key, value in fields.items()]
        return settings + (self.set or [])


@expanded
def train_command(
    context: typer.Context,
    training: Training,
    dry_run: bool = option("--dry-run", "Count images and parameters without training."),
    *,
    console: Console,
) -> None:
    """Train a model on a folder or zip of images.

    Writes config.toml, metrics.jsonl, curve.png, samples/, last.safetensors and best.safetensors
    into RUN, and the state that --resume needs. On Ctrl-C or SIGTERM, training finishes the step
    and saves that state; a second Ctrl-C stops at once. At the end, the default temperature is
    chosen on validation images and written into best.safetensors, and so is the calibration
    (superres and colorize; `caflow calibrate`). To train on several devices, use
    `accelerate launch -m caflow_cli train ...`.

    Example: caflow train --task superres --data photos/ --out run --minutes 120
    """
    # A config states all, so the user's defaults do not apply.
    if training.resume or training.config is not None:
        defaults: dict[Any, Any] = {param.name: param.default for param in context.command.params}
        filed = [name for name in vars(training) if source(context, name) == "DEFAULT_MAP"]
        training = replace(training, **{name: defaults[name] for name in filed})
    config = _config(training, console)
    if dry_run:
        _preview(config, training.resume, console)
    else:
        _train(config, training.resume, console)


def _stated(training: Training) -> Table:
    """The values of the file that `--config` names, or in a resumed run of its own."""
    own = Path(training.out, "config.toml")
    if training.resume:
        for name in ("task", "preset", "init_from", "guide", "seed", "crop"):
            check_usage(
                getattr(training, name) is None,
                f"--{name.replace('_', '-')} cannot change in a resumed run",
                f"caflow train --out {training.out} --resume",
            )
        check_usage(
            is_file(training.config or own),
            f"no run to resume in {training.out!r}",
            "leave --resume out to start one",
        )
    file = training.config or (own if training.resume else None)
    return {} if file is None else read_toml(file)


def _config(training: Training, console: Console) -> RunConfig:
    values = _stated(training)

    from ...checkpoint import read_info
    from ...training.resolve import build_config, merged

    values = {**values, "out": training.out}
    known = merged(values, training.settings)
    check_usage("data" in known, "no data given", "--data FOLDER or --data FILE.zip")
    if isinstance(known["data"], str):
        check_there(known["data"])
    if isinstance(known.get("masks"), str):
        with mask_errors():
            check_there(known["masks"])

    from ...hub.resolve import resolve

    start = None
    if training.init_from is not None:
        path = resolve(training.init_from).path.resolve()
        info = read_info(path)
        start = info.config
        values["init_from"] = str(path)
        if info.guide:
            values["guide"] = info.guide
    check_usage(
        training.guide_license is None or training.guide is not None,
        "--guide-license is that of a network given by --guide",
        "add --guide FILE",
    )
    stated = known.get("task", {})  # a table, unless the config is wrong
    of_fields = isinstance(stated, dict) and "unit" in (stated.get("values") or ())
    of_fields |= start is not None and start.task.values is not None
    console.check_applies("fields" if of_fields else "images")
    guide = None
    if training.guide is not None:
        from ...training.external import read_external  # imports torch

        guide = read_external(Path(training.guide), training.guide_license)
    return build_config(
        values,
        training.settings,
        preset=training.preset,
        task=training.task,
        start=start,
        guide=guide,
        resume=training.resume,
    )


def _preview(config: RunConfig, resume: bool, console: Console) -> None:
    from ...training.folder import check_new, check_unchanged
    from ...training.loop import starting_model
    from ...training.optim import named_parameters
    from ...training.sets import parts_of
    from .calibrate import has_calibration_of_start

    check_new(Path(config.out), resume)
    if resume:
        check_unchanged(config)
    images, halved = parts_of(config)
    counts = dict.fromkeys(("A", "R", "T", "F", "Q"), 0)  # first letters of parameter names
    for name, parameter in named_parameters(starting_model(config, resume)).items():
        counts[name.partition(".")[0]] += parameter.numel()
    total = sum(counts.values())
    if _is_main():
        parts = ", ".join(f"{name} {count:,}" for name, count in counts.items() if count)
        held = ["choose", "calibrate"] if halved else ["choose"]
        of_each = [f"{images[part]:,} {part}" for part in ("train", *held, "test")]
        data = ", ".join(of_each)
        if not halved:  # the same ones do both
            data = data.replace("choose", "choose and calibrate")
        lines = [
            f"data        {data}",
            f"parameters  {total:,} ({parts})",
        ]
        parameters = {**counts, "total": total}
        record = {"status": "dry-run", "images": images, "parameters": parameters}
        console.result(record, lines)
        calibrates = has_calibration_of_start(config)
        if calibrates is not None:
            console.note(*few_to_calibrate(images["calibrate"], calibrates))


def _train(run: RunConfig, resume: bool, console: Console) -> None:
    """Train, measure the best model, and report."""
    summary = _trained(run, resume, console)
    if not _is_main():
        return
    best = Path(run.out) / "best.safetensors"
    record = {"status": "ok", **asdict(summary)}
    notes = [
        f"{summary.images} images in {summary.minutes:.1f} min; "
        f"{summary.skipped_steps} steps skipped",
    ]
    if summary.val_bits_per_dim is None:
        notes.append(
            f"PSNR of the guide's image on validation images {summary.val_psnr:.2f} dB; draw at "
            "--tau 0, or train its flows with --init-from"
        )
        notes.append(trend(_events(run)))
    elif run.task.values is not None:
        notes.append(
            f"bits per cell, on the model's scale: validation {summary.val_bits_per_dim:.4f} (best "
            f"{summary.best_val_bits_per_dim:.4f}), training fields "
            f"{summary.train_bits_per_dim:.4f}"
        )
    else:
        found, lines = _measure(best, summary.best_val_bits_per_dim, run, console)
        record |= found
        notes.append(
            f"bits/dim: validation {summary.val_bits_per_dim:.4f} "
            f"(best {summary.best_val_bits_per_dim:.4f}), training images "
            f"{summary.train_bits_per_dim:.4f}"
        )
        notes += lines
    console.result(record, [str(best)])
    for note in notes:
        console.note(note)


def _trained(run: RunConfig, resume: bool, console: Console) -> RunSummary:
    """Train, and show how far it is; a signal ends the program."""
    from ...training import Stopped, train
    from .calibrate import has_calibration_of_start

    with console.progress("{task.percentage:>3.0f}%", "{task.fields[figures]}") as progress:
        parts = 2 * run.optim.accumulate
        smaller = f"--set optim.accumulate={parts}, which computes the same step in {parts} parts"
        what = "images" if run.task.values is None else "fields"
        display = Display(console, progress, has_calibration_of_start(run), what)
        beats = pulse(console, lambda: display.doing) if _is_main() else nullcontext()
        try:
            with beats, memory_errors(smaller, "a step of this model"):
                return train(run, resume=resume, report=display.show)
        except Stopped as stop:
            progress.stop()
            console.note(stop.message, f"hint: {stop.hint}")
            # Bypass Typer: after its exit code 130, `main` would report the interrupt again.
            raise SystemExit(stop.exit_code) from stop


def _measure(
    best: Path, best_bits: float | None, run: RunConfig, console: Console
) -> tuple[Table, list[str]]:
    """Choose the temperature of the best model, calibrate it, and compare it with the baseline and
    the model that the run started from: fields for JSON, and lines of text."""
    from .calibrate import calibrate_run

    events = _events(run)
    choice = _choose_temperature(best, run, console)
    record: Table = {"tau": choice.tau.as_json(), "val_rmse": choice.rmse}
    record |= calibrate_run(best, run, console)
    if choice.baseline_rmse is not None:
        record |= {"baseline": choice.baseline, "baseline_val_rmse": choice.baseline_rmse}
    record |= {"val_lpips": choice.lpips, "baseline_val_lpips": choice.baseline_lpips}
    record["measured_images"] = choice.images
    start = None
    if run.init_from is not None:
        name = Path(run.init_from).name
        other = _measure_start(best, run, console)
        bits = next((e.get("val_bits_per_dim") for e in events if e["event"] == "start"), None)
        start = (name, other, bits)
        record["start"] = {
            "model": name,
            "tau": None if other is None else other.tau.as_json(),
            "val_rmse": None if other is None else other.rmse,
            "val_lpips": None if other is None else other.lpips,
            "val_bits_per_dim": bits,
        }
    lines = table(choice, best_bits, start)
    return record, [*lines, verdict(choice, events, start and start[1])]


def _events(run: RunConfig) -> list[Event]:
    from ...training.log import read_events

    return read_events(Path(run.out))


def _choose_temperature(best: Path, run: RunConfig, console: Console) -> ChosenTemperature:
    """Choose a temperature on validation images; write it into the model's file if it has none."""
    from ...checkpoint import read_info
    from ...evaluation import choose_temperature
    from ...model import CAFlow

    def show(done: int, total: int) -> None:
        console.heartbeat(f"choosing the temperature: {done} of {total} images")

    model = CAFlow.load(best)
    limit = min(FEW, run.validation_images)
    choice = choose_temperature(model, run.data, limit=limit, progress=show)
    stated = run.task.tau is not None and run.init_from is None
    if choice.lpips is not None and not stated:
        training = {**read_info(best).training, "defaults": {"tau": choice.as_json()}}
        tau = tuple(choice.tau.as_json())
        task = replace(model.config.task, tau=tau if len(tau) > 1 else tau[0])
        model.config = replace(model.config, task=task)
        model.save(best, training)
    return choice


def _measure_start(best: Path, run: RunConfig, console: Console) -> ChosenTemperature | None:
    """Measure the model that the run started from, at its own temperature, on the same images with
    the same inputs as the best one; None, with a note, if that fails."""
    from ...checkpoint import read_info
    from ...evaluation import choose_temperature
    from ...model import CAFlow
    from ...sampling import Sampling

    assert run.init_from is not None
    try:
        start = CAFlow.load(Path(run.init_from))
        tau = Sampling().of(start.config).temperature
        info = read_info(best)
        start.record = info.training  # so that the same images are held out
        start.config = replace(start.config, task=info.config.task)
        limit = min(FEW, run.validation_images)
        return choose_temperature(start, run.data, limit=limit, taus=[tau])
    except CaflowError as error:
        console.note(f"the model that the run started from is not measured: {error.message}")
        return None


def _is_main() -> bool:
    return os.environ.get("RANK", "0") == "0"  # set by launchers
