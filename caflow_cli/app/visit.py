"""One image of one visitor: its candidates so far, and the files made from them."""

import html
import json
import shlex
import threading
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from ..config import HOLE, MOST_FILLED
from ..images import Encoder, Input, Pixels, Raster, write_png
from ..model import CAFlow
from ..names import make, numbered
from ..restoration import (
    Candidate,
    Candidates,
    Conditions,
    EditOptions,
    draw,
    edits_of,
    encode,
    prepare,
    task_of,
    thumbnail,
    uncertainty_map,
)
from ..sampling import Sampling
from ..tasks import resize
from .inputs import COLOR_CANVAS, Fields, painted_colors, shrunk

# New values or properties of the page's components, by name; other components do not change.
Update = dict[str, Any]

_DISPLAY_SIDE = 1024  # longer side of a displayed image, in pixels
_GALLERY_SIDE = 256
# What is painted is an input of the command: its option, and the name of its file.
_PAINTED = {"hole": ("--mask", "hole.png"), "colors": ("--hints", "hints.png")}


class VisitorStopped(Exception):
    """The visitor has stopped the drawing, or has left."""


class Visit:
    """An image, uploaded as a file, with its candidates.

    `sampling` has all defaults filled in, and the current number to keep. `result` is None until a
    candidate is drawn, `chosen` until the visitor selects one. Files go into `folder`.

    `fields` are those of which it is drawn, and `outdated` is whether they have changed. `painted`
    is a mask, uint8 (H, W), or known colors, uint8 (H, W, 4), as the task takes; or None.
    """

    def __init__(
        self,
        model: CAFlow,
        fields: Fields,
        image: Input,
        painted: Pixels | None,
        sampling: Sampling,
        folder: Path,
    ) -> None:
        self.model = model
        self.id = str(model.identity["id"])
        self.task = task_of(model)
        self.fields = fields
        self.upload = str(fields.image)
        self.name = Path(self.upload).name
        self.outdated = False
        self.painted = painted
        self.image = image
        self.mask = painted if self.task.paints == "hole" else None
        self.folder = folder
        self._stopped = threading.Event()
        colors = painted if self.task.paints == "colors" else None
        self._request = prepare(model, image, self.mask, sampling, _asked(colors))
        self._conditions: Conditions | None = encode([self._request], self._check_stopped)
        self.sampling = self._request.sampling
        self._input = self._request.shown
        note = self._request.note
        self.notes = [note] if note else []
        self.result: Candidates | None = None
        self.chosen: int | None = None  # k

    @property
    def ranked(self) -> list[Candidate]:
        """The candidates drawn so far, by rank."""
        return [] if self.result is None else self.result.ranked

    def draw(self, count: int, keep: int) -> Iterator[int]:
        """Draw `count` more candidates, also after a stop, and keep the best `keep` of all.

        Yields the number drawn so far, before the first one and after each. Raises VisitorStopped;
        candidates already drawn are kept.
        """
        replace(self.sampling, candidates=count, keep=1).check()
        self.sampling = replace(self.sampling, candidates=len(self.ranked) + count, keep=keep)
        self.sampling.check()
        self._state(self.result)  # stays if stopped before the next candidate
        self._stopped.clear()
        yield len(self.ranked)
        self._check_stopped()
        for [found] in self._drawn(count):
            self._state(found)
            if len(self.ranked) == 1 and found.warning:
                self.notes.append(f"warning: {found.warning}")
            yield len(self.ranked)
            self._check_stopped()

    def _drawn(self, count: int) -> Iterator[list[Candidates]]:
        """Draw the next candidates, one by one."""
        if self._conditions is None:
            self._conditions = encode([self._request], self._check_stopped)
        found = self.result or Candidates(self._request)
        return draw([found], self._conditions, count, batch_size=1)

    def _state(self, found: Candidates | None) -> None:
        """Keep the candidates so far, with the current settings."""
        if found is not None:
            request = replace(found.request, sampling=self.sampling)
            self.result = replace(found, request=request)

    def forget_conditions(self) -> None:
        """Free what only drawing needs, some 0.3 kB per pixel; `draw` computes it again."""
        self._conditions = None

    def stop(self) -> None:
        """Stop drawing, in another thread, after the current pass of the model."""
        self._stopped.set()

    def _check_stopped(self, *_: object) -> None:
        if self._stopped.is_set():
            raise VisitorStopped

    def shown(self) -> Update:
        """The current candidates by rank, and the chosen one."""
        text = self.title()
        more = {"interactive": bool(self.ranked)}
        if not self.ranked:
            names = ("gallery", "slider", "preview", "file", "files", "spread", "command")
            hidden = {name: {"value": None, "visible": False} for name in names}
            return {"title": text, "text": "", "more": more, **hidden}
        gallery = []
        for candidate in self.ranked:
            path = self.folder / f"candidate_{candidate.k}.png"
            if not path.exists():
                write_png(path, thumbnail(candidate.shown, _GALLERY_SIDE))
            gallery.append((str(path), f"#{candidate.rank}: {candidate.score.summary}"))
        shown = {"value": gallery, "visible": True}
        return {"title": text, "more": more, "gallery": shown, **self.choice()}

    def title(self) -> str:
        """What is shown, as HTML; if it is outdated, it says so."""
        tau = self.sampling.temperature
        title = html.escape(f"{self.name}, {self.id}, τ {tau}, seed {self.sampling.seed}")
        text = f"<p>{title}</p>"
        if self.outdated:
            text = f'<p class="stale">Settings have changed: these candidates are of {title}. Draw '
            text += "starts over.</p>"
        notes = self.notes
        if self.result is not None and self.result.predicted_note:
            notes = [*notes, self.result.predicted_note]
        for note in notes:
            text += f'<p class="note">{html.escape(note[0].upper() + note[1:])}</p>'
        return text

    def choice(self) -> Update:
        """The chosen candidate, by default the best, beside the image as uploaded."""
        candidate = self._shown()
        before = self._input
        after = candidate.shown
        if before.shape != after.shape:
            before = resize(before, *after.shape[:2])
        compared = thumbnail(before, _DISPLAY_SIDE), thumbnail(after, _DISPLAY_SIDE)
        name = f"candidate #{candidate.rank}"
        text = f'<p class="sides"><span>◀ input</span><span>{name} ▶</span></p>'
        text += f"<p>{name.capitalize()} of {len(self.ranked)}: {candidate.score.summary}. "
        text += f"Seed {candidate.seed}, τ {self.sampling.temperature}</p>"
        preview = shrunk(after, COLOR_CANVAS) if self.task.paints == "colors" else None
        return {
            "slider": {"value": compared, "visible": True},
            "preview": {"value": preview, "visible": preview is not None},
            "text": text,
            "file": {"value": self._write(candidate), "visible": True},
        }

    def preview(self, layers: Sequence[Pixels]) -> Update:
        """The chosen candidate with other known colors, in the size of the canvas."""
        image = shrunk(self._input, COLOR_CANVAS)
        shown = self._request.as_image(self._shown().pixels).shown
        shown = shrunk(shown, COLOR_CANVAS)
        colors = painted_colors(layers, *image.shape[:2])
        for edit in edits_of(self.task, image, None, None, _asked(colors)):
            shown = edit.apply(shown, 0)
        return {"preview": {"value": shown, "visible": True}}

    def _shown(self) -> Candidate:
        """The chosen candidate, by default the best."""
        chosen = [candidate for candidate in self.ranked if candidate.k == self.chosen]
        return [*chosen, *self.ranked][0]

    def files(self) -> Update:
        """The files that the command would write for the candidates so far, and the command."""
        if self.result is None:
            return {}
        files = [self._write(candidate) for candidate in self.result.kept]
        spread: Update = {"value": None, "visible": False}
        if len(self.ranked) > 1:
            path = self.folder / f"spread_{len(self.ranked)}.png"
            chart, lines = uncertainty_map(self.ranked, self.sampling.temperature)
            write_png(path, chart)
            label = f"Where candidates differ: {'; '.join(lines)}"
            spread = {"value": str(path), "visible": True, "label": label}
        if self.painted is not None:
            name = _PAINTED[self.task.paints][1]
            write_png(self.folder / name, self.painted)
            files.append(str(self.folder / name))
        command = self._command(len(self.ranked))
        return {
            "files": {"value": files, "visible": True},
            "spread": spread,
            "command": {"value": command, "visible": True},
        }

    def _command(self, drawn: int) -> str:
        """The command that draws these candidates, and writes those that are kept."""
        words = ["caflow", self.task.command]
        words += ["--cond", self.name] if self.task.command == "sample" else [self.name]
        if self.painted is not None:
            words += _PAINTED[self.task.paints]
            if self.mask is not None and (self.mask >= HOLE).mean() > MOST_FILLED:
                words.append("--mask-as-is")
        words += ["--model", self.id, "--tau", str(self.sampling.temperature), "-m", str(drawn)]
        words += ["-n", str(min(self.sampling.keep or 1, drawn)), "--seed", str(self.sampling.seed)]
        return shlex.join(words)

    def _write(self, candidate: Candidate) -> str:
        assert self.result is not None
        record = json.dumps(self.result.provenance(candidate))
        data = Encoder("png").encode(candidate.output, record)
        # One folder per number of candidates, because a file's provenance states it.
        folder = self.folder / str(len(self.ranked))
        folder.mkdir(exist_ok=True)
        named = folder / f"{make(Path(self.name).stem, self.task.command)}.png"
        count = max(2, len(self.ranked))  # a single one has a number, too: more may be drawn
        path = numbered(named, count)[candidate.rank - 1]
        path.write_bytes(data)
        return str(path)


def _asked(colors: Pixels | None) -> EditOptions:
    """What painted colors ask of edits."""
    return {} if colors is None else {"hints": Input(Raster(colors[..., :3], alpha=colors[..., 3]))}
