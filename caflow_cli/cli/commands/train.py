"""`caflow train`."""

from __future__ import annotations

import json
import os
import time
from dataclasses import asdict, dataclass, fields, replace
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from ...config import PRESETS, TASK_NAMES
from ...data.split import check_there, of_masks
from ...errors import memory_errors, usage_error
from ...paths import is_file
from .. import options
from ..config import read_toml
from ..console import Console
from ..options import expanded, option

if TYPE_CHECKING:
    from rich.progress import Progress

    from ...evaluation import Choice
    from ...training import RunConfig

__all__ = ["train_command"]

_PAUSE = 30.0  # seconds between lines, where there is no bar
_FEW = 20  # validation images
_MOST_CHOSEN = 20  # validation images, on which a temperature is chosen


def _presets() -> list[str]:
    return list(PRESETS)


@dataclass(frozen=True, kw_only=True)
class Run:
    """The options for the task, the data, the start and the budget of a run."""

    out: str = option("--out RUN", "Folder of the run.", default=...)
    data: str | None = option(
        "--data DATA",
        "Images: a folder, zip, manifest (CSV, JSON lines), or by datasets: Parquet, "
        "WebDataset, hf://owner/name. Folders train/, val/, test/ are used.",
    )
    crop: str | None = option(
        "--crop HOW",
        "random: train on random crops of images of any size. Default: whole images, shrunk.",
    )
    task: str | None = option(
        "--task TASK",
        f"{', '.join(TASK_NAMES)}. Default: superres.",
        autocompletion=options.task_names,
    )
    preset: str | None = option(
        "--preset P",
        f"Architecture: {', '.join(PRESETS)}. Default: compact, for a CPU; the others have the "
        "paper's size.",
        autocompletion=_presets,
    )
    config: str | None = option("--config FILE", "A TOML file like RUN/config.toml.")
    set: list[str] | None = option(
        "--set KEY=VALUE", "Set any field, such as optim.lr=0.001. May be repeated."
    )
    init_from: str | None = option(
        "--init-from MODEL",
        "Start from this model's weights. Only the guide of its flow may differ.",
        autocompletion=options.model_ids,
    )
    perceptual_weights: str | None = option(
        "--perceptual-weights FILE",
        "VGG16's trunk, for a guide that learns by LPIPS. Default: CAFLOW_LPIPS_VGG_WEIGHTS, "
        "torch's cache, a download.",
    )
    resume: bool = option("--resume", "Go on with the run in RUN, with its config.")
    minutes: float | None = option("--minutes M", "Budget in minutes.")
    images: int | None = option("--images N", "Budget in images seen.")
    batch_size: int | None = option("--batch-size B", "Images in a step.")
    lr: float | None = option("--lr X", "Peak learning rate.")
    seed: int | None = option("--seed S", "Seed of order, noise and first weights. Default: 0.")
    device: str | None = options.DEVICE_OF_CONFIG
    compile: bool = option("--compile", "Compile the flow steps first, which takes minutes.")
    checkpoint_activations: bool = option(
        "--checkpoint-activations", "Use less memory, and a quarter to a half as much time again."
    )

    def settings(self) -> list[str]:
        """The options that set one field of the config each, as `--set` takes them, then those."""
        own = ("data", "crop", "seed", "device", "perceptual_weights")
        values = {name: getattr(self, name) for name in own}
        for name in ("batch_size", "lr"):
            values[f"optim.{name}"] = getattr(self, name)
        for name in ("compile", "checkpoint_activations"):
            values[f"optim.{name}"] = getattr(self, name) or None
        given = {name: value for name, value in values.items() if value is not None}
        if self.minutes is not None or self.images is not None:  # one takes the other's place
            given |= {"optim.minutes": self.minutes, "optim.images": self.images}
        return [*(f"{key}={json.dumps(value)}" for key, value in given.items()), *(self.set or [])]


@expanded
def train_command(
    context: typer.Context,
    run: Run,
    dry_run: bool = option("--dry-run", "Time a few steps, and print what the run would take."),
    *,
    messages: options.Messages,
) -> None:
    """Train a model on a folder or zip of images.

    Writes config.toml, metrics.jsonl, curve.png, samples/, last.safetensors and best.safetensors
    into RUN, and the state from which --resume goes on. After Ctrl-C or SIGTERM the step is
    finished and that state is written; a second Ctrl-C stops at once. At its end the default
    temperature is chosen on validation images and written into best.safetensors. Under
    `accelerate launch -m caflow_cli train ...` the command trains on many devices.

    Example: caflow train --task superres --data photos/ --out run --minutes 120
    """
    console = messages.console("train")
    config = _config(_without_defaults(run, context))
    if not dry_run:
        _train(config, run.resume, console)
        return
    figures = _preview(config, run.resume)
    if _is_main():
        images, counts = figures["pictures"], figures["parameters"]
        parts = ", ".join(f"{n} {count:,}" for n, count in counts.items() if n != "total" and count)
        lines = (
            f"data        {images['train']:,} train, {images['val']:,} val",
            f"parameters  {counts['total']:,} ({parts})",
        )
        console.result({"status": "dry-run", **figures}, lines)


def _preview(config: RunConfig, resume: bool) -> dict[str, Any]:
    """The sizes of a run's data and model. CaflowError for what the run would refuse."""
    from ...training.data import open_dataset
    from ...training.optim import named_parameters
    from ...training.state import check_new, check_unchanged, starting_model

    check_new(Path(config.out), resume)
    if resume:
        check_unchanged(config)
    lazy = replace(config, data_memory_gb=0.0)  # little is decoded
    with open_dataset(lazy, "train") as train, open_dataset(lazy, "val") as val:
        images = {"train": len(train), "val": len(val)}
    counts = dict.fromkeys(("A", "R", "T", "F", "Q"), 0)  # they begin the names of parameters
    for name, parameter in named_parameters(starting_model(config, resume)).items():
        counts[name.partition(".")[0]] += parameter.numel()
    return {"pictures": images, "parameters": {**counts, "total": sum(counts.values())}}


def _without_defaults(run: Run, context: typer.Context) -> Run:
    """The options; without those of the user's file if the run has a config of its own."""
    own = {field.name for field in fields(run)} if run.resume or run.config is not None else ()
    changes: dict[str, Any] = {}
    for parameter in context.command.params:
        source = context.get_parameter_source(parameter.name)
        if parameter.name in own and source is not None and source.name == "DEFAULT_MAP":
            changes[parameter.name] = parameter.default
    return replace(run, **changes)


def _config(given: Run) -> RunConfig:
    """The config that the options describe: values of a file, which options override.

    Raises:
        CaflowError: (exit 2) the file cannot be read, a field does not exist, there is no data, or
            an option with `--resume` would make it another run. (exit 3) the model to start from
            does not exist.
    """
    own = Path(given.out, "config.toml")
    values = {} if given.config is None else read_toml(given.config)
    if given.resume:
        for name in ("task", "preset", "init_from", "seed", "crop"):
            if getattr(given, name) is not None:
                raise usage_error(
                    f"--{name.replace('_', '-')} cannot change a run that goes on",
                    f"caflow train --out {given.out} --resume",
                )
        if given.config is None and not is_file(own):
            raise usage_error(
                f"no run to resume in {given.out!r}", "leave --resume out to start one"
            )
        values = values if given.config is not None else read_toml(own)

    from ...model import read_info, upgrade
    from ...training.settings import build_config, merged

    values = upgrade(values)
    values["out"], settings = given.out, given.settings()
    known = merged(values, settings)
    if "data" not in known:
        raise usage_error("no data named", "--data FOLDER or --data FILE.zip")
    if isinstance(known["data"], str):
        check_there(known["data"])
    if isinstance(known.get("masks"), str):
        with of_masks():
            check_there(known["masks"])

    from ...hub.resolve import resolve

    start = None
    if given.init_from is not None:
        path = resolve(given.init_from).path.resolve()
        start, values["init_from"] = read_info(path).config, str(path)
    return build_config(values, settings, preset=given.preset, task=given.task, start=start)


def _train(run: RunConfig, resume: bool, console: Console) -> None:
    from ...training import Stopped, train

    with console.progress("{task.percentage:>3.0f}%", "{task.fields[figures]}") as progress:
        parts = 2 * run.optim.accumulate
        smaller = f"--set optim.accumulate={parts}, which makes the same step in {parts} parts"
        try:
            with memory_errors(smaller, "a step of this model"):
                summary = train(run, resume=resume, report=_Display(console, progress))
        except Stopped as stop:
            progress.stop()
            console.note(f"{stop.message}\nhint: {stop.hint}")
            # Past Typer, after whose 130 `main` would say again that it was interrupted.
            raise SystemExit(stop.exit_code) from stop
    if not _is_main():
        return
    best = Path(run.out) / "best.safetensors"
    choice = _choose_temperature(best, run)
    record = {
        "status": "ok",
        **asdict(summary),
        "tau": choice.tau.as_json(),
        "val_rmse": choice.rmse,
    }
    if choice.baseline_rmse is not None:
        record |= {"baseline": choice.baseline, "baseline_val_rmse": choice.baseline_rmse}
    console.result(record, [str(best)])
    loss = summary.val_picture_loss
    console.note(
        f"{summary.images} images in {_duration(60 * summary.minutes)} "
        f"({summary.images_per_second:.1f} a second); bits/dim: validation "
        f"{summary.val_bits_per_dim:.4f} (best {summary.best_val_bits_per_dim:.4f}), training "
        f"images {summary.train_bits_per_dim:.4f}, gap {summary.gap_bits_per_dim:.4f}; "
        f"{summary.skipped_steps} steps skipped"
        + ("" if loss is None else f"; samples of validation images {loss:.4f}")
    )
    if choice.baseline_rmse is not None:
        console.note(_describe_choice(choice))


def _choose_temperature(best: Path, run: RunConfig) -> Choice:
    """Choose the model's default temperature on validation images, and write it into its file.

    A temperature that the config of the run states stays.
    """
    from ...evaluation import choose_temperature
    from ...model import CAFlow, read_info

    model = CAFlow.load(best)
    choice = choose_temperature(model, run.data, limit=min(_MOST_CHOSEN, run.validation_images))
    stated = run.task.tau is not None and run.init_from is None
    if choice.lpips is not None and not stated:
        training = {**read_info(best).training, "defaults": {"tau": choice.as_json()}}
        tau = tuple(choice.tau.as_json())
        task = replace(model.config.task, tau=tau if len(tau) > 1 else tau[0])
        model.config = replace(model.config, task=task)
        model.save(best, training)
    return choice


class _Display:
    """Turns events of a run into a progress bar on a terminal, and lines elsewhere."""

    def __init__(self, console: Console, progress: Progress) -> None:
        self._console, self._progress = console, progress
        self._bar = progress.add_task("reading images", total=1.0, figures="")
        self._last_line = 0.0
        self._start: tuple[float, float] | None = None  # time and progress at the first step

    def __call__(self, event: dict[str, Any]) -> None:
        kind, step = event["event"], f"step {event.get('step')}"
        if kind == "data":
            self._progress.update(self._bar, description="training")
            if event["skipped"]:
                names = ", ".join(event["skipped_names"])
                more = ", ..." if event["skipped"] > len(event["skipped_names"]) else ""
                self._say(f"skipped damaged images ({event['skipped']}): {names}{more}")
            self._say(f"{event['train']} training images, {event['val']} validation images")
            if event["val"] < _FEW:
                self._say(
                    "few validation images, whose figures vary by chance: put at least "
                    f"{_FEW} into a folder val/"
                )
        elif kind == "step":
            self._show_step(event)
        elif kind == "validation":
            loss = event.get("val_picture_loss", ...)
            self._say(
                f"{step}  validation {_number(event['val_bits_per_dim'])} bits/dim  "
                f"training images {_number(event['train_bits_per_dim'])}"
                + ("" if loss is ... else f"  samples {_number(loss)}")
            )
        elif kind == "rollback":
            self._say(
                f"{step}: unstable; back to the last good state with {event['lr_scale']:g} times "
                "the learning rate"
            )
        elif kind == "note":
            self._say(event["text"])

    def _show_step(self, event: dict[str, Any]) -> None:
        now, done = time.monotonic(), event["progress"]
        if "running_loss" in event:
            running = f"loss {_number(event['running_loss'])}"
        else:
            running = f"{_number(event['running_bits_per_dim'])} bits/dim"
        figures = f"{event['images_per_second']:.1f} images/s  {running}"
        self._progress.update(self._bar, completed=done, figures=figures)
        began, first = self._start = self._start or (now, done)
        if self._console.live or now - self._last_line < _PAUSE:
            return
        self._last_line = now
        left = ""
        if done > first:
            left = f"  {_duration((now - began) * (1 - done) / (done - first))} left"
        self._say(f"step {event['step']}  {done:.1%}  {figures}{left}")

    def _say(self, text: str) -> None:
        if self._console.live:  # above the bar
            self._progress.console.print(text, markup=False, highlight=False)
        else:
            self._console.note(text)


def _describe_choice(choice: Choice) -> str:
    """One line on the chosen temperature, and on whether the model is of use."""
    if choice.rmse is None:
        return (
            f"samples diverge at τ {choice.tau}: the model needs more training "
            "(--resume --minutes M)"
        )
    found = (
        f"validation images at τ {choice.tau}, one sample each ({choice.images}): "
        f"RMSE {choice.rmse:.2f}, {choice.baseline} {choice.baseline_rmse:.2f}"
    )
    if choice.useful:
        return found
    return f"{found}: not better than without a model yet; --resume --minutes M trains on"


def _duration(seconds: float) -> str:
    return str(timedelta(seconds=round(seconds)))


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"  # None: nothing finite yet


def _is_main() -> bool:
    return os.environ.get("RANK", "0") == "0"  # as launchers of many processes say
