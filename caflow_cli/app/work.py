"""One picture of one visitor: its candidates so far, and what is made of them."""

from __future__ import annotations

import shlex
import threading
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TypeVar

import numpy as np
from PIL import Image

from ..errors import EXIT_USAGE, CaflowError
from ..images import Decoded, Encoder, write_png
from ..inference import Candidate, Candidates, Drawing, task_of
from ..inference.charts import spread_map
from ..inference.loaded_model import LoadedModel
from ..inference.written import provenance, written
from ..sampling import SEEDS, Sampling
from ..tasks import Picture
from ..tasks.base import as_read, resize
from ..tasks.picture_notes import picture_note

__all__ = ["COMMANDS", "PAINTED", "Settings", "Stopped", "Work", "view"]

COMMANDS = {"superres": "superres", "colorize": "colorize", "inpaint": "inpaint"}  # else `sample`
PAINTED = ("inpaint", "paired")  # tasks whose input may be painted
_VIEW = 512, 1024  # pixels of the longer side of a shown picture, at least and at most
_SMALL = 256  # of one in the row of candidates
_PNG = Encoder("png")
_WHOLE = 2**53  # from here on the browser rounds a number


class Stopped(Exception):
    """The visitor has stopped the work, or is gone."""


@dataclass(frozen=True)
class Settings:
    """The values of the fields τ, M, N and Seed; None: the field is empty.

    `paintings` counts how often something was painted, or a new sheet shown.
    """

    tau: str | None = None
    candidates: float | None = None
    keep: float | None = None
    seed: float | None = None
    paintings: int = 0

    @property
    def sampling(self) -> Sampling:
        """The options that they mean.

        Raises:
            CaflowError: M, N or Seed is no whole number. All else `Sampling.of` checks.
        """
        return Sampling(
            tau=self.tau,
            candidates=_whole("M", self.candidates, None),
            keep=_whole("N", self.keep, 1),
            seed=_whole("Seed", self.seed, 0),
        )


_T = TypeVar("_T")


def _whole(name: str, value: float | None, empty: _T) -> int | _T:
    """A field as a whole number; `empty` if nothing stands in it."""
    if value is None:
        return empty
    if abs(value) >= _WHOLE:  # and is not what was typed
        raise CaflowError(
            f"{name} has too many digits", f"{name} = 1, or any below {SEEDS}", EXIT_USAGE
        )
    if value != int(value):
        raise CaflowError(
            f"{name} is {value:g}, which is no whole number", f"{name} = {round(value)}", EXIT_USAGE
        )
    return int(value)


class Work:
    """A picture with its candidates.

    Args:
        loaded: The model.
        name: Name of the picture's file.
        picture: The input.
        mask: uint8 (H, W), for a hole.
        settings: How candidates are drawn.
        folder: Where its files go; it is made.
        source: The picture's file; None: all of it was drawn.

    Attributes:
        result: Of what is drawn; None: nothing is.
        keep: N.
        looked_at: The k of the candidate that was chosen; None: the first by rank.
        busy: Whether it is being drawn.
        changed: Names of what is not as it was when the work began.

    Raises:
        CaflowError: As for `restore`.
    """

    def __init__(
        self,
        loaded: LoadedModel,
        name: str,
        picture: Decoded,
        mask: Picture | None,
        settings: Settings,
        folder: Path,
        source: str | None = None,
    ) -> None:
        self.loaded, self.name, self.picture, self.mask = loaded, name, picture, mask
        self.folder, self._source = folder, source
        self._stop = threading.Event()
        self._image = loaded.as_seen(picture)
        self._drawing = Drawing(
            loaded.model, self._image, settings.sampling, mask, self._stop_if_told
        )
        self._small: dict[int, str] = {}  # files of the row of candidates, by k
        self.result: Candidates | None = None
        self.keep = self._drawing.sampling.keep
        self.looked_at: int | None = None
        self.busy = False
        self.changed: list[str] = []
        self._paintings = settings.paintings
        folder.mkdir(parents=True, exist_ok=True)

    @property
    def wanted(self) -> int:
        """M, that of the model if none was chosen."""
        assert self._drawing.sampling.candidates is not None
        return self._drawing.sampling.candidates

    @property
    def drawn(self) -> int:
        """How many candidates there are."""
        return 0 if self.result is None else len(self.result.ranked)

    @property
    def command(self) -> str:
        """The command line that writes the same files."""
        sampling, command = self._drawing.sampling, COMMANDS.get(self.loaded.task, "sample")
        words = ["caflow", command, *(["--cond"] if command == "sample" else [])]
        words += [
            shlex.quote(self.name),
            *(["--mask", "hole.png"] if self.mask is not None else []),
        ]
        words += ["--model", shlex.quote(self.loaded.id), "--tau", str(sampling.temperature)]
        words += ["-m", str(max(self.drawn, 1)), "-n", str(min(self.keep, max(self.drawn, 1)))]
        words += ["--seed", str(sampling.seed)]
        return " ".join(words)

    def draw(self, count: int | None = None) -> Iterator[Candidates]:
        """Draw candidates, the next ones; yield all there are, ranked, behind each.

        Args:
            count: How many; None: M.

        Raises:
            CaflowError: As for `Drawing.draw`.
            Stopped: `stop` was called; what is drawn stays.
        """
        self._stop_if_told()
        for _ in self._drawing.draw(count):
            self.result = replace(self._drawing.result(), keep=self.keep)
            yield self.result
            self._stop_if_told()

    def stop(self) -> None:
        """End the drawing in another thread, behind the pass of the model that it is at."""
        self._stop.set()

    def go_on(self, count: int, keep: int) -> None:
        """Let more be drawn, behind a stop, too.

        Args:
            count: How many.
            keep: N from now on, of all candidates.

        Raises:
            CaflowError: (exit 2) as for `Sampling.check`, of the candidates altogether.
        """
        sampling, altogether = self._drawing.sampling, self.drawn + count
        replace(sampling, candidates=count, keep=1).check()
        if keep > altogether:  # here M says how many are new, so that only N can be another
            message = f"cannot keep {keep} of {altogether} candidates"
            raise CaflowError(message, f"N = {altogether}", EXIT_USAGE)
        replace(sampling, candidates=altogether, keep=keep).check()
        self.keep = keep
        if self.result is not None:  # which stays if it is stopped before the next candidate
            self.result = replace(self.result, keep=keep)
        self._stop.clear()

    def compare(self, id: str, source: str | None, settings: Settings) -> None:
        """Note in `changed` which choices are others than those that the work began with.

        M and N are not among them: they may be others whenever more is drawn.

        Args:
            id: Of the model.
            source: The picture's file.
            settings: What stands in the fields, and the count of paintings.
        """
        painted = self.loaded.task in PAINTED
        same = {
            "the model": id == self.loaded.id,
            "the picture": source == self._source,
            "the painting": not painted or settings.paintings == self._paintings,
            "τ": id != self.loaded.id or self._has(settings.tau),
            "Seed": (settings.seed or 0) == self._drawing.sampling.seed,
        }
        self.changed = [name for name, is_same in same.items() if not is_same]

    def _has(self, tau: str | None) -> bool:
        """Whether it is drawn at the temperature that the field says."""
        try:
            said = Sampling(tau=tau).of(self.loaded.model.config).temperature
        except CaflowError:
            return False
        return said == self._drawing.sampling.temperature

    @property
    def title(self) -> str:
        """A name for the candidates: what they are of."""
        sampling = self._drawing.sampling
        return f"{self.name}, {self.loaded.id}, τ {sampling.temperature}, Seed {sampling.seed}"

    def _stop_if_told(self, *_: object) -> None:
        if self._stop.is_set():
            raise Stopped

    def small(self, candidate: Candidate) -> str:
        """The file of a candidate in the row of candidates, made once."""
        if candidate.k not in self._small:
            path = self.folder / f"candidate_{candidate.k}.png"
            write_png(path, view(candidate.image, _SMALL, _SMALL))
            self._small[candidate.k] = str(path)
        return self._small[candidate.k]

    def before_after(self, candidate: Candidate) -> tuple[Picture, Picture]:
        """The input at the result's size and the result, as they are shown."""
        after = candidate.image
        return view(self._before(after.shape[0], after.shape[1])), view(after)

    def _before(self, height: int, width: int) -> Picture:
        image = as_read(task_of(self.loaded.model), self._image)
        if self.mask is not None:
            rows, columns = np.indices(self.mask.shape) * 64 // max(self.mask.shape)
            checks = np.where((rows + columns) % 2, 214, 244).astype(np.uint8)[..., None]
            image = np.where(self.mask[..., None] >= 128, checks, image)
        return image if image.shape[:2] == (height, width) else resize(image, height, width)

    def write(self, candidate: Candidate) -> str:
        """Write a candidate as the command does, to the byte. Returns the file's path."""
        assert self.result is not None
        data = written(
            candidate.image,
            provenance(candidate, self.result, self.loaded),
            self.picture,
            self.mask,
            _PNG,
        )
        command = COMMANDS.get(self.loaded.task, "sample")
        # In a folder for each number of candidates, which a file's provenance states.
        folder = self.folder / str(self.drawn)
        folder.mkdir(exist_ok=True)
        path = folder / f"{Path(self.name).stem}_{command}_{candidate.rank:02d}.png"
        path.write_bytes(data)
        return str(path)

    @cached_property
    def notes(self) -> list[str]:
        """Notes of the input that are known before the work, as the command says them."""
        note = picture_note(self.loaded.model.config.task, self._image, self.mask)
        return [note] if note else []

    @property
    def late_notes(self) -> list[str]:
        """Notes that only the drawing brings, where no note before it says the same."""
        note = None if self.result is None else self.loaded.far_note(self.result.statistics)
        return [f"warning: {note}"] if note else []

    def write_given(self) -> list[str]:
        """Write what was painted, so that the command can take it: the mask, or the map."""
        paths = []
        if self.mask is not None:
            paths.append(self.folder / "hole.png")
            write_png(paths[-1], self.mask)
        elif self.name == "map.png":
            paths.append(self.folder / "map.png")
            write_png(paths[-1], self.picture.rgb)
        return [str(path) for path in paths]

    def write_spread(self) -> tuple[str, list[str]] | None:
        """Write the map of where candidates differ; None for one candidate.

        Returns:
            Its file, and what it shows, in lines.
        """
        if self.result is None or self.drawn < 2:
            return None
        path = self.folder / f"spread_{self.drawn}.png"
        chart, lines = spread_map(self.result)
        write_png(path, chart)
        return str(path), [f"Where candidates differ: {lines[0]}", *lines[1:]]


def view(picture: Picture, least: int = _VIEW[0], most: int = _VIEW[1]) -> Picture:
    """A picture at a size to be looked at: smoothly enlarged, or shrunk."""
    height, width = picture.shape[:2]
    longest = max(height, width)
    scale = min(max(longest, least), most) / longest
    if scale == 1:
        return picture
    size = max(1, round(width * scale)), max(1, round(height * scale))
    return np.array(Image.fromarray(picture).resize(size, Image.Resampling.LANCZOS))
