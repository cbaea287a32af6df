"""The training loop."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from torch import Tensor

from ..data import load_split
from ..errors import EXIT_USAGE, CaflowError
from ..images import atomic_write, write_png
from ..inference import select_device
from ..model import CAFlow, Config, LossTerms, bits_per_dim, load_checkpoint, save_checkpoint
from ..tasks import get_task, held_out_conditions
from .batches import Batches
from .config import RunConfig, to_toml
from .ema import EMA
from .guard import Guard
from .samples import sample_grid
from .schedule import learning_rate
from .state import latest_state, load_state, save_state

__all__ = ["Event", "Summary", "train"]

Event = dict[str, Any]  # one line of metrics.jsonl: "event" and its figures

_LOG_EVERY = 10  # steps
_GRID_IMAGES, _GRID_CANDIDATES = 6, 4
_VALIDATION_BATCH = 50


@dataclass(frozen=True)
class Summary:
    """How a run ended; bits/dim are of the EMA weights with one fixed noise draw."""

    steps: int
    images: int
    minutes: float
    images_per_second: float
    train_bits_per_dim: float  # running mean of the training loss's first term, live weights
    val_bits_per_dim: float
    best_val_bits_per_dim: float
    skipped_steps: int
    rollbacks: int


def train(
    config: RunConfig,
    *,
    resume: bool = False,
    report: Callable[[Event], None] | None = None,
) -> Summary:
    """Maximise log p(w|y) + λ log p(y) on a set of images (paper section 4.3, appendix B).

    Writes into `config.out`: `config.toml`, `metrics.jsonl`, `samples/*.png`, `last.safetensors`
    and `best.safetensors` (EMA weights; best by validation bits/dim), and `state/`, from which
    `resume=True` goes on.

    Args:
        config: What to learn, from what, and for how long.
        resume: Go on with the newest state in `config.out`.
        report: Called with every line of `metrics.jsonl`.

    Raises:
        CaflowError: Unusable data, an output folder that holds another run, or a run that does not
            recover from steps that are not finite.
    """
    out = Path(config.out)
    if not resume and (out / "metrics.jsonl").exists():
        raise CaflowError(
            f"{str(out)!r} holds a run already", "add --resume, or choose another --out", EXIT_USAGE
        )
    device = select_device(config.device)
    if config.device.startswith("cuda:"):
        torch.cuda.set_device(device)
    accelerator = Accelerator(mixed_precision="no", cpu=device.type == "cpu")
    run = _Run(config, accelerator, out, report, resume)
    return run.fit()


class _Run:
    def __init__(
        self,
        config: RunConfig,
        accelerator: Accelerator,
        out: Path,
        report: Callable[[Event], None] | None,
        resume: bool = False,
    ) -> None:
        self.config, self.accelerator, self.out, self.report = config, accelerator, out, report
        optim, task = config.optim, get_task(Config(config.flow, config.task))
        self.task = task

        train_set = load_split(config.data, "train", config.task.size, seed=config.seed)
        val_set = load_split(config.data, "val", config.task.size, seed=config.seed)
        if len(train_set.images) < optim.batch_size:
            raise CaflowError(
                f"{len(train_set.images)} training images are fewer than a batch",
                f"--batch-size {max(1, len(train_set.images))}",
                EXIT_USAGE,
            )
        self.batches = Batches(
            train_set.images,
            held_out_conditions(task, train_set.images),
            optim.batch_size,
            config.seed,
            config.flip,
            normal_noise=config.flow.dequantization == "variational",
        )
        self.val = (val_set.images, held_out_conditions(task, val_set.images))

        torch.manual_seed(config.seed)
        if config.init_from and not resume:  # a state holds all weights
            self.model, info = load_checkpoint(Path(config.init_from))
            if info.config.flow != config.flow:
                raise CaflowError(
                    f"{config.init_from!r} has another architecture than the run",
                    "take the run's [flow] from that model's config",
                    EXIT_USAGE,
                )
            self.model.config = Config(config.flow, config.task)
        else:
            self.model = CAFlow(Config(config.flow, config.task))
        self.model.use_bf16(optim.bf16)
        self.model.train()
        self.optimizer = torch.optim.Adam(
            self.model.parameters(), lr=optim.lr, betas=(0.9, optim.beta2), fused=True
        )
        self.model.to(accelerator.device)
        self.ddp, self.optimizer = accelerator.prepare(self.model, self.optimizer)
        self.ema = EMA(self.model, optim.ema)
        self.guard = Guard({"model": self.model, "ema": self.ema, "optimizer": self.optimizer})
        self.step = 0
        self.elapsed = 0.0  # seconds of earlier sessions of this run
        self.best = math.inf
        self.train_bpd = math.nan
        self.val_bpd = math.nan
        self.skipped_files = [*train_set.skipped, *val_set.skipped]
        self.validations, self.validated_at = 0, -1
        self.lr_scale = 1.0
        if resume:
            self._resume()

    # --- the loop ---------------------------------------------------------------------------------

    def fit(self) -> Summary:
        try:
            (self.out / "samples").mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise CaflowError(
                f"cannot write to {str(self.out)!r}: {error.strerror}",
                "choose another --out",
                EXIT_USAGE,
            ) from error
        atomic_write(self.out / "config.toml", to_toml(self.config).encode())
        self._log(
            "data",
            train=len(self.batches.targets),
            val=len(self.val[0]),
            skipped=len(self.skipped_files),
            skipped_names=self.skipped_files[:5],
        )
        optim = self.config.optim
        start = time.monotonic() - self.elapsed
        first_step, first_time = self.step, time.monotonic()
        while True:
            self.elapsed = time.monotonic() - start
            progress = self._progress()
            if progress >= 1:
                break
            lr = self.lr_scale * learning_rate(
                self.step, progress, peak=optim.lr, warmup=optim.warmup, floor=optim.lr_floor
            )
            figures = self._step(lr)
            self.step += 1
            if self.step % _LOG_EVERY == 0:
                speed = (
                    (self.step - first_step) * optim.batch_size / (time.monotonic() - first_time)
                )
                self._log("step", lr=lr, images_per_second=speed, progress=progress, **figures)
            if self.step % self.config.validate_every == 0:
                self._validate()
                self._save()
        if self.validated_at != self.step:
            self._validate()
            self._save()
        seconds = time.monotonic() - first_time
        summary = Summary(
            steps=self.step,
            images=self.images,
            minutes=self.elapsed / 60,
            images_per_second=(self.step - first_step) * optim.batch_size / max(seconds, 1e-9),
            train_bits_per_dim=self.train_bpd,
            val_bits_per_dim=self.val_bpd,
            best_val_bits_per_dim=self.best,
            skipped_steps=self.guard.skipped,
            rollbacks=self.guard.rollbacks,
        )
        self._log("end", **asdict(summary))
        return summary

    def _step(self, lr: float) -> Event:
        """One step: -(log p(w|y) + λ log p(y)) / (dim(w) ln 2), clipped, guarded, averaged."""
        optim = self.config.optim
        for group in self.optimizer.param_groups:
            group["lr"] = lr
        w, y, noise = self.batches(
            self.step, self.accelerator.process_index, self.accelerator.num_processes
        )
        terms: LossTerms = self.ddp(self._place(w), self._place(y), self._place(noise))
        dims = w[0].numel()
        target_bpd = bits_per_dim(terms.log_prob.mean(), dims)
        loss = target_bpd + bits_per_dim(optim.cond_weight * terms.cond_log_prob.mean(), dims)
        self.accelerator.backward(loss)
        norm = float(self.accelerator.clip_grad_norm_(self.model.parameters(), optim.clip))
        value = float(self.accelerator.reduce(loss.detach(), reduction="mean"))
        if self.guard.accepts(value, norm):
            self.optimizer.step()
            self.ema.update(self.model)
            bpd = float(target_bpd.detach())
            rate = 0.02 if math.isfinite(self.train_bpd) else 1.0
            previous = self.train_bpd if math.isfinite(self.train_bpd) else 0.0
            self.train_bpd = previous + rate * (bpd - previous)
        elif self.guard.wants_rollback():
            self._roll_back()
        self.optimizer.zero_grad(set_to_none=True)
        cond_bpd = bits_per_dim(float(terms.cond_log_prob.detach().mean()), y[0].numel())
        return {
            "loss": value,
            "train_bits_per_dim": self.train_bpd,
            "cond_bits_per_dim": cond_bpd,
            "grad_norm": norm,
            "skipped": self.guard.skipped,
        }

    def _roll_back(self) -> None:
        if not self.guard.roll_back():
            raise CaflowError(
                f"training does not recover: {self.guard.skipped} of {self.step + 1} steps had a "
                "loss that was not finite, or far above the last good one",
                f"--lr {self.config.optim.lr / 4:g}, and look at the data",
            )
        self.lr_scale /= 2
        self._log("rollback", lr_scale=self.lr_scale, rollbacks=self.guard.rollbacks)

    @torch.no_grad()
    def _validate(self) -> None:
        images, conditions = self.val
        dims = images[0].numel()
        total = 0.0
        for w, y in zip(
            images.split(_VALIDATION_BATCH), conditions.split(_VALIDATION_BATCH), strict=True
        ):
            total += float(self.ema.model.log_prob(w, y).sum())
        self.val_bpd = bits_per_dim(total / len(images), dims)
        self._log("validation", val_bits_per_dim=self.val_bpd, train_bits_per_dim=self.train_bpd)
        if self.validations % self.config.grid_every == 0:
            grid = sample_grid(
                self.ema.model,
                images[:_GRID_IMAGES],
                conditions[:_GRID_IMAGES],
                self.config.task.tau if self.config.task.tau is not None else self.task.tau,
                _GRID_CANDIDATES,
            )
            write_png(self.out / "samples" / f"step-{self.step:08d}.png", grid)
        self.validations += 1
        self.validated_at = self.step

    # --- bookkeeping ------------------------------------------------------------------------------

    @property
    def images(self) -> int:
        return self.step * self.config.optim.batch_size

    def _progress(self) -> float:
        optim = self.config.optim
        if optim.images is not None:
            return self.images / optim.images
        assert optim.minutes is not None, "OptimConfig checks that there is a budget"
        return self.elapsed / (60 * optim.minutes)

    def _place(self, x: Tensor) -> Tensor:
        return x.to(self.accelerator.device, memory_format=torch.channels_last)

    def _save(self) -> None:
        if not math.isfinite(self.val_bpd):
            return  # what is broken must not replace what is good
        record = {
            "data": Path(self.config.data).name,
            "steps": self.step,
            "images": self.images,
            "minutes": round(self.elapsed / 60, 2),
            "seed": self.config.seed,
            "train_bits_per_dim": self.train_bpd,
            "val_bits_per_dim": self.val_bpd,
            "optim": asdict(self.config.optim),
        }
        save_checkpoint(self.out / "last.safetensors", self.ema.model, record)
        if self.val_bpd < self.best:
            self.best = self.val_bpd
            save_checkpoint(self.out / "best.safetensors", self.ema.model, record)
        save_state(
            self.out / "state",
            self.model,
            self.ema,
            self.optimizer,
            {
                "step": self.step,
                "elapsed": self.elapsed,
                "best": self.best,
                "train_bits_per_dim": self.train_bpd,
                "validations": self.validations,
                "lr_scale": self.lr_scale,
                "skipped": self.guard.skipped,
                "rollbacks": self.guard.rollbacks,
                "mean": self.guard.mean,
                "bad_in_a_row": self.guard.bad_in_a_row,
                "batch_size": self.config.optim.batch_size,
            },
        )
        self.guard.remember()

    def _resume(self) -> None:
        record = load_state(latest_state(self.out / "state"), self.model, self.ema, self.optimizer)
        self.step, self.elapsed, self.best = record["step"], record["elapsed"], record["best"]
        self.train_bpd, self.validations = record["train_bits_per_dim"], record["validations"]
        self.lr_scale = record["lr_scale"]
        self.guard.skipped, self.guard.rollbacks = record["skipped"], record["rollbacks"]
        self.guard.mean, self.guard.bad_in_a_row = record["mean"], record["bad_in_a_row"]
        self.guard.remember()
        if record["batch_size"] != self.config.optim.batch_size:
            raise CaflowError(
                f"the run has batch size {record['batch_size']}, not "
                f"{self.config.optim.batch_size}",
                f"--batch-size {record['batch_size']}, or a new run with --init-from",
                EXIT_USAGE,
            )
        self._forget_after(self.step)

    def _forget_after(self, step: int) -> None:
        """Drop the lines of steps that will be made again."""
        path = self.out / "metrics.jsonl"
        lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
        kept = [line for line in lines if json.loads(line)["step"] <= step]
        atomic_write(path, "".join(line + "\n" for line in kept).encode())

    def _log(self, event: str, **figures: Any) -> None:
        if not self.accelerator.is_main_process:
            return
        line = {"event": event, "step": self.step, "images": self.images, **figures}
        line["elapsed_s"] = round(self.elapsed, 2)
        line = {
            k: None if isinstance(v, float) and not math.isfinite(v) else v for k, v in line.items()
        }  # JSON has no NaN
        with (self.out / "metrics.jsonl").open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")
        if self.report is not None:
            self.report(line)
