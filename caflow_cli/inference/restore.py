"""Draw M candidates, rank them, keep the best N (paper section 4.4); and score a given pair."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from itertools import combinations
from typing import Any, overload

import numpy as np
import numpy.typing as npt

from ..config import Tau
from ..devices import check_bf16
from ..errors import check_usage, ensure
from ..model import CAFlow
from ..sampling import Sampling, check_noise_samples
from ..tasks import Inpaint, Pixels, SuperRes
from .arguments import ImageLike, as_decoded, as_mask, is_exact, seen_by
from .draw import RESAMPLES, Progress
from .result import Candidates
from .sample import Candidate, Request, Sampler
from .score import Score, estimator_of, task_of


@overload
def restore(model: CAFlow, image: ImageLike, *args: Any, **options: Any) -> Candidates: ...
@overload
def restore(
    model: CAFlow, image: list[ImageLike], *args: Any, **options: Any
) -> list[Candidates]: ...
def restore(
    model: CAFlow,
    image: ImageLike | list[ImageLike],
    tau: Tau | None = None,
    candidates: int | None = None,
    keep: int = 1,
    seed: int = 0,
    mask: ImageLike | list[ImageLike] | None = None,
    **options: Any,
) -> Candidates | list[Candidates]:
    """Draw M samples from p(w|y), the candidates, and rank them.

    Each sample is composed with the input and rounded to 8 bits before it is scored, so `score`
    reproduces the score of a written candidate. Warnings about the input are in
    `Candidates.notes`.

    Args:
        model: Any model, such as `caflow_cli.load` returns; its task computes the condition from
            `image`.
        image: A path, a PIL image, an array (H, W, 3) or a tensor (3, H, W), see `as_image`; or a
            list of these, which gives a list of results. Alpha is kept.
        tau: Temperature: a number, or a shape such as (0.9, 0.7, 0.5) or "0.9/0.7/0.5" with one
            value per scale, finest first, or per latent. Default: the model's, else the task's.
        candidates: M. Default: the model's, else the task's; the latter is reduced for superres,
            unless ranked by consensus, to what fits 0.75 megapixels, but not below `keep`.
        keep: N, how many of the best candidates `kept` holds.
        seed: Candidate k is drawn from a generator with seed `seed + k`.
        mask: For inpaint: a path, a PIL image, or an array, either bool or uint8 (H, W) with 128
            and above where the image is to be filled; for a list of images, a list of masks.
        options: `rank`, `consistent` and `precision` of `Sampling`; `value_range` of `as_image`.

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
    value_range = options.pop("value_range", None)
    sampling = Sampling(tau=tau, candidates=candidates, keep=keep, seed=seed, **options)

    def restored(image: ImageLike, mask: ImageLike | None) -> Candidates:
        given, white = as_decoded(image, value_range), as_mask(mask)
        result = restore_images(model, [seen_by(model, given)], sampling, [white])[0]
        for one in result.ranked:
            one.put_back = partial(given.put_back, mask=white)
        return result

    images = image if isinstance(image, list) else [image]
    masks = mask if isinstance(mask, list) else [mask] * len(images)
    wrong = f"there are {len(masks)} masks for {len(images)} images"
    check_usage(len(masks) == len(images), wrong, "pass one mask for each image, or one for all")
    found = [restored(*pair) for pair in zip(images, masks, strict=True)]
    return found if isinstance(image, list) else found[0]


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
    task, white = task_of(model), as_mask(mask)
    image = seen_by(model, as_decoded(condition, value_range))
    scored = as_decoded(target, value_range)
    request = Request.of(task, image, white)
    if isinstance(task, Inpaint) and is_exact(scored):
        task.check_known(image, scored.rgb, white)
    return Sampler(model, [request]).score([scored.rgb], noise_samples)[0]


def restore_images(
    model: CAFlow,
    images: Sequence[Pixels],
    sampling: Sampling,
    masks: Sequence[Pixels | None],
    progress: Progress | None = None,
) -> list[Candidates]:
    """Restore several images of one model size as a batch; see `Drawing` for the arguments.

    Raises:
        CaflowError: As for `restore`. If one image fails, none of them has a result.
    """
    drawing = Drawing(model, images, sampling, masks, progress)
    for _ in drawing.draw():
        pass
    return [drawing.result(row) for row in range(len(images))]


class Drawing:
    """Draws candidates for images of one size, incrementally: more can be drawn at any time.

    Candidate k does not depend on when it is drawn or on the other images, up to rounding that
    differs with the batch size; with `batch_size` 1 it is the same bit for bit.

    Args:
        model: Any model.
        images: uint8 (H, W, 3) each, all with the same `Task.model_size`.
        sampling: For every image. If tau or M is None, it is the model's, else the task's.
        masks: uint8 (H, W), one for each image, or None.
        progress: Called after each pass of the model.
        batch_size: Candidates at a time. Default: as many as fit well into memory.

    Raises:
        CaflowError: As for `restore`.
    """

    def __init__(
        self,
        model: CAFlow,
        images: Sequence[Pixels],
        sampling: Sampling,
        masks: Sequence[Pixels | None],
        progress: Progress | None = None,
        batch_size: int | None = None,
    ) -> None:
        task = task_of(model)
        self._model, self._images, self._masks = model, images, masks
        bf16 = sampling.precision == "bf16"
        if bf16:
            check_bf16(model.device)
        if sampling.consistent and isinstance(task, SuperRes):
            task = replace(task, consistent=True)
        self._task = task
        requests = [Request.of(task, *one) for one in zip(images, masks, strict=True)]
        size = task.model_size(images[0], masks[0])
        self.sampling = sampling.of(model.config, size)  # with all defaults filled in
        self._sampler = Sampler(model, requests, True, progress, bf16, batch_size)
        self._found: list[list[Candidate]] = [[] for _ in images]
        self._drawn = 0

    def draw(self, count: int | None = None) -> Iterator[int]:
        """Draw and score the next `count` candidates in the order of k; by default M.

        Yields the number drawn so far after each batch, once every image has a candidate. If the
        iteration ends early, the candidates drawn so far are kept.

        Raises:
            CaflowError: The seeds run out, or all candidates of an image diverged.
        """
        sampling, first = self.sampling, self._drawn
        more = sampling.candidates if count is None else count
        ks = range(first, first + (more or 0))
        replace(sampling, candidates=ks.stop, keep=1).check()
        seeds = [sampling.seed] * len(self._images)
        for batch in self._sampler.batches(sampling.temperature, ks, seeds):
            for one in batch:
                if isinstance(self._task, SuperRes) and self._task.consistent:
                    apart = self._task.degrade(one.image).astype(int) - self._images[one.row]
                    one.consistency_max = int(np.abs(apart).max())
                self._found[one.row].append(one)
            self._drawn = min(ks.stop, self._drawn + self._sampler.at_a_time)
            if all(self._found):
                yield self._drawn
        ensure(
            all(self._found),
            f"{RESAMPLES + 1} samples in a row diverged at tau {sampling.temperature}",
            "a lower --tau, such as 0.3, or an image more like the training data",
        )

    def result(self, row: int = 0) -> Candidates:
        sampling, found, apart = self.sampling, self._found[row], None
        if sampling.rank == "consensus":
            apart = rmse_between([one.image for one in found])
        places = order(sampling.rank, [one.score.rank_score for one in found], apart)
        for rank, (index, value) in enumerate(places, 1):
            found[index].rank, found[index].rank_value = rank, value
        return Candidates(
            sorted(found, key=lambda one: one.rank),
            self._drawn - len(found),
            sampling,
            estimator_of(self._model, 1),
            self._sampler.conditions.statistics[row],
            self._images[row],
            self._masks[row],
            self._model.config,
            self._model.identity,
        )


def order(
    rule: str, scores: Sequence[float], apart: npt.NDArray[np.float64] | None = None
) -> list[tuple[int, float | None]]:
    """Rank the M candidates, best first: the index and v_k of each. No rule uses the truth.

        likelihood  v_k = log p(w_k | y), or the rank score           descending
        consensus   v_k = 1 / (M - 1)  Σ_{j ≠ k} RMSE(x_k, x_j)       ascending
        none        the order of k

    x_k is candidate k as written, and w_k its reduced form that is scored. Ties are broken by
    likelihood, then by k. `consensus` minimises the expected RMSE to a sample (minimum Bayes
    risk). v_k is None under "none", and under "consensus" if there is only one candidate.

    Args:
        rule: One of `RANKS`.
        scores: log p of each candidate, or its rank score, in nats.
        apart: The result of `rmse_between`, required by "consensus".

    Examples:
        >>> from caflow_cli.inference import order
        >>> order("likelihood", [-3.0, -1.0, -2.0])
        [(1, -1.0), (2, -2.0), (0, -3.0)]
    """
    if rule == "none":
        return [(k, None) for k in range(len(scores))]
    likelier = sorted(range(len(scores)), key=lambda k: (-scores[k], k))
    if rule == "likelihood":
        return [(k, float(scores[k])) for k in likelier]
    assert apart is not None, "only consensus is left"
    if len(scores) == 1:
        return [(0, None)]
    means = {k: float(apart[k][[j for j in likelier if j != k]].mean()) for k in likelier}
    return [(k, means[k]) for k in sorted(likelier, key=lambda k: means[k])]


def rmse_between(images: Sequence[Pixels]) -> npt.NDArray[np.float64]:
    """Pairwise RMSE of M images over pixels and channels, in levels of 0-255: (M, M) float64."""
    apart = np.zeros((len(images), len(images)))
    for i, j in combinations(range(len(images)), 2):
        squares = np.square(np.subtract(images[i], images[j], dtype=np.int32))
        apart[i, j] = apart[j, i] = np.sqrt(squares.mean(dtype=np.float64))
    return apart
