"""`caflow score`."""

from __future__ import annotations

import functools
import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from ...errors import EXIT_FAILED, CaflowError, check_usage, ensure, memory_errors
from ...paths import is_folder, without_ending
from .. import options
from ..config import source
from ..console import Console
from ..masking import Masking, by_stem, find_masks
from ..options import expanded, load_model, option

if TYPE_CHECKING:
    from ..inputs import InputImage

    _Pair = dict[str, InputImage]  # cond, target and perhaps mask, named as in JSON

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
    map: str | None = option(
        "--map FILE",
        "Write a PNG map of where each target's score comes from, compared with 32 samples.",
    )
    overwrite: bool = options.OVERWRITE
    recursive: bool = options.RECURSIVE
    model: str | None = options.MODEL_OPTION
    device: str = options.DEVICE
    shard: str | None = options.SHARD
    noise_samples: int = options.NOISE_SAMPLES


def plan_pairs(
    cond: str, target: str, mask: str | None, *, recursive: bool = False
) -> tuple[list[_Pair], list[dict[str, str]]]:
    """The pairs to score, in the order of the targets, and the names of images without partner.

    If `cond` is a file, it is the condition of every target. In two folders, a target belongs to
    the condition with the same stem, or with the stem before the ending that our commands add
    (`face_superres_01` belongs to `face`), in a subfolder of the same name. CaflowError (exit 2) if
    there are no pairs, or if a pattern matches several conditions.
    """
    from ..inputs import find_inputs, without_results

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
    conditions = without_results(find_inputs([cond], recursive=recursive, aside=aside), "score")
    targets = find_inputs([target], recursive=recursive)
    check_usage(
        is_folder(cond) or len(conditions) == 1,
        f"{len(conditions)} images match {cond!r}, and targets have one condition",
        "--cond FILE, or --cond DIR and --target DIR",
    )
    matched, alone = conditions * len(targets), list[dict[str, str]]()
    if is_folder(cond):
        known = by_stem(conditions)
        found = [
            known.get((one.inside, one.stem))
            or known.get((one.inside, without_ending(one.stem) or ""))
            for one in targets
        ]
        pairs = zip(targets, found, strict=True)
        alone = [{"cond": cond, "target": one.name} for one, partner in pairs if partner is None]
        targets = [one for one, partner in zip(targets, found, strict=True) if partner is not None]
        matched = [one for one in found if one is not None]
        alone += [{"cond": one.name, "target": target} for one in conditions if one not in matched]
        check_usage(
            bool(matched), f"no image in {target!r} has the name of one in {cond!r}", _ALIKE
        )
    masks = find_masks(mask, matched)
    return [
        {"cond": one, "target": other} | ({} if third is None else {"mask": third})
        for one, other, third in zip(matched, targets, masks, strict=True)
    ], alone


@expanded
def score_command(
    context: typer.Context, given: Scoring, masking: Masking, console: Console
) -> None:
    """Score an image given its condition: log p(B | A), the same each time.

    It is the exact density at fixed dequantization noise, which estimates a lower bound on the
    discrete log-probability. Above two megapixels, it is a sum over tiles.

    Prints nats, bits/dim and the target, separated by tabs. The model is --model, else the one that
    made the target according to its metadata, else CAFLOW_SCORE_MODEL or the one in your config
    file, else the bundled one. Nothing else is taken from the metadata. For a candidate
    written losslessly, the score equals the one that ranked it. If the mask has no white pixels, or
    --mask auto finds no damage, there is nothing to score, which is an error.

    Example: caflow score --cond face.png --target face_superres.png
    """
    from ...images import no_file, read_provenance
    from ...sampling import check_noise_samples
    from ..inputs import InputImage, find_shard
    from ..plan import Claims, Sheet

    check_noise_samples(given.noise_samples)
    pairs, alone = plan_pairs(given.cond, given.target, masking.mask, recursive=given.recursive)
    paths = [image.path for pair in pairs for image in pair.values()]
    for image in pairs[0].values() if len(pairs) == 1 else ():
        if image.path is not None and not os.path.lexists(image.path):  # before PyTorch is imported
            console.failure(_names(pairs[0]), no_file(image.name))
            return
    share = find_shard(
        given.shard, console, {"--map": given.map is not None, "stdin": None in paths}
    )
    claims = Claims(path for path in paths if path is not None)
    maps = Sheet("--map", given.map, len(pairs), claims, (given.overwrite, False))
    for names in () if share.start else alone:
        name = names["target" if names["cond"] == given.cond else "cond"]
        console.failure(names, CaflowError(f"no match for {name!r}", _ALIKE))
    own = pairs[share]
    if not own:
        return

    from ...devices import select_device
    from ...hub.resolve import maker_of
    from ...inference import attribution, attribution_chart, score, seen_by, task_of
    from ..records import scored_fields

    load = functools.cache(functools.partial(load_model, device=given.device))
    # Targets may share a condition, but stdin can be read only once.
    read = functools.lru_cache(1)(InputImage.read)

    def score_pair(pair: _Pair) -> None:
        start, name, path = time.perf_counter(), pair["target"].name, pair["target"].path
        record = {} if path is None else read_provenance(path) or {}
        for key, what in (("resized", "scale"), ("saturation", "saturation")):
            ensure(
                key not in record,
                f"{name!r} was changed after it was drawn and scored (--{what})",
                f"score an image written without --{what}",
            )
        condition, target = read(pair["cond"], console.note), pair["target"].read(console.note)
        model, mask = load(given.model if typed else maker_of(name, record, given.model)), None
        if "mask" in pair or (condition.alpha is not None and task_of(model).needs_mask):
            mask = masking.read(pair.get("mask"), condition, pair["cond"].name)
        seen, samples = seen_by(model, condition), given.noise_samples
        found = score(model, seen, target, mask, noise_samples=samples)
        maps.add(
            lambda: attribution_chart(
                Path(name).name, attribution(model, seen, target.rgb, mask), found
            )
        )
        fields = scored_fields(_names(pair), model, found, samples, target.alpha is None)
        fields["elapsed_s"] = round(time.perf_counter() - start, 3)
        bits = "-" if found.bits_per_dim is None else f"{found.bits_per_dim:.6f}"
        console.result(fields, [f"{found.rank_score:.4f}\t{bits}\t{name}"])
        if found.bits_per_dim is None and not console.json:
            what = "tiles" if found.score_domain == "tiles" else "parts, some of them shrunk"
            console.note(f"{name}: scored in {what}, which have a rank score but no likelihood")
        if found.standard_error is not None and not console.json:
            console.note(f"standard error {found.standard_error:.4f} nats")

    typed = source(context, "model") == "COMMANDLINE"
    select_device(given.device)
    if typed:  # fail before images are read
        load(given.model)
    for pair in own:
        try:
            with memory_errors("crop both images"):
                score_pair(pair)
        except CaflowError as error:
            if len(pairs) == 1 and not alone and error.exit_code != EXIT_FAILED:
                raise
            console.failure(_names(pair), error)
    maps.write(console)


def _names(pair: _Pair) -> dict[str, str]:
    return {key: image.name for key, image in pair.items()}
