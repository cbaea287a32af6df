"""All that the page can do, without the page: one job for each visitor."""

from __future__ import annotations

import html
import os
import re
import shutil
import sys
import threading
import time
import traceback
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ..assets import example_path
from ..errors import CaflowError, is_out_of_memory, memory_errors
from ..hub.manifest import bundled_path, load_manifest
from ..hub.resolve import load, resolve
from ..images import Decoded
from ..inference import score, task_of
from ..inference.arguments import seen_by
from ..inference.figures import thumbnail
from ..model import CAFlow, read_info
from ..sampling import Sampling
from ..tasks import Pixels
from .inputs import Fields, Limits, drawn_map, painted_hole, read_upload
from .job import Job, Stopped

__all__ = ["EXAMPLES", "Models", "Sessions", "Update"]

# New values or properties of the page's components, by name; the others stay as they are.
Update = dict[str, Any]

# A bundled image for each task.
EXAMPLES = {"superres": "cat", "colorize": "cat_192", "inpaint": "cat_192", "paired": "map"}
_CANVAS = 1024  # pixels of the longer side of what is painted on, at most
_EVERY = 0.4  # seconds between two updates of the page, at least
_SMALLER = "crop or shrink the image first"
# The page's fields, which hints of the command line name by their options.
_FIELDS = {"--tau": "temperature", "-m": "candidates", "-n": "keep", "--seed": "seed"}


class Models:
    """The models that are named, then the bundled ones, the tasks' defaults first.

    A visitor chooses among them and cannot name others, so that a page that others reach opens no
    file and downloads nothing for them.

    Args:
        named: As `--model` takes them; the first one is the page's choice at first.
        device: Of all models.

    Attributes:
        tasks: The task of each model, by id, in the order of the page's list.

    Raises:
        CaflowError: (exit 3) a model that is named is not there.
    """

    def __init__(self, named: Sequence[str], device: torch.device) -> None:
        order = ["superres", "colorize", "inpaint", "paired"]
        bundled = [one for one in load_manifest().values() if bundled_path(one) is not None]
        bundled.sort(key=lambda one: (not one.default, order.index(one.task)))
        found = [resolve(name) for name in [*named, *(one.id for one in bundled)]]
        self._files = {one.id: one for one in reversed(found)}
        self.tasks = {one.id: read_info(self._files[one.id].path).config.task.name for one in found}
        self._device, self._lock = device, threading.Lock()
        self._loaded: dict[str, CAFlow] = {}

    def sampling(self, id: str) -> Sampling:
        """How a model draws if nothing is chosen. Only the header of its file is read."""
        return Sampling().of(read_info(self._files[id].path).config)

    def load(self, id: str) -> CAFlow:
        """The model with that id. CaflowError (exit 3) if its file is damaged."""
        with self._lock:
            if id not in self._loaded:
                self._loaded[id] = load(self._files[id]).to(self._device)
            return self._loaded[id]


class Sessions:
    """The jobs of all visitors, each known by the name of their session.

    Errors are shown in the status: message and hint of a CaflowError, and one line of any other,
    whose traceback goes to stderr if CAFLOW_DEBUG is set.

    Args:
        models: Those that are offered.
        limits: Of a request.
        folder: For all files. It must exist.
    """

    def __init__(self, models: Models, limits: Limits, folder: Path) -> None:
        self.models, self.limits = models, limits
        self._folder, self._count = folder, 0
        self._jobs: dict[str, Job] = {}  # by session, the oldest first
        self._edited: set[str] = set()  # sessions whose fields changed since Draw was pressed
        self._lock = threading.Lock()

    def draw(self, session: str, fields: Fields) -> Iterator[Update]:
        """Draw the candidates of an image, and show them as they come.

        What was drawn before stays if the image or the fields are refused.
        """
        yield {"status": _line("Reading the image and the model")}
        try:
            with memory_errors(_SMALLER):
                model = self.models.load(fields.model)
                sampling = fields.sampling.of(model.config)
                self.limits.check_candidates(sampling.candidates)
                name, image, mask = self._read(fields)
                with self._lock:
                    self._count += 1
                    folder = self._folder / f"job_{self._count}"
                job = Job(model, name, image, mask, sampling, folder)
        except Exception as error:
            yield {"status": _error(error)}
            return
        self._forget(session)
        while len(self._jobs) >= self.limits.visitors:
            self._forget(next(iter(self._jobs)))
        self._jobs[session] = job
        yield from self._run(session, job, sampling.candidates, sampling.keep)

    def more(self, session: str, fields: Fields) -> Iterator[Update]:
        """Draw more candidates of what is shown, with its own temperature and seeds.

        Of the fields, only the numbers of candidates count.
        """
        job = self._jobs.get(session)
        if job is None:
            yield {"status": _error(CaflowError("nothing is drawn yet", "press Draw first"))}
            return
        count = fields.candidates
        if count is None:
            count = self.models.sampling(job.id).candidates
        yield from self._run(session, job, count, fields.sampling.keep)

    def stop(self, session: str) -> None:
        """Stop the drawing of a visitor. What is drawn stays, and more can be drawn."""
        if job := self._jobs.get(session):
            job.stop()

    def leave(self, session: str) -> None:
        """Forget a visitor."""
        self._edited.discard(session)
        self._forget(session)

    def _forget(self, session: str) -> None:
        """Stop the job of a visitor, and remove its files."""
        if job := self._jobs.pop(session, None):
            job.stop()
            shutil.rmtree(job.folder, ignore_errors=True)

    def close(self) -> None:
        """Stop all jobs, and forget them."""
        for session in list(self._jobs):
            self.leave(session)

    def press(self, session: str) -> None:
        """Note that Draw was pressed, with the fields as they are."""
        self._edited.discard(session)

    def edit(self, session: str) -> Update:
        """Note that a field was changed, also while a drawing waits: the title says so."""
        self._edited.add(session)
        job = self._jobs.get(session)
        return {} if job is None else {"title": self._title(session, job)}

    def choose(self, session: str, index: int) -> Update:
        """Show the candidate at a place of the gallery, from 0."""
        job = self._jobs.get(session)
        if job is None or job.result is None or not 0 <= index < job.drawn:
            return {}
        job.chosen_k = job.result.ranked[index].k
        return _chosen(job)

    def score(self, session: str, fields: Fields, target: str | None) -> Update:
        """Score an image that was uploaded, under the input and the model."""
        try:
            if target is None:
                raise CaflowError("there is no image to score", "drop one into its field")
            model = self.models.load(fields.model)
            _, given, mask = self._read(fields)
            truth = read_upload(Path(target), self.limits)
            with memory_errors("crop both images"):
                found = score(model, seen_by(model, given), truth.rgb, mask)
        except Exception as error:
            return {"score": _error(error)}
        text, job = f"{found.summary}, under {model.identity['id']}", self._jobs.get(session)
        if job is not None and job.result is not None and job.id == model.identity["id"]:
            scores = [one.score.rank_score for one in job.result.ranked]
            likelier = sum(value > found.rank_score for value in scores)
            text += f"; {likelier} of the {len(scores)} candidates drawn last are likelier"
        return {"score": _line(text)}

    def describe(self, fields: Fields) -> Update:
        """State the size of an image, and make the canvas if the task takes what is painted.

        Returns:
            `size`, HTML; `canvas`, uint8 or None; `pixel`, the side of a pixel of the image, or of
            what the model draws from it, in pixels of the canvas.
        """
        task, image = self.models.tasks[fields.model], None
        try:
            if fields.image is not None:
                image = self._read_image(fields).rgb
            elif task == "paired":
                image = self._blank(fields.model)
        except Exception as error:
            return {"size": _error(error), "canvas": None, "pixel": 1.0}
        if image is None:
            return {"size": "", "canvas": None, "pixel": 1.0}
        height, width = image.shape[:2]
        text, factor = f"{width}×{height} pixels", self._factor(fields.model)
        if factor > 1:
            text += f", the result {factor * width}×{factor * height}"
        canvas = thumbnail(image, _CANVAS) if task in ("inpaint", "paired") else None
        drawn = max(height, width)
        if task == "paired":
            drawn = max(task_of(self.models.load(fields.model)).model_size(image))
        pixel = 1.0 if canvas is None else max(canvas.shape) / drawn
        return {"size": _line(text), "canvas": canvas, "pixel": pixel}

    def example(self, model: str) -> str:
        """The path of a bundled image that fits a model."""
        return str(example_path(EXAMPLES[self.models.tasks[model]]))

    # --- inputs ---------------------------------------------------------------------------------

    def _read(self, fields: Fields) -> tuple[str, Decoded, Pixels | None]:
        """Name and input of a job, and its mask."""
        task = self.models.tasks[fields.model]
        if task == "paired" and fields.painted:
            below = self._read_image(fields).rgb if fields.image else self._blank(fields.model)
            return "map.png", drawn_map(fields.layers, below), None
        image = self._read_image(fields)
        mask = painted_hole(fields.layers, *image.rgb.shape[:2]) if task == "inpaint" else None
        return Path(fields.image or "").name, image, mask

    def _read_image(self, fields: Fields) -> Decoded:
        task = self.models.tasks[fields.model]
        if fields.image is None:
            draw = "drop one, draw one" if task == "paired" else "drop one"
            raise CaflowError("there is no image", f"{draw}, or take the example")
        path = Path(fields.image)
        image = read_upload(path, self.limits, self._factor(fields.model))
        if task in ("colorize", "paired"):  # which may enlarge a long image
            drawn = task_of(self.models.load(fields.model)).model_size(image.rgb)
            self.limits.check_result((image.rgb.shape[0], image.rgb.shape[1]), drawn, path.name)
        return image

    def _factor(self, model: str) -> int:
        """How many times larger than its input a result is."""
        if self.models.tasks[model] != "superres":
            return 1
        return self.models.load(model).config.task.factor

    def _blank(self, model: str) -> Pixels:
        """A white image of the model's size, to draw a map on."""
        side = self.models.load(model).config.task.size
        return np.full((side, side, 3), 255, np.uint8)

    # --- drawing --------------------------------------------------------------------------------

    def _run(self, session: str, job: Job, count: int | None, keep: int) -> Iterator[Update]:
        assert count is not None, "`Sampling.of` fills it in"
        first, total, start, shown = job.drawn, job.drawn + count, time.monotonic(), 0.0
        running, ended = ({"end": {"interactive": value}} for value in (True, False))
        stopped, failed = "", None
        try:
            self.limits.check_candidates(total)
            with memory_errors(_SMALLER):
                for _ in job.draw(count, keep):
                    now = time.monotonic()
                    if job.drawn == first:
                        text = f"Drawing candidate {first + 1} of {total}"
                    elif now - shown < _EVERY or job.drawn == total:
                        continue
                    else:
                        shown = now
                        left = (now - start) / (job.drawn - first) * (total - job.drawn)
                        text = f"{job.drawn} of {total}, {_seconds(left)} left"
                    yield {"status": _line(text), **running, **self._shown(session, job)}
        except Stopped:
            stopped = "stopped: "
        except Exception as error:
            failed = _error(error)
        if self._jobs.get(session) is not job:
            return  # the visitor is gone, and so are the files of the job
        if failed is None:
            kind = f"{job.drawn} candidates" if job.drawn != 1 else "1 candidate"
            new = f"{job.drawn - first} of them new in " if first else ""
            took = _seconds(time.monotonic() - start)
            failed = _line(f"{stopped}{kind}, {new}{took}")
        yield {"status": failed, **ended, **self._shown(session, job), **_files(job)}

    def _shown(self, session: str, job: Job) -> Update:
        """The candidates of a job by rank, and the chosen one."""
        title = {"title": self._title(session, job)}
        if job.result is None:
            gone = {"value": None, "visible": False}
            names = ("gallery", "slider", "file", "files", "spread", "command")
            return {**title, "text": "", **dict.fromkeys(names, gone)}
        ranked = job.result.ranked
        captions = [(job.small(one), f"#{one.rank}: {one.score.summary}") for one in ranked]
        return {**title, "gallery": {"value": captions, "visible": True}, **_chosen(job)}

    def _title(self, session: str, job: Job) -> str:
        """A title for the candidates, whether fields have changed since, and notes of the input."""
        text = _line(job.title)
        if session in self._edited:
            text = f"Fields have changed: these candidates are of {job.title}. Draw begins anew."
            text = f'<p class="stale">{html.escape(text)}</p>'
        for note in job.notes:
            text += f'<p class="note">{html.escape(note[0].upper() + note[1:])}</p>'
        return text


def _chosen(job: Job) -> Update:
    candidate = job.chosen
    text = (
        f"Candidate #{candidate.rank} of {job.drawn}: {candidate.score.summary}. "
        f"Seed {candidate.seed}, τ {job.sampling.temperature}"
    )
    sides = f'<p class="sides"><span>◀ input</span><span>candidate #{candidate.rank} ▶</span></p>'
    return {
        "slider": {"value": job.before_after(candidate), "visible": True},
        "text": sides + _line(text),
        "file": {"value": job.write(candidate), "visible": True},
    }


def _files(job: Job) -> Update:
    """The files of a job that has ended."""
    if job.result is None:
        return {}
    spread = job.write_spread()
    label = "" if spread is None else f"Where candidates differ: {'; '.join(spread[1])}"
    return {
        "files": {"value": job.write_files(), "visible": True},
        "spread": {"value": spread and spread[0], "visible": spread is not None, "label": label},
        "command": {"value": job.command, "visible": True},
    }


def _seconds(value: float) -> str:
    if value < 10:
        return f"{value:.1f} s"
    return f"{value:.0f} s" if value < 120 else f"{value / 60:.0f} min"


def _line(text: str) -> str:
    return f"<p>{html.escape(text)}</p>"


def _error(error: Exception) -> str:
    """Say what is wrong and what to do, as HTML, with fields in place of options."""
    if isinstance(error, CaflowError):
        message, hint = error.message, error.hint
        for option, name in _FIELDS.items():
            hint = re.sub(rf"(?<![\w-]){option} (?=[\d.])", f"{name} = ", hint)
            hint = re.sub(rf"(?<![\w-]){option}(?![\w-])", name, hint)
    elif is_out_of_memory(error):
        message, hint = "not enough memory", _SMALLER
    else:
        if os.environ.get("CAFLOW_DEBUG") == "1":
            traceback.print_exception(error, file=sys.stderr)
        message = f"{type(error).__name__}: {error}"
        hint = "this is a defect: start the app with CAFLOW_DEBUG=1, and report what it prints"
    return f'<p class="error" role="alert"><b>{html.escape(message)}</b><br>{html.escape(hint)}</p>'
