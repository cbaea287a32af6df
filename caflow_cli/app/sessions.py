"""What the page does, as functions without Gradio: one `Visit` for each visitor."""

import functools
import html
import os
import re
import shutil
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from ..assets import example_path
from ..damage import confidence_of, snapped
from ..damage.find import marks
from ..errors import CaflowError, check_usage, ensure, memory_errors
from ..hub.choice import choose_model, is_chosen
from ..hub.manifest import bundled_path, load_manifest, purpose_of
from ..hub.resolve import load, resolve
from ..images import Input, Pixels, read_size
from ..images.color import Floats
from ..model import CAFlow
from ..restoration import marks_over
from ..sampling import Sampling
from ..tasks import TASKS, get_task
from .inputs import (
    COLOR_CANVAS,
    Fields,
    Limits,
    Marks,
    displayed,
    painted_colors,
    read_upload,
    shrunk,
)
from .visit import Update, Visit, VisitorStopped

_MASK_CANVAS = 2048  # longer side of the canvas of a mask, in pixels, at most
_PAUSE = 0.4  # seconds between two updates of the page, at least
_SMALLER = "crop or shrink the image first"
# The page's fields, which errors of the command name by their options.
_FIELDS = {"--tau": "temperature", "-m": "candidates", "-n": "keep", "--seed": "seed"}


class Models:
    """The models of images: those that are named, then the bundled ones, the tasks' defaults first.

    A visitor chooses among them by id. Names of other files and repositories are refused, so that
    no visitor reads files of the server or makes it download. `tasks` and `load` are by id; a
    model is loaded once.
    """

    def __init__(self, named: Sequence[str], device: torch.device) -> None:
        bundled = [entry for entry in load_manifest().values() if bundled_path(entry) is not None]
        bundled.sort(key=lambda entry: (not entry.default, list(TASKS).index(entry.task)))
        resolved = [resolve(name) for name in [*named, *(entry.id for entry in bundled)]]
        files = {file.id: file for file in reversed(resolved)}
        configs = {file.id: files[file.id].info.config for file in resolved}
        of_fields = {id for id, config in configs.items() if config.task.values is not None}
        refused = sorted(of_fields - {entry.id for entry in bundled})
        check_usage(
            not refused,
            f"{', '.join(refused)}: a model of measured fields, which the page does not show",
            "caflow superres coarse.tif --model MODEL",
        )
        self._configs = {id: config for id, config in configs.items() if id not in of_fields}
        self.tasks = {id: get_task(config) for id, config in self._configs.items()}
        self.load: Callable[[str], CAFlow] = functools.cache(lambda id: load(files[id]).to(device))

    def of_tasks(self) -> dict[str, list[tuple[str, str]]]:
        """The models of each task that has one, in the order of `TASKS`: the id with what the model
        is for, and the id."""
        found: dict[str, list[tuple[str, str]]] = {name: [] for name in TASKS}
        for id, task in self.tasks.items():
            use = purpose_of(id)
            found[task.name].append((f"{id}: {use}" if use else id, id))
        return {name: models for name, models in found.items() if models}

    def sampling(self, id: str) -> Sampling:
        """How a model draws if nothing is chosen."""
        return Sampling().of(self._configs[id])


class Sessions:
    """The visits, each known by the name of its session, with files in a folder.

    Errors are shown in the status; the traceback of a defect goes to stderr if CAFLOW_DEBUG is 1.
    """

    def __init__(
        self,
        models: Models,
        limits: Limits,
        folder: Path,
    ) -> None:
        self.models = models
        self.limits = limits
        self._folder = folder
        self._visits: dict[str, Visit] = {}  # by session, the oldest first
        # The network that finds damage runs once for an image.
        self._levels = functools.lru_cache(limits.visitors)(self._levels_of)

    def draw(self, session: str, fields: Fields) -> Iterator[Update]:
        """Draw candidates. What was drawn before stays if the image or the fields are refused."""
        yield {"status": _line("Reading the image and the model")}
        try:
            with memory_errors(_SMALLER):
                model = self.models.load(fields.model)
                sampling = fields.sampling.of(model.config)
                self.limits.check_candidates(sampling.candidates)
                image, painted = self._read(fields)
                folder = Path(tempfile.mkdtemp(dir=self._folder))
                visit = Visit(model, fields, image, painted, sampling, folder)
        except Exception as error:
            yield {"status": _error(error)}
            return
        self.leave(session)
        while len(self._visits) >= self.limits.visitors:
            self.leave(next(iter(self._visits)))
        self._visits[session] = visit
        yield from self._run(session, visit, sampling.candidates or 1, sampling.keep or 1)

    def more(self, session: str, fields: Fields) -> Iterator[Update]:
        """Draw more of what is shown. Of the fields, only the numbers of candidates count."""
        visit = self._visits.get(session)
        if visit is None:
            yield {"status": _error(CaflowError("nothing has been drawn yet", "press Draw first"))}
            return
        default = self.models.sampling(visit.id).candidates or 1
        count = default if fields.candidates is None else fields.candidates
        yield from self._run(session, visit, count, fields.kept)

    def stop(self, session: str) -> None:
        """Stop the drawing of a visitor. What is drawn stays, and more can be drawn."""
        if visit := self._visits.get(session):
            visit.stop()

    def leave(self, session: str) -> None:
        """Forget a visitor: stop drawing, and remove their files."""
        if visit := self._visits.pop(session, None):
            visit.stop()
            shutil.rmtree(visit.folder, ignore_errors=True)

    def close(self) -> None:
        """Stop all drawing, and forget the visitors."""
        for session in list(self._visits):
            self.leave(session)

    def choose(self, session: str, index: int) -> Update:
        """Show the candidate at an index of the gallery."""
        visit = self._visits.get(session)
        if visit is None or not 0 <= index < len(visit.ranked):
            return {}
        visit.chosen = visit.ranked[index].k
        return {"view": "Comparison", **visit.choice()}

    def preview(self, session: str, fields: Fields) -> Update:
        """Show the chosen candidate with the colors that are painted now, without drawing."""
        visit = self._visits.get(session)
        if visit is None or visit.task.paints != "colors" or visit.upload != fields.image:
            return {}
        return visit.preview(fields.layers) if visit.ranked else {}

    def compare(self, session: str, fields: Fields) -> Update:
        """Say whether the fields have changed since the candidates that are shown were drawn."""
        visit = self._visits.get(session)
        if visit is None:
            return {}
        drawn = visit.fields
        visit.outdated = (fields.image, fields.model) != (visit.upload, drawn.model)
        visit.outdated |= (fields.tau, fields.seed or 0) != (drawn.tau, drawn.sampling.seed)
        if not visit.outdated:
            painted = self._painted(fields, *visit.image.image.size)
            visit.outdated = not np.array_equal(np.array(painted), np.array(visit.painted))
        return {"title": visit.title()}

    def describe(self, fields: Fields) -> Update:
        """State the size of an image, and make the canvas if the task takes what is painted.

        Returns:
            `status` and `size`, HTML; `canvas`, uint8 or None; `scaled`, whether it is smaller than
            the image; `model`, the id to choose for the image; `image`, the path of what is shown
            of it, or None if it cannot be read.
        """
        about: Update = {
            "status": _line("Add an image, then press Draw."),
            "size": "",
            "canvas": None,
            "scaled": False,
            "model": fields.model,
            "image": None,
        }
        if fields.image is None:
            return about
        try:
            with memory_errors(_SMALLER):
                read_size(Path(fields.image), Path(fields.image).name)
                about["image"] = fields.image
                image = self._image(fields)
                about["image"] = displayed(fields.image, image)
        except Exception as error:
            return {**about, "status": _error(error)}
        return about | self._described(image, fields.model)

    def _described(self, decoded: Input, id: str) -> Update:
        """Size, canvas and model of an image, for the chosen model."""
        about: Update = {}
        task = self.models.tasks[id]
        image = decoded.image.shown
        height, width = image.shape[:2]
        text = f"{width}×{height} pixels"
        if task.factor > 1:
            text += f", the result {task.factor * width}×{task.factor * height}"
        if id in load_manifest() and is_chosen(task.name, id):
            choice = choose_model(decoded, task.name)
            about["model"] = choice.model
            if id == choice.model and id != choose_model(task=task.name).model:
                text += f"; {id} is {choice.reason}, other models are under More"
        status = "Press Draw."
        side = 0
        if task.paints == "hole":
            status = "Paint the hole, a little beyond the object; then press Draw."
            side = _MASK_CANVAS
        elif task.paints == "colors":
            status = "Paint colors that you know, if any; then press Draw."
            side = COLOR_CANVAS
        if side:
            about["canvas"] = shrunk(image, side)
            about["scaled"] = max(image.shape) > side
        return {**about, "status": _line(status), "size": _line(text)}

    def find_damage(self, fields: Fields) -> Update:
        """Let the network look for damage. `damage` is the path of the image; None: it failed."""
        try:
            with memory_errors(_SMALLER):
                self._levels(fields.image, fields.model)
        except Exception as error:
            return {"status": _error(error), "damage": None}
        return {"status": _line("Painting the damage"), "damage": fields.image}

    def paint_damage(self, fields: Fields, damage: str | None, threshold: float) -> Update:
        """Mark what `find_damage` has found, for the visitor to correct before it is filled. If the
        image in the fields is another one by now, nothing changes.
        """
        if damage is None:
            return {}
        if fields.image != damage or self.models.tasks[fields.model].paints != "hole":
            text = "The image has changed: press Find damage again."
            return {"status": _line(text)}
        return {**self.mark(fields, damage, threshold), "threshold": {"visible": True}}

    def mark(self, fields: Fields, damage: str | None, threshold: float) -> Update:
        """Show what would be filled: the damage of which the network is confident by `threshold`,
        if this is the image `damage`, and what is painted and erased by hand.

        All of it becomes part of the image that the canvas shows, because a layer that is sent to
        Gradio's editor does not lie on the image.
        """
        try:
            with memory_errors(_SMALLER):
                image = self._image(fields).image
                found = np.zeros(image.size, np.uint8)
                if fields.image == damage:
                    found = marks(self._levels(fields.image, fields.model), threshold)
                now = Marks(str(fields.image), found, fields.hand(*image.size))
                mask = self._hole(replace(fields, layers=(), marks=now), *image.size)
                background = marks_over(image.shown, mask, _MASK_CANVAS)
        except Exception as error:
            return {"status": _error(error)}
        text = "Nothing is marked. Paint over what to fill; a lower threshold shows doubtful marks."
        if mask.any():
            text = f"{(mask > 0).mean():.1%} of the image is marked. Paint over what is missed, "
            text += "erase what is no damage; then press Draw."
        return {"status": _line(text), "canvas": {"value": background}, "marks": now}

    def example(self, model: str) -> str:
        """The path of a bundled image that fits a model."""
        return str(example_path(self.models.tasks[model].example))

    def _read(self, fields: Fields) -> tuple[Input, Pixels | None]:
        """The image, and what is painted on it."""
        image = self._image(fields)
        height, width = image.image.size
        painted = self._painted(fields, height, width)
        if self.models.tasks[fields.model].paints == "hole":
            ensure(bool(np.any(painted)), "there is no hole to fill", "paint over the area to fill")
        return image, painted

    def _painted(self, fields: Fields, height: int, width: int) -> Pixels | None:
        paints = self.models.tasks[fields.model].paints
        if paints == "hole":
            return self._hole(fields, height, width)
        if paints == "colors":
            return painted_colors(fields.layers, height, width)
        return None

    def _hole(self, fields: Fields, height: int, width: int) -> Pixels:
        """What is to be filled: uint8 (H, W), 255 or 0."""
        hand = fields.hand(height, width)
        hole = np.where(hand == 255, hand, np.uint8(0))
        if fields.snap and hole.any():
            hole = snapped(hole, self._levels(fields.image, fields.model))
        if fields.marked is not None:
            hole = np.maximum(hole, fields.marked.found)
        return np.where(hand == 0, np.uint8(0), hole)

    def _levels_of(self, path: str | None, model: str) -> Floats:
        """The confidence of the network that finds damage in an image, (H, W)."""
        return confidence_of(self._image(Fields(model, path)).image)

    def _image(self, fields: Fields) -> Input:
        if fields.image is None:
            raise CaflowError("there is no image", "drop one, or use the example")
        return read_upload(Path(fields.image), self.limits, self.models.tasks[fields.model])

    def _run(self, session: str, visit: Visit, count: int, keep: int) -> Iterator[Update]:
        for other in self._visits.values():
            if other is not visit:
                other.forget_conditions()
        first = len(visit.ranked)
        start = time.monotonic()
        prefix = ""
        failed = None
        try:
            self.limits.check_candidates(first + count)
            with memory_errors(_SMALLER):
                yield from _progress(visit, count, keep, start)
        except VisitorStopped:
            prefix = "stopped: "
        except Exception as error:
            failed = _error(error)
        if self._visits.get(session) is not visit:
            return  # the visitor is gone, and so are their files
        drawn = len(visit.ranked)
        text = f"{prefix}{drawn} candidate{'s' * (drawn != 1)}, "
        text += f"{drawn - first} of them new in " if first else ""
        status = failed or _line(f"{text}{time.monotonic() - start:.1f} s")
        update = {"status": status, "end": {"interactive": False}, **visit.shown(), **visit.files()}
        if drawn == first + 1:
            update["view"] = "Comparison"
        yield update


def _progress(visit: Visit, count: int, keep: int, start: float) -> Iterator[Update]:
    """Draw, and show at times how far it is."""
    first = len(visit.ranked)
    total = first + count
    shown = 0.0
    for drawn in visit.draw(count, keep):
        now = time.monotonic()
        if drawn == first:
            text = f"Drawing candidate {first + 1} of {total}"
        elif now - shown < _PAUSE or drawn == total:
            continue
        else:
            left = (now - start) / (drawn - first) * (total - drawn)
            text = f"{drawn} of {total}, {left:.1f} s left"
            shown = now
        update = {"status": _line(text), "end": {"interactive": True}, **visit.shown()}
        if drawn == first + 1:
            update["view"] = "Comparison"
        yield update


def _line(text: str) -> str:
    return f"<p>{html.escape(text)}</p>"


def _error(error: Exception) -> str:
    """Say what is wrong and what to do, as HTML, with fields in place of options."""
    if isinstance(error, CaflowError):
        message = error.message
        hint = error.hint
        for option, name in _FIELDS.items():
            hint = re.sub(rf"(?<![\w-]){option} (?=[\d.])", f"{name} = ", hint)
            hint = re.sub(rf"(?<![\w-]){option}(?![\w-])", name, hint)
    else:
        if os.environ.get("CAFLOW_DEBUG") == "1":
            traceback.print_exception(error, file=sys.stderr)
        message = f"{type(error).__name__}: {error}"
        hint = "this is a bug: start the app with CAFLOW_DEBUG=1, and report what it prints"
    return f'<p class="error" role="alert"><b>{html.escape(message)}</b><br>{html.escape(hint)}</p>'
