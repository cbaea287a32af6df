"""All that the page can do, without the page."""

from __future__ import annotations

import html
import os
import re
import shutil
import sys
import threading
import time
import traceback
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from ..assets import example_path
from ..errors import CaflowError
from ..images import Decoded
from ..inference import Score, score, task_of
from ..memory import is_out_of_memory, memory_errors
from ..tasks import Picture
from .given import Painting, blank, drawn_map, painted_hole, read_picture, sheet
from .limits import Limits
from .models import Models
from .work import PAINTED, Settings, Stopped, Work

__all__ = ["EXAMPLES", "Chosen", "Desk", "Given", "View"]

# A bundled picture for each task.
EXAMPLES = {"superres": "cat", "colorize": "cat_192", "inpaint": "cat_192", "paired": "map"}
_EVERY = 0.4  # seconds between two pictures of the page, at least
_SMALLER = "crop or shrink the picture first"
_FIELDS = {"--tau": "τ", "-m": "M", "-n": "N", "--seed": "Seed"}  # which the options are


@dataclass(frozen=True, eq=False)
class Chosen:
    """One candidate, to be looked at and taken away."""

    before: Picture
    after: Picture
    text: str  # HTML
    file: str  # path of what the command would write


@dataclass(frozen=True, eq=False)
class Given:
    """The picture that was given, as the page describes it and shows it to paint on."""

    text: str = ""  # HTML
    sheet: Picture | None = None
    pixel: float = 1.0  # side of a pixel that the model draws, in pixels of the sheet


@dataclass(frozen=True, eq=False)
class View:
    """The parts of a work that the page shows."""

    status: str  # HTML
    title: str = ""  # HTML: what the candidates are of, and what is to be known of that
    candidates: list[tuple[str, str]] = field(default_factory=list)  # file, caption; by rank
    chosen: Chosen | None = None
    files: list[str] = field(default_factory=list)  # of the N best
    painted: list[str] = field(default_factory=list)  # the hole, or the map
    spread: str | None = None
    spread_text: str = ""  # HTML
    command: str = ""
    busy: bool = False  # more is to come
    may_go_on: bool = False  # more can be drawn of what is shown
    stays: bool = False  # all but the status is as it was


class Desk:
    """The work of all visitors, each known by a name of their session.

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
        self._works: dict[str, Work] = {}  # by session, the oldest first
        self._lock = threading.Lock()

    def draw(
        self,
        session: str,
        model: str,
        picture: str | None,
        painting: Painting,
        settings: Settings,
    ) -> Iterator[View]:
        """Draw the candidates of a picture, and show them as they come.

        Args:
            session: The visitor's.
            model: An id that is offered.
            picture: Path of the picture; None: none was given.
            painting: What was painted: the hole, or the map.
            settings: How to draw.
        """
        yield View(_line("Reading the picture and the model"), busy=True, stays=True)
        try:
            with memory_errors(_SMALLER):
                work = self._begin(session, model, picture, painting, settings)
        except Exception as error:  # what was drawn before is still there
            yield View(_error(error), stays=True)
            return
        yield from self._show(work, work.wanted)

    def more(
        self, session: str, model: str, picture: str | None, settings: Settings
    ) -> Iterator[View]:
        """Draw M more candidates of what is shown; refused if a choice is another one since.

        Args:
            session, model, picture: As for `draw`.
            settings: M says how many, None: as many as at first; N how many are kept of them all.
        """
        work = self._works.get(session)
        try:
            if work is None:
                raise CaflowError("nothing is drawn yet", "draw candidates first")
            work.compare(model, picture, settings)
            if work.changed:
                raise CaflowError(_changed(work), "press Draw, which begins anew")
            sampling = settings.sampling
            count = work.wanted if sampling.candidates is None else sampling.candidates
            self.limits.check_candidates(work.drawn + count)
            work.go_on(count, sampling.keep)
        except Exception as error:
            yield View(_error(error), stays=True)
            return
        yield from self._show(work, count)

    def compare(
        self, session: str, model: str, picture: str | None, settings: Settings
    ) -> View | None:
        """Compare the choices with those of what is shown, and say so in its title.

        Args:
            session, model, picture, settings: As for `more`.

        Returns:
            A view of which only `title` and `may_go_on` count; None: nothing is drawn.
        """
        work = self._works.get(session)
        if work is None:
            return None
        work.compare(model, picture, settings)
        return View("", _title(work), may_go_on=_may_go_on(work))

    def stop(self, session: str) -> None:
        """Stop the drawing of a visitor. What is drawn stays, and more can be drawn."""
        work = self._works.get(session)
        if work is not None:
            work.stop()

    def leave(self, session: str) -> None:
        """Stop the work of a visitor, and forget it."""
        with self._lock:
            work = self._works.pop(session, None)
        if work is not None:
            work.stop()
            shutil.rmtree(work.folder, ignore_errors=True)

    def close(self) -> None:
        """Stop all work, and forget it."""
        for session in list(self._works):
            self.leave(session)

    def choose(self, session: str, index: int) -> Chosen | None:
        """The candidate at a place of the row, from 0; None where there is none."""
        work = self._works.get(session)
        if work is None or work.result is None or not 0 <= index < work.drawn:
            return None
        work.looked_at = work.result.ranked[index].k
        return _chosen(work)

    def score(
        self,
        session: str,
        model: str,
        picture: str | None,
        painting: Painting,
        target: str | None,
    ) -> str:
        """Score a picture that was given, under the input and the model. Returns HTML."""
        try:
            if target is None:
                raise CaflowError("there is no picture to score", "drop one into its field")
            loaded = self.models.load(model)
            _, given, mask = self._read(model, picture, painting)
            truth = read_picture(Path(target), self.limits)
            with memory_errors("crop both pictures"):
                found = score(loaded.model, loaded.as_seen(given), truth.rgb, mask)
        except Exception as error:
            return _error(error)
        return _line(f"{found.summary}, under {loaded.id}{self._among(session, model, found)}")

    def describe(self, model: str, picture: str | None) -> Given:
        """Describe a picture, and make the sheet to paint on, if the model takes what is painted.

        Args:
            model, picture: As for `draw`.
        """
        task = self.models.task(model)
        if picture is None and task == "paired":
            side = self._side(model)
            below = sheet(blank(side))
            return Given(_line(f"The result has {side}×{side} pixels"), below, len(below) / side)
        if picture is None:
            return Given()
        try:
            image = self._read_picture(model, picture).rgb
        except Exception as error:
            return Given(_error(error))
        height, width = image.shape[:2]
        factor = self._factor(model)
        drawn = factor * height, factor * width
        if task == "paired":
            drawn = self._drawn(model, image)
        other = f", the result {drawn[1]}×{drawn[0]}" if drawn != (height, width) else ""
        text = _line(f"{width}×{height} pixels{other}")
        if task not in PAINTED:
            return Given(text)
        below = sheet(image)
        return Given(text, below, max(below.shape) / max(drawn))

    def example(self, model: str) -> str:
        """The path of a bundled picture that fits a model."""
        return str(example_path(EXAMPLES[self.models.task(model)]))

    def _begin(
        self,
        session: str,
        model: str,
        picture: str | None,
        painting: Painting,
        settings: Settings,
    ) -> Work:
        loaded = self.models.load(model)
        sampling = settings.sampling.of(loaded.model.config)
        assert sampling.candidates is not None
        self.limits.check_candidates(sampling.candidates)
        name, given, mask = self._read(model, picture, painting)
        with self._lock:
            self._count += 1
            folder = self._folder / f"work_{self._count}"
        work = Work(loaded, name, given, mask, settings, folder, picture)
        self.leave(session)
        while len(self._works) >= self.limits.works:
            self.leave(next(iter(self._works)))
        with self._lock:
            self._works[session] = work
        return work

    def _read(
        self, model: str, picture: str | None, painting: Painting
    ) -> tuple[str, Decoded, Picture | None]:
        """Name and input of a work, and its mask."""
        task = self.models.task(model)
        if task == "paired" and not painting.is_empty:
            if picture is None:
                below = blank(self._side(model))
            else:
                below = self._read_picture(model, picture).rgb
            return "map.png", drawn_map(painting, below), None
        if picture is None:
            hint = (
                "drop one, draw one, or take the example"
                if task == "paired"
                else ("drop one, or take the example")
            )
            raise CaflowError("there is no picture", hint)
        given = self._read_picture(model, picture)
        mask = None
        if task == "inpaint":
            mask = painted_hole(painting, given.rgb.shape[0], given.rgb.shape[1])
        return Path(picture).name, given, mask

    def _read_picture(self, model: str, picture: str) -> Decoded:
        read = read_picture(Path(picture), self.limits, self._factor(model))
        if self.models.task(model) in ("colorize", "paired"):  # which may enlarge a long picture
            height, width = read.rgb.shape[:2]
            drawn = self._drawn(model, read.rgb)
            self.limits.check_pixels((height, width), drawn, Path(picture).name)
        return read

    def _drawn(self, model: str, image: Picture) -> tuple[int, int]:
        """Height and width of what a model draws, without padding if it translates pictures."""
        task = task_of(self.models.load(model).model)
        size = task.model_size(image)
        if task.name != "paired":
            return size
        empty = np.broadcast_to(np.uint8(0), (*size, 3))  # which takes no memory
        height, width = task.compose(image, empty).shape[:2]
        return height, width

    def _side(self, model: str) -> int:
        """The shorter side of what a model draws, in pixels."""
        return self.models.load(model).model.config.task.size

    def _factor(self, model: str) -> int:
        """How many times larger than its input a result is."""
        if self.models.task(model) != "superres":
            return 1
        return self.models.load(model).model.config.task.factor

    def _show(self, work: Work, count: int) -> Iterator[View]:
        total, start, shown = work.drawn + count, time.monotonic(), 0.0
        first, note, failed = work.drawn, "", ""
        work.busy = True
        try:
            yield _drawing(work, f"Drawing candidate {first + 1} of {total}")
            with memory_errors(_SMALLER):
                for _ in work.draw(count):
                    now = time.monotonic()
                    if now - shown < _EVERY or work.drawn == total:
                        continue
                    shown = now
                    left = (now - start) / (work.drawn - first) * (total - work.drawn)
                    yield _drawing(work, f"{work.drawn} of {total}, {_seconds(left)} left")
        except Stopped:
            note = "stopped: "
        except Exception as error:
            failed = _error(error)
        finally:
            work.busy = False
        if work not in self._works.values():
            return  # the visitor is gone, and the files of the work are, too
        if failed:
            yield self._done(work, failed)
            return
        took = _seconds(time.monotonic() - start)
        kind = f"{work.drawn} candidates" if work.drawn != 1 else "1 candidate"
        if first:
            took = f"{work.drawn - first} of them new in {took}"
        yield self._done(work, _line(f"{note}{kind}, {took}"))

    def _done(self, work: Work, status: str) -> View:
        if work.result is None:
            return View(status, _title(work))
        spread, lines = work.write_spread() or (None, [])
        return View(
            status,
            _title(work),
            _captioned(work),
            _chosen(work),
            [work.write(one) for one in work.result.kept],
            work.write_given(),
            spread,
            "".join(map(_line, lines)),
            work.command,
            may_go_on=_may_go_on(work),
        )

    def _among(self, session: str, model: str, found: Score) -> str:
        """Where a score stands among the candidates that are drawn; nothing if there are none."""
        work = self._works.get(session)
        if work is None or work.result is None or work.loaded.id != model:
            return ""
        scores = [one.score.rank_score for one in work.result.ranked]
        likelier = sum(value > found.rank_score for value in scores)
        return f"; {likelier} of the {len(scores)} candidates drawn last are likelier"


def _drawing(work: Work, text: str) -> View:
    status, title = _line(text), _title(work)
    if work.result is None:
        return View(status, title, busy=True)
    return View(status, title, _captioned(work), _chosen(work), busy=True)


def _may_go_on(work: Work) -> bool:
    return not (work.busy or work.changed or work.result is None)


def _title(work: Work) -> str:
    """Say what candidates are of, whether choices are others by now, and notes of the input."""
    first = _line(work.title)
    if work.changed:
        text = f"{_changed(work)}: these are of {work.title}. Draw begins anew."
        first = _line(text, "stale")
    notes = [*work.notes, *work.late_notes]
    return first + "".join(_line(f"{note[0].upper()}{note[1:]}", "note") for note in notes)


def _changed(work: Work) -> str:
    names = " and ".join(filter(None, [", ".join(work.changed[:-1]), work.changed[-1]]))
    verb = "has" if len(work.changed) == 1 else "have"
    return f"{names} {verb} changed since".replace("the ", "The ", 1)


def _captioned(work: Work) -> list[tuple[str, str]]:
    assert work.result is not None
    return [(work.small(one), f"#{one.rank}: {one.score.summary}") for one in work.result.ranked]


def _chosen(work: Work) -> Chosen:
    """The candidate that was chosen, at whatever rank it is by now, or else the first."""
    assert work.result is not None
    ranked = work.result.ranked
    candidate = next((one for one in ranked if one.k == work.looked_at), ranked[0])
    text = (
        f"Candidate #{candidate.rank} of {work.drawn}: {candidate.score.summary}. "
        f"Seed {candidate.seed}, τ {work.result.tau}"
    )
    sides = f'<p class="sides"><span>◀ input</span><span>candidate #{candidate.rank} ▶</span></p>'
    return Chosen(*work.before_after(candidate), sides + _line(text), work.write(candidate))


def _seconds(value: float) -> str:
    if value < 10:
        return f"{value:.1f} s"
    return f"{value:.0f} s" if value < 120 else f"{value / 60:.0f} min"


def _line(text: str, kind: str = "") -> str:
    named = f' class="{kind}"' if kind else ""
    return f"<p{named}>{html.escape(text)}</p>"


def _in_fields(text: str) -> str:
    """A text of the command line in the words of the page: fields in place of options."""
    for option, name in _FIELDS.items():
        text = re.sub(rf"(?<![\w-]){option} (?=[\d.])", f"{name} = ", text)
        text = re.sub(rf"(?<![\w-]){option}(?![\w-])", name, text)
    return re.sub(r"(\d) N = ", r"\1, N = ", text)


def _error(error: Exception) -> str:
    """Say what is wrong and what to do, as HTML."""
    if isinstance(error, CaflowError):
        message, hint = error.message, _in_fields(error.hint)
    elif is_out_of_memory(error):
        message, hint = "not enough memory", _SMALLER
    else:
        if os.environ.get("CAFLOW_DEBUG") == "1":
            traceback.print_exception(error, file=sys.stderr)
        message = f"{type(error).__name__}: {error}"
        hint = "this is a defect: start the app with CAFLOW_DEBUG=1, and report what it prints"
    return f'<p class="error" role="alert"><b>{html.escape(message)}</b><br>{html.escape(hint)}</p>'
