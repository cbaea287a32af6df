"""All that the page can do, without the page: one job for each visitor."""

import functools
import html
import os
import re
import shutil
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import ImageColor

from ..assets import example_path
from ..damage import find_damage
from ..errors import CaflowError, is_out_of_memory, memory_errors
from ..hub.choice import choose_model, is_chosen
from ..hub.manifest import bundled_path, load_manifest
from ..hub.resolve import load, resolve
from ..images import Decoded
from ..inference import thumbnail
from ..model import CAFlow, read_info
from ..sampling import Sampling
from ..tasks import TASKS, Pixels, get_task
from .inputs import RED, Fields, Limits, drawn_map, painted_hole, read_upload
from .job import Job, Stopped, Update

_CANVAS = 1024  # pixels of the longer side of what is painted on, at most
_EVERY = 0.4  # seconds between two updates of the page, at least
_SMALLER = "crop or shrink the image first"
# The page's fields, which hints of the command line name by their options.
_FIELDS = {"--tau": "temperature", "-m": "candidates", "-n": "keep", "--seed": "seed"}


class Models:
    """The models that are named, then the bundled ones, the tasks' defaults first.

    A visitor chooses among them and cannot name others, so that a page that others reach opens no
    file and downloads nothing for them. `tasks` and `load` are by id; a model is loaded once.
    """

    def __init__(self, named: Sequence[str], device: torch.device) -> None:
        bundled = [one for one in load_manifest().values() if bundled_path(one) is not None]
        bundled.sort(key=lambda one: (not one.default, list(TASKS).index(one.task)))
        found = [resolve(name) for name in [*named, *(one.id for one in bundled)]]
        files = {one.id: one for one in reversed(found)}
        self._configs = {one.id: read_info(files[one.id].path).config for one in found}
        self.tasks = {id: get_task(config) for id, config in self._configs.items()}
        self.load: Callable[[str], CAFlow] = functools.cache(lambda id: load(files[id]).to(device))

    def sampling(self, id: str) -> Sampling:
        """How a model draws if nothing is chosen."""
        return Sampling().of(self._configs[id])

    def blank(self, id: str) -> Pixels:
        """A white image of the model's size, to draw a map on."""
        side = self._configs[id].task.size
        return np.full((side, side, 3), 255, np.uint8)


class Sessions:
    """The jobs of all visitors, each known by the name of their session, with files in a folder.

    Errors are shown in the status; the traceback of a defect goes to stderr if CAFLOW_DEBUG is 1.
    """

    def __init__(self, models: Models, limits: Limits, folder: Path) -> None:
        self.models, self.limits = models, limits
        self._folder, self._count = folder, 0
        self._jobs: dict[str, Job] = {}  # by session, the oldest first

    def draw(self, session: str, fields: Fields) -> Iterator[Update]:
        """Draw candidates. What was drawn before stays if the image or the fields are refused."""
        yield {"status": _line("Reading the image and the model")}
        try:
            with memory_errors(_SMALLER):
                model = self.models.load(fields.model)
                sampling = fields.sampling.of(model.config)
                self.limits.check_candidates(sampling.candidates)
                name, image, mask = self._read(fields)
                self._count += 1
                folder = self._folder / f"job_{self._count}"
                job = Job(model, name, image, mask, sampling, folder)
        except Exception as error:
            yield {"status": _error(error)}
            return
        self.leave(session)
        while len(self._jobs) >= self.limits.visitors:
            self.leave(next(iter(self._jobs)))
        self._jobs[session] = job
        yield from self._run(session, job, sampling.candidates or 1, sampling.keep)

    def more(self, session: str, fields: Fields) -> Iterator[Update]:
        """Draw more of what is shown. Of the fields, only the numbers of candidates count."""
        job = self._jobs.get(session)
        if job is None:
            yield {"status": _error(CaflowError("nothing has been drawn yet", "press Draw first"))}
            return
        default = self.models.sampling(job.id).candidates or 1
        count = default if fields.candidates is None else fields.candidates
        yield from self._run(session, job, count, fields.sampling.keep)

    def stop(self, session: str) -> None:
        """Stop the drawing of a visitor. What is drawn stays, and more can be drawn."""
        if job := self._jobs.get(session):
            job.stop()

    def leave(self, session: str) -> None:
        """Forget a visitor: stop their job, and remove its files."""
        if job := self._jobs.pop(session, None):
            job.stop()
            shutil.rmtree(job.folder, ignore_errors=True)

    def close(self) -> None:
        """Stop all jobs, and forget them."""
        for session in list(self._jobs):
            self.leave(session)

    def choose(self, session: str, index: int) -> Update:
        """Show the candidate at a place of the gallery, from 0."""
        job = self._jobs.get(session)
        if job is None or not 0 <= index < len(job.ranked):
            return {}
        job.chosen = job.ranked[index]
        return {"view": "Comparison", **job.choice()}

    def describe(self, fields: Fields) -> Update:
        """State the size of an image, and make the canvas if the task takes what is painted.

        Returns:
            `size`, HTML; `canvas`, uint8 or None; `pixel`, the side of a pixel of the image, or of
            what the model draws from it, in pixels of the canvas; `model`, the id to choose for it.
        """
        task, id = self.models.tasks[fields.model], fields.model
        nothing: Update = {"canvas": None, "pixel": 1.0, "model": id}
        if fields.image is None and task.paints != "map":
            return {"size": "", **nothing}
        try:
            decoded = self._below(fields)
        except Exception as error:
            return {"size": _error(error), **nothing}
        image = decoded.rgb
        height, width = image.shape[:2]
        text, factor = f"{width}×{height} pixels", task.factor
        if factor > 1:
            text += f", the result {factor * width}×{factor * height}"
        if is_chosen(task.name, id):
            choice = choose_model(task.name, decoded)
            nothing["model"] = choice.model
            if id == choice.model and id != choose_model(task.name).model:
                text += f"; {id} is {choice.reason}, or choose another model"
        if not task.paints:
            return {"size": _line(text), **nothing}
        canvas = thumbnail(image, _CANVAS)
        drawn = task.model_size(image) if task.paints == "map" else (height, width)
        pixel = max(canvas.shape) / max(drawn)
        return {"size": _line(text), "canvas": canvas, "pixel": pixel, "model": id}

    def damage(self, fields: Fields) -> Update:
        """Paint what is found to be damaged, for the visitor to correct before it is filled."""
        try:
            with memory_errors(_SMALLER):
                image = self._below(fields).rgb
                hole = find_damage(image)
        except Exception as error:
            return {"status": _error(error)}
        if not hole.any():
            return {"status": _line("No damage was found. Paint over what to fill.")}
        covered = thumbnail(hole, _CANVAS) > 0
        for layer in fields.layers:  # what is painted stays
            covered |= layer[..., 3] >= 128
        red = np.array(ImageColor.getcolor(RED, "RGBA"), np.uint8)
        painted = covered.astype(np.uint8)[..., None] * red
        value = {"background": thumbnail(image, _CANVAS), "layers": [painted], "composite": None}
        share = (painted_hole([painted], *hole.shape) > 0).mean()
        text = f"{share:.1%} of the image is painted. Correct it, then press Draw."
        return {"status": _line(text), "canvas": {"value": value}}

    def example(self, model: str) -> str:
        """The path of a bundled image that fits a model."""
        return str(example_path(self.models.tasks[model].example))

    def _read(self, fields: Fields) -> tuple[str, Decoded, Pixels | None]:
        task = self.models.tasks[fields.model]
        if task.paints == "map" and any(layer[..., 3].any() for layer in fields.layers):
            return "map.png", drawn_map(fields.layers, self._below(fields).rgb), None
        if fields.image is None:
            draw = "drop one, draw one" if task.paints == "map" else "drop one"
            raise CaflowError("there is no image", f"{draw}, or use the example")
        image = read_upload(Path(fields.image), self.limits, task)
        mask = painted_hole(fields.layers, *image.rgb.shape[:2]) if task.needs_mask else None
        return Path(fields.image).name, image, mask

    def _below(self, fields: Fields) -> Decoded:
        """What is painted on: the image, else a white one."""
        if fields.image is None:
            return Decoded(self.models.blank(fields.model), None, "")
        return read_upload(Path(fields.image), self.limits, self.models.tasks[fields.model])

    def _run(self, session: str, job: Job, count: int, keep: int) -> Iterator[Update]:
        first, start, shown = len(job.ranked), time.monotonic(), 0.0
        total, prefix, failed, compared = first + count, "", None, {"view": "Comparison"}
        try:
            self.limits.check_candidates(total)
            with memory_errors(_SMALLER):
                for drawn in job.draw(count, keep):
                    now = time.monotonic()
                    if drawn == first:
                        text = f"Drawing candidate {first + 1} of {total}"
                    elif now - shown < _EVERY or drawn == total:
                        continue
                    else:
                        left = (now - start) / (drawn - first) * (total - drawn)
                        text, shown = f"{drawn} of {total}, {left:.1f} s left", now
                    busy = {"status": _line(text), "end": {"interactive": True}}
                    yield {**busy, **job.shown(), **(compared if drawn == first + 1 else {})}
        except Stopped:
            prefix = "stopped: "
        except Exception as error:
            failed = _error(error)
        if self._jobs.get(session) is not job:
            return  # the visitor is gone, and so are the files of the job
        drawn = len(job.ranked)
        text = f"{prefix}{drawn} candidate{'s' * (drawn != 1)}, "
        text += f"{drawn - first} of them new in " if first else ""
        status = failed or _line(f"{text}{time.monotonic() - start:.1f} s")
        done = {"status": status, "end": {"interactive": False}, **job.shown(), **job.files()}
        yield {**done, **(compared if drawn == first + 1 else {})}


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
        hint = "this is a bug: start the app with CAFLOW_DEBUG=1, and report what it prints"
    return f'<p class="error" role="alert"><b>{html.escape(message)}</b><br>{html.escape(hint)}</p>'
