"""Reports of a run: progress, `metrics.jsonl`, and `curve.png`."""

import contextlib
import io
import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import torch
from accelerate import Accelerator
from accelerate.utils import broadcast_object_list

from ..devices import float64_device
from ..errors import CaflowError
from ..images import atomic_write
from ..perceptual import LEAST_SIDE, VGG
from ..records import Table
from .config import OptimConfig, RunConfig, to_toml
from .sets import Dataset, parts_of

Event = Table  # one line of metrics.jsonl: "event" and its figures

METRICS = "metrics.jsonl"
LOG_EVERY = 10  # steps
_PAUSE = 30.0  # seconds between events of steps, at most
_SMOOTHING = 0.02  # weight of a new value in the running loss


@dataclass
class Progress:
    """The progress of a run, as saved in its states."""

    step: int = 0  # steps done
    elapsed: float = 0.0  # seconds, over all sessions of the run
    best: float = math.inf  # lowest validation loss of this phase,
    best_bits_per_dim: float = math.inf  # and the bits/dim of that model
    running: float = math.nan  # running mean of the training bits/dim of the live weights,
    losses: int = 0  # and the number of steps in it
    validations: int = 0
    phase: int = 0  # index of the current phase; it never decreases, even if the budget grows
    phase_began_at: int = 0  # step

    def images(self, optim: OptimConfig) -> int:
        return self.step * optim.batch_size

    def spent(self, optim: OptimConfig) -> float:
        if optim.images is not None:
            return self.images(optim) / optim.images
        return self.elapsed / (60 * (optim.minutes or math.inf))

    def take_loss(self, bits_per_dim: float) -> None:
        self.losses += 1
        rate = max(_SMOOTHING, 2 / (self.losses + 1))  # larger at first, to forget early losses
        previous = self.running if self.losses > 1 else 0.0  # it is NaN before the first loss
        self.running = previous + rate * (bits_per_dim - previous)


class StepFigures(NamedTuple):
    """The figures of a step, over all processes."""

    loss: float  # bits/dim, including λ log p(y)
    bits_per_dim: float  # of log p(w|y) alone
    cond_bits_per_dim: float  # of log p(y), per dimension of y
    image: float  # the loss on images; 0 if there is none
    grad_norm: float  # before clipping
    taken: bool  # False: the guard rejected the step


@dataclass(frozen=True)
class RunSummary:
    """The figures of a run at its end.

    All bits/dim are those of the averaged weights, with the same fixed noise, on equally many
    training and validation images. So their gap measures overfitting. They are None for a guide
    that trained alone, which has a PSNR instead.
    """

    steps: int
    images: int
    minutes: float
    images_per_second: float
    train_bits_per_dim: float | None
    val_bits_per_dim: float | None
    gap_bits_per_dim: float | None  # validation minus training
    best_val_bits_per_dim: float | None  # of best.safetensors
    val_image_loss: float | None  # the loss on samples, if there is one
    val_psnr: float | None  # of the images that the guide predicts, dB
    skipped_steps: int


def sum_over_processes(accelerator: Accelerator, values: Sequence[float]) -> list[float]:
    """Sum over all processes, each of which must call this and gets the same result."""
    if accelerator.num_processes == 1:
        return list(values)
    tensor = torch.tensor(values, dtype=torch.float64, device=float64_device(accelerator.device))
    return list(accelerator.reduce(tensor, reduction="sum").tolist())


def on_main_process(accelerator: Accelerator, function: Callable[[], object]) -> None:
    """Call `function` on the main process while the others wait.

    If it raises `CaflowError`, every process does, so that a full disk leaves none waiting.
    """
    failure: list[CaflowError | None] = [None]
    if accelerator.is_main_process:
        try:
            function()
        except CaflowError as error:
            failure = [error]
    broadcast_object_list(failure)
    if failure[0] is not None:
        raise failure[0]


@dataclass(eq=False)
class EventLog:
    """Writes events, on the main process only. Numbers that are not finite become null in JSON."""

    config: RunConfig
    accelerator: Accelerator
    progress: Progress
    report: Callable[[Event], None] | None = None

    def __post_init__(self) -> None:
        self._path = Path(self.config.out) / METRICS
        # Since the last event of a step.
        self._seconds = 0.0
        self._steps = 0
        self._announced = self.progress.elapsed

    def begin(self, train_set: Dataset, val_set: Dataset) -> None:
        """Write the config and the first events.

        Earlier events of steps that will be repeated, and a truncated last line, are removed.
        """
        kept = [e for e in read_events(self._path.parent) if e["step"] <= self.progress.step]
        atomic_write(self._path.with_name("config.toml"), to_toml(self.config).encode())
        lines = "".join(json.dumps(e) + "\n" for e in kept)
        atomic_write(self._path, lines.encode())
        skipped = [*train_set.examples.skipped, *val_set.examples.skipped]
        counts, halved = parts_of(self.config)
        self.write(
            "data",
            **counts,
            halved=halved,
            skipped=len(skipped),
            skipped_names=skipped[:5],
        )
        if self.progress.step == 0 and self.config.task.gray:
            text = "results are gray, as all targets are: the luminance of three drawn channels"
            self.write("note", text=text)
        optim = self.config.optim
        by_l1 = optim.guide_perceptual == 0 and self.config.flow.guide_spec.perceptual > 0
        if self.progress.step == 0 and optim.guide_first and by_l1:
            self.write(
                "note",
                text="the guide trains on L1 alone, without LPIPS, which needs VGG16 "
                f"({VGG.option} FILE) and images of {LEAST_SIDE} pixels",
            )

    def write(self, event: str, **figures: Any) -> None:
        if not self.accelerator.is_main_process:
            return
        step = self.progress.step
        line = {
            "event": event,
            "step": step,
            "images": self.progress.images(self.config.optim),
            **figures,
            "elapsed_s": round(self.progress.elapsed, 2),
        }
        for name, value in line.items():
            if isinstance(value, float) and not math.isfinite(value):
                line[name] = None
        try:
            with self._path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(line) + "\n")
        except OSError as error:
            raise CaflowError(
                f"cannot write {str(self._path)!r}: {error.strerror}",
                "free some space there, and continue with --resume",
            ) from error
        if self.report is not None:
            self.report(line)

    def announce(self, event: str, **figures: Any) -> None:
        """Write an event while the other processes wait. All of them must call this."""
        on_main_process(self.accelerator, lambda: self.write(event, **figures))

    def step(
        self, figures: StepFigures, lr: float, seconds: float, skipped: int, guide_alone: bool
    ) -> None:
        """Announce every tenth step, and those after half a minute without.

        Args:
            figures: Of the step.
            lr: Its learning rate.
            seconds: Its duration.
            skipped: The number of skipped steps so far.
            guide_alone: Whether the loss is that of a guide, not in bits/dim.
        """
        self._seconds += seconds
        self._steps += 1
        elapsed = self.progress.elapsed  # the same for all processes
        if self.progress.step % LOG_EVERY and elapsed - self._announced < _PAUSE:
            return
        self._announced = elapsed
        images = self._steps * self.config.optim.batch_size
        self.announce(
            "step",
            lr=lr,
            images_per_second=images / max(self._seconds, 1e-9),
            progress=min(1.0, self.progress.spent(self.config.optim)),
            loss=figures.loss,
            **{"running_loss" if guide_alone else "running_bits_per_dim": self.progress.running},
            cond_bits_per_dim=figures.cond_bits_per_dim,
            **({"image_loss": figures.image} if figures.image and not guide_alone else {}),
            grad_norm=figures.grad_norm,
            skipped=skipped,
        )
        self._seconds = 0.0
        self._steps = 0


def read_events(out: Path) -> list[Event]:
    path = out / METRICS
    events = []
    for line in path.read_text(encoding="utf-8").splitlines() if path.exists() else []:
        with contextlib.suppress(ValueError):
            events.append(json.loads(line))
    return events


# Figures of the curve, in colors that are safe for color-blind readers.
_SERIES = {
    "running_bits_per_dim": ("training loss, running mean", "#b4b4b4"),
    "train_bits_per_dim": ("training images", "#d55e00"),
    "val_bits_per_dim": ("validation images", "#0072b2"),
    "train_psnr": ("training images", "#d55e00"),
    "val_psnr": ("validation images", "#0072b2"),
}


def draw_curve(events: Sequence[Event]) -> bytes:
    """Plot training and validation bits/dim against images seen: a PNG of 960×540 pixels.

    A guide that trains alone has the PSNR of its images instead. The first tenth of the run is left
    out, because its values would flatten the rest.
    """
    from matplotlib.figure import Figure  # imported here, because only drawing needs it

    figure = Figure(figsize=(9.6, 5.4), dpi=100, layout="constrained")
    axes = figure.subplots()
    of_guide = any(event.get("val_psnr") for event in events)
    axes.set(xlabel="images seen", ylabel="PSNR, dB" if of_guide else "bits/dim")
    begin = events[-1]["images"] / 10 if events else 0
    late = [e for e in events if e["event"] != "end" and e["images"] >= begin]
    for name, (label, color) in _SERIES.items():
        shown = [e for e in late if e.get(name) is not None]
        if shown:
            images = [e["images"] for e in shown]
            marker = "o" if len(shown) == 1 else ""  # a line of one point would be invisible
            axes.plot(images, [e[name] for e in shown], color=color, label=label, marker=marker)
    figure.legend(loc="outside upper left", ncols=3, frameon=False)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    return buffer.getvalue()
