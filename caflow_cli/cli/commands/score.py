"""`caflow score`."""

from __future__ import annotations

import functools
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import typer

from ...errors import CaflowError, check_usage, ensure
from ...paths import is_folder
from ...records import check
from ...sampling import NoiseSamples
from .. import options
from ..companions import by_stem, find_companions
from ..config import source
from ..console import Console
from ..loading import load_model, unit_of_model
from ..masking import File, Infrared, Mask, Masking, Transparent
from ..options import expanded, option
from ..reading import Reading

if TYPE_CHECKING:
    from ...images import Input, Pixels
    from ...model import CAFlow
    from ...records import Table
    from ...restoration import Score
    from ..inputs import InputImage

_ALIKE = "give matching images the same name in both folders; suffixes may differ"


@dataclass(frozen=True, kw_only=True)
class Scoring:
    """The options."""

    cond: str = option(
        "--cond A", "The input image, a folder of inputs, or `example:NAME`.", default=...
    )
    target: str = option(
        "--target B",
        "The image to score, or a folder, where `face.png` and `face_superres_01.png` match "
        "`face.jpg` in A.",
        default=...,
    )
    recursive: bool = options.RECURSIVE
    model: str | None = options.MODEL_OPTION
    device: str = options.DEVICE
    shard: slice | None = options.SHARD
    alpha: bool | None = options.ALPHA
    value_range: tuple[float, float] | None = options.VALUE_RANGE
    noise_samples: NoiseSamples = 1

    def __post_init__(self) -> None:
        check(self)


class Pair(NamedTuple):
    """A target, its condition, and its mask."""

    cond: InputImage
    target: InputImage
    mask: Mask = Transparent()

    @property
    def names(self) -> dict[str, str]:
        """For JSON."""
        mask = {"mask": self.mask.name} if self.mask.name else {}
        return {"cond": self.cond.name, "target": self.target.name, **mask}


def plan_pairs(
    cond: str, target: str, mask: str | None = None, *, recursive: bool = False
) -> tuple[list[Pair], dict[str, dict[str, str]]]:
    """The pairs to score, in the order of the targets; and by name the images without partner.

    If `cond` is a file, it is the condition of every target. In two folders, a target belongs to
    the condition with the same stem, or with the stem before the ending that our commands add
    (`face_superres_01` belongs to `face`), in a subfolder of the same name; both folders may be the
    same. `mask` is a file or a folder. CaflowError (exit 2) if there are no pairs, or if a pattern
    matches several conditions.
    """
    from ...fields import FIELD_FORMATS
    from ...names import parse
    from ..inputs import IMAGES, find_inputs

    search = functools.partial(find_inputs, recursive=recursive, taken={*IMAGES, *FIELD_FORMATS})
    conditions = _conditions(cond, target, mask, search)
    targets = search([target])
    targets = [image for image in targets if not (image.found and parse(image.stem).end)]
    if is_folder(cond):
        read = [image.path for image in conditions]  # results may lie beside their inputs
        targets = [image for image in targets if image.path not in read]
        pairs = _paired(conditions, targets)
    else:
        pairs = [Pair(conditions[0], image) for image in targets]
    check_usage(bool(pairs), f"no image in {target!r} has the name of one in {cond!r}", _ALIKE)
    scored = [pair.target.name for pair in pairs]
    used = [pair.cond for pair in pairs]
    alone = [image.name for image in targets if image.name not in scored]
    strays = {name: {"cond": cond, "target": name} for name in alone}
    for image in conditions:
        if image not in used:
            strays[image.name] = {"cond": image.name, "target": target}
    if mask is not None:
        masks = find_companions("mask", mask, used)
        pairs = [pair._replace(mask=File(own)) for pair, own in zip(pairs, masks, strict=True)]
    return pairs, strays


def _conditions(
    cond: str, target: str, mask: str | None, search: Callable[..., list[InputImage]]
) -> list[InputImage]:
    """The images that `cond` names, without results; several only for a folder of targets."""
    from ...names import commands
    from ..inputs import without_others

    check_usage(
        (cond, target, mask).count("-") < 2, "stdin cannot be two images", "give one as a file"
    )
    check_usage(
        is_folder(target) or not is_folder(cond),
        f"{cond!r} is a folder, {target!r} is one image",
        "--cond FILE",
    )
    # Targets or masks may be in a subfolder of the conditions' folder.
    aside = [Path(name) for name in (target, mask) if name is not None]
    found = without_others(search([cond], aside=aside), commands())
    check_usage(
        is_folder(cond) or len(found) == 1,
        f"{len(found)} images match {cond!r}, and targets have one condition",
        "--cond FILE, or --cond DIR and --target DIR",
    )
    return found


def _paired(conditions: Sequence[InputImage], targets: Sequence[InputImage]) -> list[Pair]:
    """The targets that have a condition, by their names in two folders."""
    from ...names import parse

    by_name = by_stem(conditions)
    pairs: list[Pair] = []
    for image in targets:
        name = parse(image.stem)
        partner = by_name.get((image.inside, image.stem))
        if partner is None and name.is_result:
            partner = by_name.get((image.inside, name.source))
        if partner is not None:
            pairs.append(Pair(partner, image))
    return pairs


@expanded
def score_command(
    context: typer.Context,
    scoring: Scoring,
    masking: Masking,
    reading: Reading,
    console: Console,
) -> None:
    """Score an image given its condition: log p(B | A), the same each time.

    It is the exact density at fixed dequantization noise, which estimates a lower bound on the
    discrete log-probability. Above two megapixels, it is a sum over tiles.

    Prints nats, bits/dim and the target, separated by tabs. The model is --model, else the one that
    made the target according to its metadata, else CAFLOW_SCORE_MODEL or the one in your config
    file, else the bundled one. Of a target made with --crop, the metadata also say which part of
    the condition counts; nothing else is taken from them. For a candidate
    written losslessly, the score equals the one that ranked it. If the mask has no white pixels, or
    --mask auto finds no damage, there is nothing to score, which is an error.

    Example: caflow score --cond face.png --target face_superres.png
    """
    from ...images import no_file
    from ..inputs import find_shard
    from ..output import reported

    pairs, strays = plan_pairs(
        scoring.cond, scoring.target, masking.file, recursive=scoring.recursive
    )
    if masking.found is not None:
        pairs = [pair._replace(mask=masking.found) for pair in pairs]
    paths = [image.path for pair in pairs for image in pair[:2]]
    if len(pairs) == 1:
        for image in pairs[0][:2]:  # before PyTorch is imported
            if image.missing:
                console.failure(pairs[0].names, no_file(image.name))
                return
    share = find_shard(scoring.shard, console)
    check_usage(
        share.step == 1 or (None not in paths and masking.mask != "-"),
        "stdin needs one process, not shards",
        "--shard 1/1",
    )
    if share.start == 0:
        for name, names in strays.items():
            console.failure(names, CaflowError(f"no match for {name!r}", _ALIKE))
    typed = source(context, "model") == "COMMANDLINE"
    scorer = _Scorer(scoring, masking, console, typed, reading)
    for pair in pairs[share]:
        with reported(pair, console, len(pairs) == 1 and not strays, "crop both images"):
            scorer.score(pair)


@dataclass(eq=False)
class _Scorer:
    """Scores the pairs of a command, with the typed model or with that of each target."""

    scoring: Scoring
    masking: Masking
    console: Console
    typed: bool  # whether --model is
    reading: Reading  # of fields

    def __post_init__(self) -> None:
        from ...devices import select_device
        from ..inputs import InputImage

        self.load = functools.cache(functools.partial(load_model, device=self.scoring.device))
        # Targets may share a condition, but stdin can be read only once.
        self.read = functools.lru_cache(1)(InputImage.read)
        # Fail before images are read.
        select_device(self.scoring.device)
        if self.typed:
            self.load(self.scoring.model)

    def score(self, pair: Pair) -> None:
        """Score a pair, of a field every member of the target, and report it."""
        from ...restoration import estimator_of, score, task_of
        from ..report import NOT_COMPARABLE, scored_line

        start = time.perf_counter()
        inputs = pair.cond, pair.target
        of_field = unit_of_model(self.scoring.model) or any(each.holds_field for each in inputs)
        self.console.check_applies(*(["fields"] if of_field else ["images", "masks"]))
        condition, targets, record = (self._fields if of_field else self._images)(pair)
        model_name, reason = self._model_of(pair.target, record, condition, targets[0])
        model = self.load(model_name)
        if not (of_field or self.masking.mask or task_of(model).needs_mask):
            self.console.check_applies("images")
        mask = self._mask(pair, condition, model)
        if record.get("crop"):
            condition, mask = _part_of(condition, mask, record["crop"])
        samples = self.scoring.noise_samples
        seeds = record.get("seeds")
        for index, target in enumerate(targets):
            result = score(model, condition, target, mask, noise_samples=samples)
            estimator = estimator_of(model, samples, result.depth)
            fields = scored_line(pair.names, model, result, estimator)
            fields["model_reason"] = reason
            name = pair.target.name
            if len(targets) > 1:
                fields["member"] = index
                name += f" member {index}"
            if isinstance(seeds, list) and len(seeds) == len(targets):
                fields["seed"] = seeds[index]
                name += f", seed {seeds[index]}" if len(targets) > 1 else ""
            fields["elapsed_s"] = round(time.perf_counter() - start, 3)
            start = time.perf_counter()
            bits = "-" if result.bits_per_dim is None else f"{result.bits_per_dim:.6f}"
            self.console.result(fields, [f"{result.rank_score:.4f}\t{bits}\t{name}"])
            if not self.console.json:
                self._note(name, result)
        if of_field and not self.console.json:
            task = task_of(model)
            note = task.note(task.accepted(condition).image, None)
            for text in filter(None, (note and f"the condition: {note}", NOT_COMPARABLE)):
                self.console.about(pair.target.name, text)

    def _images(self, pair: Pair) -> tuple[Input, list[Input], Table]:
        """The condition, the target, and its provenance."""
        from ...images import read_provenance

        path = pair.target.path
        scoring = self.scoring
        how = scoring.alpha, isinstance(pair.mask, Infrared), scoring.value_range
        condition = self.read(pair.cond, self.console.about, *how)
        target = pair.target.read(self.console.about, *how)
        return condition, [target], {} if path is None else read_provenance(path) or {}

    def _fields(self, pair: Pair) -> tuple[Input, list[Input], Table]:
        """The condition, the members of the target, and its provenance."""
        from ...fields import read_provenance

        how = self.reading.for_model(self.scoring.model)
        condition = pair.cond.read_field(how)
        record = {} if pair.target.path is None else read_provenance(pair.target.path) or {}
        # Members have the missing values of the coarse field, perhaps stored as others.
        if how.nodata is not None and record:
            how = replace(how, nodata=math.nan)
        return condition, pair.target.read_members(how), record

    def _mask(self, pair: Pair, condition: Input, model: CAFlow) -> Pixels | None:
        """The mask of a pair: that of its options, or what is transparent if the task fills it."""
        from ...restoration import task_of

        has_hole = condition.image.alpha is not None and task_of(model).needs_mask
        if isinstance(pair.mask, Transparent) and not has_hole:
            return None
        return self.masking.read(pair.mask, condition, pair.cond)

    def _note(self, name: str, result: Score) -> None:
        """Say what a score covers, and how exact it is."""
        from ...restoration import DEPTH_RULE

        if result.bits_per_dim is None:
            what = "tiles" if result.score_domain == "tiles" else "parts, some of them shrunk"
            self.console.about(name, f"scored in {what}, which have a rank score but no likelihood")
        if result.depth == 16:
            unknown = "" if result.unknown_values is None else f", here {result.unknown_values}"
            self.console.about(name, f"16 bits per channel: {DEPTH_RULE}{unknown}")
        if result.standard_error is not None:
            self.console.note(f"standard error {result.standard_error:.4f} nats")

    def _model_of(
        self, target: InputImage, record: Table, condition: Input, scored: Input
    ) -> tuple[str, str]:
        """The name of the model that scores a target with that provenance, and why; CaflowError if
        none can."""
        from ...hub.choice import NAMED, choose_model
        from ...hub.resolve import maker_of
        from ...restoration import EDITS

        for edit in EDITS:
            ensure(
                edit.field not in record,
                f"{target.name!r} was changed after it was drawn and scored ({edit.option})",
                f"score an image written without {edit.option}",
            )
        if not self.typed and (maker := maker_of(target.name, record, self.scoring.model)):
            return maker, "it made the target, according to its metadata"
        if self.scoring.model:
            return self.scoring.model, NAMED
        fields = [each for each in (condition, scored) if each.image.unit is not None]
        stated = [each for each in fields if each.image.unit and each.image.unit.name]
        return choose_model(next(iter(stated or fields), None))


def _part_of(image: Input, mask: Pixels | None, crop: object) -> tuple[Input, Pixels | None]:
    """The part of a condition, and of its mask, that a target was made of according to its record;
    a condition of the part's size is that part itself."""
    from ...images.crop import cropped, stated

    part = stated(crop)
    if image.image.size == part[:1:-1]:
        return image, mask
    try:
        return cropped(image, part, mask)[:2]
    except CaflowError as error:
        message = f"the target is of a part that the condition does not have ({error.message})"
        raise CaflowError(message, "--cond IMAGE that it was made of") from None
