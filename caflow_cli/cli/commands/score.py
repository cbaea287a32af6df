"""`caflow score`."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from ...errors import EXIT_FAILED, CaflowError, memory_errors, usage_error
from ...paths import is_folder, without_ending
from .. import options
from ..console import Console, error_fields
from ..masking import Masking, by_stem, find_masks, hole_in_alpha, named
from ..options import OUTPUT, expanded, option

if TYPE_CHECKING:
    from ...images import Decoded
    from ...inference import Score
    from ...model import CAFlow
    from ..inputs import InputImage
    from ..outputs import Sheet
    from ..records import Fields

__all__ = ["score_command"]


@dataclass(frozen=True, kw_only=True)
class Scoring:
    """The options; each field is one, of the same name."""

    cond: str = option(
        "--cond A", "The input image, a folder of inputs, or `example:NAME`.", OUTPUT, default=...
    )
    target: str = option(
        "--target B",
        "The image to score, or a folder: `face.png` and `face_superres_01.png` there belong "
        "to `face.jpg` in A.",
        OUTPUT,
        default=...,
    )
    sort: bool = option(
        "--sort", "Print the best pair first, by bits/dim, after all are scored.", OUTPUT
    )
    map: str | None = option(
        "--map FILE",
        "Write a PNG that shows which places of each target its score comes from, compared "
        "with 32 samples of the model.",
        OUTPUT,
    )
    overwrite: bool = options.OVERWRITE
    recursive: bool = options.RECURSIVE
    model: str | None = options.MODEL_OPTION
    device: str = options.DEVICE
    shard: str | None = options.SHARD
    noise_samples: int = options.NOISE_SAMPLES


@dataclass(frozen=True)
class Pair:
    """A target, the condition that it was made from, and the mask if there is one."""

    cond: InputImage
    target: InputImage
    mask: InputImage | None = None

    @property
    def sources(self) -> list[InputImage]:
        """All images that are read."""
        return [one for one in (self.cond, self.target, self.mask) if one is not None]

    @property
    def names(self) -> dict[str, str]:
        """Its images' names, as JSON states them."""
        names = {"cond": self.cond.name, "target": self.target.name}
        return names if self.mask is None else {**names, "mask": self.mask.name}


def plan_pairs(cond: str, target: str, mask: str | None, *, recursive: bool = False) -> list[Pair]:
    """The pairs to be scored, in the order of the targets.

    Two files are a pair. With a file and a folder of targets, every target is scored under that
    file. With two folders, a target belongs to the condition with its stem, or with its stem
    without the ending that our commands add (`face_superres_01` belongs to `face`). With
    `recursive`, both lie in subfolders of the same name. The mask is one file for all, or a folder
    in which the stems are those of the conditions.

    Args:
        cond, target, mask: As typed.
        recursive: Search the folders in folders too.

    Raises:
        CaflowError: (exit 2) an image has no partner (the message names it), stdin is named twice,
            or there is a folder of conditions for one target.
    """
    from ..inputs import find_inputs

    if (cond, target, mask).count("-") > 1:
        raise usage_error("stdin cannot be two images", "name a file")
    if is_folder(cond) and not is_folder(target):
        message = f"{cond!r} is a folder, {target!r} is one image"
        raise usage_error(message, "--cond FILE")
    # Targets, or masks, may lie in a folder within that of the conditions.
    aside = [Path(name) for name in (target, mask) if name is not None]
    conditions = find_inputs([cond], recursive=recursive, aside=aside).sources
    targets = find_inputs([target], recursive=recursive).sources
    of_target: dict[int, InputImage] = {}  # by the target's place
    known = by_stem(conditions) if is_folder(cond) else {}
    for place, one in enumerate(targets):
        stems = (one.stem, without_ending(one.stem) or "")
        found = [known[one.inside, stem] for stem in stems if (one.inside, stem) in known]
        if found or not is_folder(cond):
            of_target[place] = (found or conditions)[0]
    alone = [one for place, one in enumerate(targets) if place not in of_target]
    used = {one.name for one in of_target.values()}
    alone += [one for one in conditions if one.name not in used]
    if alone:
        raise usage_error(
            f"no partner for {named(alone)}",
            "give both folders images of the same names, whatever their suffixes",
        )
    masks = find_masks(mask, list(of_target.values()))
    return [
        Pair(condition, targets[place], one)
        for (place, condition), one in zip(of_target.items(), masks, strict=True)
    ]


@expanded
def score_command(
    context: typer.Context, given: Scoring, masking: Masking, messages: options.Messages
) -> None:
    """Score an image given its condition: log p(B | A), exact and repeatable.

    Prints nats, bits/dim and the target, with tabs between. The model is --model, else the one that
    made the target according to its metadata, else that of CAFLOW_SCORE_MODEL or of your own
    defaults, else the bundled one. Nothing else is taken from the metadata. For a written
    candidate, the score repeats the number that ranked it.

    Example: caflow score --cond face.png --target face_superres.png
    """
    from ...sampling import check_noise_samples
    from ..inputs import find_shard
    from ..outputs import Claims, Sheet

    console = messages.console("score")
    check_noise_samples(given.noise_samples)
    pairs = plan_pairs(given.cond, given.target, masking.mask, recursive=given.recursive)
    read = [source.path for pair in pairs for source in pair.sources]
    if len(pairs) == 1:
        _check_there(pairs[0], console)
    claims = Claims([path for path in read if path is not None])
    share = find_shard(given.shard, console)
    share.refuse("--sort", given.sort)
    share.refuse("--map", given.map is not None)
    share.refuse("stdin", any(path is None for path in read))
    maps = Sheet("--map", given.map, len(pairs), claims, given.overwrite)
    own = share.of(pairs)
    if not own:
        return
    source = context.get_parameter_source("model")
    typed = source is not None and source.name == "COMMANDLINE"
    scorer = _Scorer(given, typed, masking, maps, console)
    kept: list[tuple[Pair, Score, Fields]] = []  # until all are scored, to be sorted
    failed = False
    try:
        for pair in own:
            try:
                scored = pair, *scorer.score(pair)
            except CaflowError as error:
                if len(pairs) == 1:
                    if error.exit_code == EXIT_FAILED:
                        console.result(error_fields(pair.names, error))
                    raise
                console.failure(pair.names, error)
                failed = True
                continue
            if given.sort:
                kept.append(scored)
            else:
                _report(*scored, console)
    finally:
        for scored in sorted(kept, key=lambda one: -one[1].rank_score / one[1].pixels):
            _report(*scored, console)
    if path := maps.write():
        console.note(f"wrote {path}")
    if failed:
        raise typer.Exit(EXIT_FAILED)


def _check_there(pair: Pair, console: Console) -> None:
    """Refuse a file that does not exist before anything heavy is imported. CaflowError (exit 1)."""
    from ...images import no_file

    for source in pair.sources:
        if source.path is not None and not os.path.lexists(source.path):
            error = no_file(source.name)
            console.result(error_fields(pair.names, error))
            raise error


def _report(pair: Pair, score: Score, fields: Fields, console: Console) -> None:
    name = pair.target.name
    bits = "-" if score.bits_per_dim is None else f"{score.bits_per_dim:.6f}"
    if score.bits_per_dim is None and not console.json:
        what = "tiles" if score.score_domain == "tiles" else "parts, some of them shrunk"
        console.note(f"{name}: scored in {what}, which have a rank score but no likelihood")
    console.result(fields, [f"{score.rank_score:.4f}\t{bits}\t{name}"])
    if score.standard_error is not None and not console.json:
        console.note(f"standard error {score.standard_error:.4f} nats")


class _Scorer:
    """Scores pairs. Targets may name different models, and each model is loaded once.

    Args:
        given: The options.
        typed: Whether --model was typed, so that it goes before the targets' own.
        masking: Reads masks.
        maps: Takes a row for each pair, if maps are wanted.
        console: Takes notes.
    """

    def __init__(
        self, given: Scoring, typed: bool, masking: Masking, maps: Sheet, console: Console
    ) -> None:
        from ...devices import select_device

        self.given, self.typed, self.masking = given, typed, masking
        self.maps, self.console = maps, console
        self.loaded: dict[str | None, CAFlow] = {}
        self.condition: tuple[InputImage, Decoded] | None = None
        select_device(given.device)
        if typed:  # found wanting before images are read
            self._load(given.model)

    def score(self, pair: Pair) -> tuple[Score, Fields]:
        """Read and score a pair, and draw its map. CaflowError if a step of this fails.

        Returns:
            The score, and its JSON line.
        """
        from ...images import read_provenance
        from ...inference import attribution, score, task_of
        from ...inference.arguments import seen_by

        start = time.perf_counter()
        target_path = pair.target.path
        record = {} if target_path is None else read_provenance(target_path) or {}
        if isinstance(record.get("resized"), dict):
            raise CaflowError(
                f"{pair.target.name!r} was resized after it was drawn and scored (--scale)",
                "score what caflow superres writes without --scale",
            )
        condition = self._read(pair.cond)
        target = pair.target.read()
        for source, image in ((pair.cond, condition), (pair.target, target)):
            if image.frames > 1:
                self.console.note(f"{source.name}: the first of {image.frames} frames is used")
        mask = None if pair.mask is None else self.masking.read(pair.mask)
        name = self.given.model
        model = self._load(name if self.typed else _model_for(pair.target.name, record, name))
        if mask is None and condition.alpha is not None and task_of(model).needs_mask:
            mask = hole_in_alpha(condition)

        from ...inference.figures import attribution_chart
        from ..records import scored_fields

        k = self.given.noise_samples
        with memory_errors("crop both images"):
            seen = seen_by(model, condition)
            result = score(model, seen, target.rgb, mask, noise_samples=k)
            self.maps.add(
                lambda: attribution_chart(
                    pair.target.label, attribution(model, seen, target.rgb, mask), result
                )
            )
        fields = scored_fields(pair.names, model, result, k, target.alpha is None)
        return result, {**fields, "elapsed_s": round(time.perf_counter() - start, 3)}

    def _read(self, condition: InputImage) -> Decoded:
        """Read a condition once for consecutive targets that share it; stdin gives it only once."""
        if self.condition is None or self.condition[0] is not condition:
            self.condition = condition, condition.read()
        return self.condition[1]

    def _load(self, name: str | None) -> CAFlow:
        from ..loaded_model import load_model

        if name not in self.loaded:
            self.loaded[name] = load_model(name, self.given.device, self.console)
        return self.loaded[name]


def _model_for(target: str, record: dict[str, Any], default: str | None) -> str | None:
    """The name of the model that scores a target where none was typed.

    It is the one that the target's provenance names, else `default`: that of the environment or of
    the user's file; None: the default of superres.

    Raises:
        CaflowError: (exit 2) the target names a model that cannot be found.
    """
    from ...hub.manifest import load_manifest
    from ...hub.resolve import resolve

    try:
        name, sha256 = str(record["model"]["id"]), str(record["model"]["sha256"])
    except (KeyError, TypeError):
        return default
    entry = load_manifest().get(name)
    if entry is not None and entry.sha256 == sha256:
        return name
    if default is not None and resolve(default).sha256 == sha256:
        return default
    if entry is None and "/" in name and resolve(name).sha256 == sha256:
        return name
    raise usage_error(
        f"{target!r} was made with model {name!r} ({sha256[:12]}…), which is not found",
        "--model PATH of that model",
    )
