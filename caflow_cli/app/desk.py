"""All that the page can do, without the page."""

from __future__ import annotations

import html
import os
import shutil
import sys
import threading
import time
import traceback
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from ..assets import example_path
from ..errors import CaflowError
from ..images import Decoded
from ..inference import Score, score
from ..memory import is_out_of_memory, memory_errors
from ..tasks import Picture
from .given import Painting, blank, drawn_map, painted_hole, read_picture, sheet
from .limits import Limits
from .models import Models
from .work import Settings, Stopped, Work

__all__ = ["EXAMPLES", "Chosen", "Desk", "View"]

# A bundled picture for each task.
EXAMPLES = {"superres": "cat", "colorize": "cat_192", "inpaint": "cat_192", "paired": "shoe"}
_EVERY = 0.4  # seconds between two pictures of the page, at least
_SMALLER = "crop or shrink the picture first"


@dataclass(frozen=True, eq=False)
class Chosen:
    """One candidate, to be looked at and taken away."""

    before: Picture
    after: Picture
    text: str  # HTML
    file: str  # path of what the command would write


@dataclass(frozen=True, eq=False)
class View:
    """The parts of a work that the page shows."""

    status: str  # HTML
    candidates: list[tuple[str, str]] = field(default_factory=list)  # file, caption; by rank
    chosen: Chosen | None = None
    files: list[str] = field(default_factory=list)  # of the N best, and what was painted
    spread: str | None = None
    command: str = ""
    busy: bool = False  # more is to come


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
        self.leave(session)
        yield View(_line("Reading the picture and the model"), busy=True)
        try:
            with memory_errors(_SMALLER):
                work = self._begin(session, model, picture, painting, settings)
        except Exception as error:
            yield View(_error(error))
            return
        yield from self._show(work, work.wanted)

    def more(self, session: str, count: int | None) -> Iterator[View]:
        """Draw so many more candidates of the same picture; None: as many as at first."""
        work = self._works.get(session)
        if work is None:
            yield View(_error(CaflowError("nothing is drawn yet", "draw candidates first")))
            return
        work.go_on()
        yield from self._show(work, work.wanted if count is None else count)

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
        return _chosen(work, index)

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

    def describe(self, model: str, picture: str | None) -> tuple[str, Picture | None]:
        """Describe a picture, as HTML, and return the sheet to paint on, if there is one."""
        task = self.models.task(model)
        side = self.models.load(model).model.config.task.size if task == "paired" else 0
        if picture is None:
            return "", sheet(blank(side)) if task == "paired" else None
        try:
            image = self._read_picture(model, picture).rgb
        except Exception as error:
            return _error(error), None
        height, width = image.shape[:2]
        factor = self._factor(model)
        grown = f", the result {factor * width}×{factor * height}" if factor > 1 else ""
        painted = sheet(image) if task in ("inpaint", "paired") else None
        return _line(f"{width}×{height} pixels{grown}"), painted

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
        work = Work(loaded, name, given, mask, settings, folder)
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
                side = self.models.load(model).model.config.task.size
                return "map.png", drawn_map(painting, side, side), None
            below = self._read_picture(model, picture).rgb
            return "map.png", drawn_map(painting, below.shape[0], below.shape[1]), None
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
        return read_picture(Path(picture), self.limits, self._factor(model))

    def _factor(self, model: str) -> int:
        """How many times larger than its input a result is."""
        if self.models.task(model) != "superres":
            return 1
        return self.models.load(model).model.config.task.factor

    def _show(self, work: Work, count: int) -> Iterator[View]:
        total, start, shown = work.drawn + count, time.monotonic(), 0.0
        first, note = work.drawn, ""
        try:
            self.limits.check_candidates(total)
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
            yield self._done(work, _error(error))
            return
        if work not in self._works.values():
            return  # the visitor is gone, and the files of the work are, too
        took = _seconds(time.monotonic() - start)
        kind = f"{work.drawn} candidates" if work.drawn != 1 else "1 candidate"
        yield self._done(work, _line(f"{note}{kind}, {took}") + _warning(work))

    def _done(self, work: Work, status: str) -> View:
        if work.result is None:
            return View(status)
        return View(
            status,
            _captioned(work),
            _chosen(work, 0),
            [*(work.write(one) for one in work.result.kept), *work.write_given()],
            work.write_spread(),
            work.command,
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
    if work.result is None:
        return View(_line(text), busy=True)
    return View(_line(text), _captioned(work), _chosen(work, 0), busy=True)


def _captioned(work: Work) -> list[tuple[str, str]]:
    assert work.result is not None
    return [(work.small(one), f"#{one.rank}: {one.score.summary}") for one in work.result.ranked]


def _chosen(work: Work, index: int) -> Chosen:
    assert work.result is not None
    candidate = work.result.ranked[index]
    text = (
        f"Candidate #{candidate.rank} of {work.drawn}: {candidate.score.summary}. "
        f"Seed {candidate.seed}, τ {work.result.tau}"
    )
    return Chosen(*work.before_after(candidate), _line(text), work.write(candidate))


def _warning(work: Work) -> str:
    id_, harm = work.loaded.id, work.loaded.harm
    if harm is not None and (warning := harm.warning(work.harm, id_)):
        return _line(f"Warning: {warning}")
    domain, result = work.loaded.domain, work.result
    if harm is not None or domain is None or result is None:
        return ""
    if not domain.is_far(result.statistics):
        return ""
    return _line(f"Warning: this picture is unlike those that {work.loaded.id} learned from")


def _seconds(value: float) -> str:
    if value < 10:
        return f"{value:.1f} s"
    return f"{value:.0f} s" if value < 120 else f"{value / 60:.0f} min"


def _line(text: str) -> str:
    return f"<p>{html.escape(text)}</p>"


def _error(error: Exception) -> str:
    """Say what is wrong and what to do, as HTML."""
    if isinstance(error, CaflowError):
        message, hint = error.message, error.hint
    elif is_out_of_memory(error):
        message, hint = "not enough memory", _SMALLER
    else:
        if os.environ.get("CAFLOW_DEBUG") == "1":
            traceback.print_exception(error, file=sys.stderr)
        message = f"{type(error).__name__}: {error}"
        hint = "this is a defect: start the app with CAFLOW_DEBUG=1, and report what it prints"
    return f'<p class="error" role="alert"><b>{html.escape(message)}</b><br>{html.escape(hint)}</p>'
