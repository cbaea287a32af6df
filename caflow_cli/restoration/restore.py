"""Draw M candidates, rank them, keep the best N (paper section 4.4); and score a given pair."""

from __future__ import annotations

from dataclasses import replace
from typing import cast

from ..config import Tau
from ..damage import confidence_of, snapped
from ..errors import check_usage, usage_error
from ..images import Input, Pixels
from ..images.crop import cropped, stated
from ..model import CAFlow
from ..records import Table, Unpack, check_names, checked
from ..sampling import NoiseSamples, Sampling, SamplingKeywords
from ..tasks.arguments import ImageLike, as_input, as_mask
from ..tasks.sizes import check_same_size
from .candidates import Candidates
from .chosen import with_chosen_tau
from .draw import draw
from .edits import EditKeywords, EditOptions
from .request import encode, prepare, task_of
from .score import Score, score_images


class RestoreOptions(SamplingKeywords, EditKeywords, total=False):
    """The further keywords of `restore`."""

    value_range: tuple[float, float] | None
    alpha: bool | None
    crop: tuple[int, int, int, int] | None
    snap: bool


def restore(
    model: CAFlow,
    image: ImageLike,
    tau: Tau | None = None,
    candidates: int | None = None,
    keep: int | None = None,
    seed: int = 0,
    mask: ImageLike | None = None,
    **options: Unpack[RestoreOptions],
) -> Candidates:
    """Draw M samples from p(w|y), the candidates, and rank them.

    Each sample is composed with the input and rounded to its depth, 8 or 16 bits, before it is
    scored, so `score` reproduces the score of a written candidate. Warnings about the input are in
    `Candidates.notes`.

    Of a measured field, the candidates are the members of an ensemble, with exactly its means: all
    are kept, unranked unless fewer are, and saved in one file.

    Args:
        model: Any model, such as `caflow_cli.load` returns; its task computes the condition from
            `image`.
        image: A path, a PIL image, an array (H, W, 3) or a tensor (3, H, W), see `as_image`. Alpha
            is kept, and so are color profiles of displays and the 16 bits of arrays (uint16) and,
            with the extra `deep`, of files. With a `value_range`, results have its type and range,
            of floats float32, and gray ones the shape (H, W). For a model of fields: a path, an
            `xarray.DataArray`, or an array (H, W) of numbers in the model's unit (`as_field`).
        tau: Temperature: a number, or a shape such as (0.9, 0.7, 0.5) or "0.9/0.7/0.5" with one
            value per scale, finest first, or per latent. Default: the model's, else the task's.
            "auto", for rain: a field of 64×64 cells or more chooses it itself (`choose_tau`).
        candidates: M. Default: the model's, else the task's; the latter is reduced for superres,
            and either for holes, unless ranked by consensus, to what fits 0.75 megapixels (of
            windows onto the holes), but not below `keep`.
        keep: N, how many of the best candidates `kept` holds. Default: 1, or all of a field.
        seed: Candidate k is drawn from a generator with seed `seed + k`.
        mask: For inpaint: a path, a PIL image, or an array, either bool or uint8 (H, W) with 128
            and above where the image is to be filled.
        options: `rank`, `consistent` and `precision` of `Sampling`; `value_range` and `alpha` of
            `as_image`; `crop`: left, top, width and height, in pixels, of the part of the image to
            restore, at its own scale; `mask` and `hints` are those of the whole image.
            For colorize, `hints`: the colors that you know, as an image with alpha of the same
            size, opaque where you know them, such as an array, uint8 (H, W, 4). Candidates are
            ranked and scored without hints. For inpaint, `grain`: "auto" adds to the images of
            candidates the film grain that their fill lacks, "off" does not; `snap`: whether each
            connected stroke of a rough mask becomes the damage that is found there, or else stays.

    Examples:
        >>> import caflow_cli as caflow
        >>> from caflow_cli.assets import example_path
        >>> model = caflow.load("faces-superres-x4")
        >>> result = caflow.restore(model, example_path("face"), tau=0.8, candidates=3, keep=2)
        >>> [(candidate.rank, candidate.image.shape) for candidate in result.kept]
        [(1, (64, 64, 3)), (2, (64, 64, 3))]

    Raises:
        CaflowError: A keyword is unknown or an argument out of range, the image is too large, the
            mask does not fit, a candidate diverged and the model has no guide, or the device has no
            fast bfloat16.
    """
    check_names(options, RestoreOptions.__annotations__)
    settings: Table = {k: v for k, v in options.items() if k in SamplingKeywords.__annotations__}
    sampling = Sampling(tau=tau, candidates=candidates, keep=keep, seed=seed, **settings)
    task = task_of(model)
    read = as_input(image, options.get("value_range"), options.get("alpha"), task.unit)
    hole = as_mask(mask)
    if options.get("snap"):
        check_usage(task.needs_mask, f"{task.name} takes no snap", "leave it out")
        if hole is None:
            raise usage_error("snap is for a painted mask", "mask=..., or leave snap out")
        check_same_size("the mask is", hole.shape, read.image.size)
        hole = snapped(hole, confidence_of(read.image))
    if options.get("crop") is not None:
        read, hole, options = _part(read, hole, options)
    request = prepare(model, read, hole, sampling, cast("EditOptions", options))
    request = with_chosen_tau(request)
    *_, [found] = draw([Candidates(request)], encode([request]))
    return found


def _part(
    image: Input, hole: Pixels | None, options: RestoreOptions
) -> tuple[Input, Pixels | None, RestoreOptions]:
    """The part of an image that `crop` states, with that of its mask and hints."""
    crop = stated(options["crop"])
    if hole is not None:
        check_same_size("the mask is", hole.shape, image.image.size)
    hints = options.get("hints")
    if hints is not None:
        strokes = as_input(hints, alpha=True)
        check_same_size("the hints are", strokes.image.size, image.image.size)
        options = {**options, "hints": cropped(strokes, crop)[0]}
    part, own, _ = cropped(image, crop, hole)
    return part, own, options


def score(
    model: CAFlow,
    condition: ImageLike,
    target: ImageLike,
    mask: ImageLike | None = None,
    *,
    noise_samples: int = 1,
    value_range: tuple[float, float] | None = None,
    alpha: bool | None = None,
) -> Score:
    """Compute log p(target | condition) of an image, given the input that it was made from.

    Args:
        model: Any model, such as `caflow_cli.load` returns.
        condition: The task's input, such as the small image for superres: a path, a PIL image, or
            an array, uint8 (H, W, 3); see `as_image`. For a model of fields, as for `restore`.
        target: The image to score, in the same forms: uint8 (H', W', 3).
        mask: For inpaint, in the same forms: uint8 (H, W), 128 and above where it was filled.
        noise_samples: K, the number of dequantization noise draws.
        value_range: The values of black and white in both, see `as_image`.
        alpha: Whether the last of 2 or 4 channels is transparency, see `as_image`.

    Examples:
        >>> import caflow_cli as caflow
        >>> from caflow_cli.assets import example_path
        >>> face, small = example_path("face_64"), example_path("face")
        >>> score = caflow.score(caflow.load("faces-superres-x4"), small, face)
        >>> f"{score.log_likelihood:.0f} nats, {score.bits_per_dim:.3f} bits/dim"
        '-30881 nats, 3.626 bits/dim'

    Raises:
        CaflowError: The target or the mask does not fit the condition; or the target is an array or
            losslessly stored, and its known pixels differ from those of the condition.
    """
    noise_samples = checked(NoiseSamples, noise_samples, "noise_samples")
    unit = task_of(model).unit
    scored = as_input(target, value_range, alpha, unit)
    seen = as_input(condition, value_range, alpha, unit)
    images = seen.image.seen, scored.image.seen
    if images[0].profile != images[1].profile:
        images = seen.image.converted(None).rounded(16), scored.image.converted(None).rounded(16)
    bits = min(image.bits for image in images)  # of a result that was written with 8 bits
    given, image = (image.rounded(bits) for image in images)
    request = prepare(model, replace(seen, image=given), as_mask(mask))
    scale = request.task.scale_for(image.bits, image.unit)
    request = replace(request, noise_samples=noise_samples, scale=scale)
    if scored.exact:
        request.task.check_known(request.image, image.values, request.mask)
    (found,) = score_images([request], encode([request]), [image.values])
    return replace(found, score_exact=scored.exact)
