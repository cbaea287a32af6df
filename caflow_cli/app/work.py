"""One picture of one visitor: its candidates so far, and what is made of them."""

from __future__ import annotations

import shlex
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from ..images import Decoded, Encoder, write_png
from ..inference import Candidate, Candidates, Drawing, task_of
from ..inference.charts import spread_chart
from ..inference.loaded_model import LoadedModel
from ..inference.written import provenance, written
from ..sampling import Sampling
from ..tasks import Picture
from ..tasks.base import as_read, resize

__all__ = ["COMMANDS", "Settings", "Stopped", "Work", "view"]

COMMANDS = {"superres": "superres", "colorize": "colorize", "inpaint": "inpaint"}  # else `sample`
_VIEW = 512, 1024  # pixels of the longer side of a shown picture, at least and at most
_SMALL = 256  # of one in the row of candidates
_PNG = Encoder("png")


class Stopped(Exception):
    """The visitor has stopped the work, or is gone."""


@dataclass(frozen=True)
class Settings:
    """The choices of a visitor; None: the model's own."""

    tau: str | None = None
    candidates: int | None = None
    keep: int = 1
    seed: int = 0

    @property
    def sampling(self) -> Sampling:
        """Candidates one by one, so that each shows as it is drawn."""
        return Sampling(
            tau=self.tau,
            candidates=self.candidates,
            keep=self.keep,
            seed=self.seed,
            batch_size=1,
        )


class Work:
    """A picture with its candidates.

    Args:
        loaded: The model.
        name: Name of the picture's file.
        picture: The input.
        mask: uint8 (H, W), for a hole.
        settings: How candidates are drawn.
        folder: Where its files go; it is made.

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
    ) -> None:
        self.loaded, self.name, self.picture, self.mask = loaded, name, picture, mask
        self.folder = folder
        self._stop = threading.Event()
        self._image = loaded.as_seen(picture)
        self._drawing = Drawing(
            loaded.model, self._image, settings.sampling, mask, self._stop_if_told
        )
        self._small: dict[int, str] = {}  # files of the row of candidates, by k
        self.result: Candidates | None = None  # of what is drawn
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
        words += ["-m", str(max(self.drawn, 1)), "-n", str(min(sampling.keep, max(self.drawn, 1)))]
        words += ["--seed", str(sampling.seed), "--batch-size", "1"]
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
            self.result = self._drawing.result()
            yield self.result
            self._stop_if_told()

    def stop(self) -> None:
        """End the drawing in another thread, behind the pass of the model that it is at."""
        self._stop.set()

    def go_on(self) -> None:
        """Let it be drawn again, behind a stop."""
        self._stop.clear()

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

    @property
    def harm(self) -> float:
        """The probability that the model makes the picture worse; 0 where it was not measured."""
        harm = self.loaded.harm
        return 0.0 if harm is None else harm.probability(self._image)

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

    def write_spread(self) -> str | None:
        """Write the map of where candidates differ; None for one candidate."""
        if self.result is None or self.drawn < 2:
            return None
        path = self.folder / f"spread_{self.drawn}.png"
        write_png(path, spread_chart(self.name, self.result))
        return str(path)


def view(picture: Picture, least: int = _VIEW[0], most: int = _VIEW[1]) -> Picture:
    """A picture at a size to be looked at: smoothly enlarged, or shrunk."""
    height, width = picture.shape[:2]
    longest = max(height, width)
    scale = min(max(longest, least), most) / longest
    if scale == 1:
        return picture
    size = max(1, round(width * scale)), max(1, round(height * scale))
    return np.array(Image.fromarray(picture).resize(size, Image.Resampling.LANCZOS))
