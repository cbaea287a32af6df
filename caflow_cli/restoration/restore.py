"""Draw M candidates, rank them, keep the best N (paper section 4.4); and score a given pair."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from ..config import Tau
from ..model import CAFlow
from ..sampling import Sampling, check_noise_samples
from ..tasks import Pixels
from .arguments import ImageLike, as_input, as_mask, seen_by, strokes_of
from .candidate import Request
from .conditions import Progress
from .result import Candidates
from .sample import Sampler
from .score import Score, task_of


def restore(
    model: CAFlow,
    image: ImageLike,
    tau: Tau | None = None,
    candidates: int | None = None,
    keep: int = 1,
    seed: int = 0,
    mask: ImageLike | None = None,
    **options: Any,
) -> Candidates:
    """Draw M samples from p(w|y), the candidates, and rank them.

    Each sample is composed with the input and rounded to 8 bits before it is scored, so `score`
    reproduces the score of a written candidate. Warnings about the input are in
    `Candidates.notes`.

    Args:
        model: Any model, such as `caflow_cli.load` returns; its task computes the condition from
            `image`.
        image: A path, a PIL image, an array (H, W, 3) or a tensor (3, H, W), see `as_image`. Alpha
            is kept.
        tau: Temperature: a number, or a shape such as (0.9, 0.7, 0.5) or "0.9/0.7/0.5" with one
            value per scale, finest first, or per latent. Default: the model's, else the task's.
        candidates: M. Default: the model's, else the task's; the latter is reduced for superres,
            and either for holes, unless ranked by consensus, to what fits 0.75 megapixels (of
            windows onto the holes), but not below `keep`.
        keep: N, how many of the best candidates `kept` holds.
        seed: Candidate k is drawn from a generator with seed `seed + k`.
        mask: For inpaint: a path, a PIL image, or an array, either bool or uint8 (H, W) with 128
            and above where the image is to be filled.
        options: `rank`, `consistent` and `precision` of `Sampling`; `value_range` of `as_image`.
            For colorize, `hints`: the colors that you know, as an image with alpha of the same
            size, opaque where you know them, such as an array, uint8 (H, W, 4). Candidates are
            ranked by their scores without hints.

    Examples:
        >>> import caflow_cli as caflow
        >>> from caflow_cli.assets import example_path
        >>> model = caflow.load("faces-superres-x4")
        >>> result = caflow.restore(model, example_path("face"), tau=0.8, candidates=3, keep=2)
        >>> [(candidate.rank, candidate.image.shape) for candidate in result.kept]
        [(1, (64, 64, 3)), (2, (64, 64, 3))]

    Raises:
        CaflowError: An argument is out of range, the image is too large, the mask does not fit, all
            candidates diverged, or the device has no fast bfloat16.
    """
    decoded = as_input(image, options.pop("value_range", None))
    hints = options.pop("hints", None)
    strokes = None if hints is None else strokes_of(as_input(hints))
    sampling = Sampling(tau=tau, candidates=candidates, keep=keep, seed=seed, **options)
    white = as_mask(mask)
    seen = seen_by(model, decoded)
    (result,) = restore_images(model, [seen], sampling, [white], hints=[strokes])
    for candidate in result.ranked:
        keeps_gray = candidate.request.task.keeps_gray
        candidate.written = partial(decoded.output, mask=white, keeps_gray=keeps_gray)
    return result


def score(
    model: CAFlow,
    condition: ImageLike,
    target: ImageLike,
    mask: ImageLike | None = None,
    *,
    noise_samples: int = 1,
    value_range: tuple[float, float] | None = None,
) -> Score:
    """Compute log p(target | condition) of an image, given the input that it was made from.

    Args:
        model: Any model, such as `caflow_cli.load` returns.
        condition: The task's input, such as the small image for superres: a path, a PIL image, or
            an array, uint8 (H, W, 3); see `as_image`.
        target: The image to score, in the same forms: uint8 (H', W', 3).
        mask: For inpaint, in the same forms: uint8 (H, W), 128 and above where it was filled.
        noise_samples: K, the number of dequantization noise draws.
        value_range: The float values of black and white, see `as_image`.

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
    check_noise_samples(noise_samples)
    task = task_of(model)
    white = as_mask(mask)
    image = seen_by(model, as_input(condition, value_range))
    scored = as_input(target, value_range)
    request = Request.of(task, image, white)
    if scored.exact:
        task.check_known(image, scored.rgb, white)
    (found,) = Sampler(model, [request]).score([scored.rgb], noise_samples)
    return replace(found, score_exact=scored.exact)


def restore_images(
    model: CAFlow,
    images: Sequence[Pixels],
    sampling: Sampling,
    masks: Sequence[Pixels | None],
    progress: Progress | None = None,
    hints: Sequence[Pixels | None] | None = None,
    lower_tau: bool = True,
) -> list[Candidates]:
    """Restore several images of one model size as a batch.

    Args:
        model: Any model.
        images: uint8 (H, W, 3) each, all with the same `Task.model_size`.
        sampling: For every image. If tau or M is None, it is the model's, else the task's.
        masks: uint8 (H, W), one for each image, or None.
        progress: Called after each pass of the model.
        hints: uint8 (H, W, 4), opaque where colors are known, one for each image, or None.
        lower_tau: Draw a single image again at a lower tau if all its candidates diverge.

    Raises:
        CaflowError: As for `restore`. If one image fails, none of them has a result.
    """
    task = task_of(model, sampling)
    strokes = hints or [None] * len(images)
    requests = [
        Request.of(task, image, mask, colors)
        for image, mask, colors in zip(images, masks, strokes, strict=True)
    ]
    sampler = Sampler(model, requests, sampling, progress=progress)
    for _ in sampler.draw(lower_tau=lower_tau):
        pass
    return [sampler.result(row) for row in range(len(images))]
