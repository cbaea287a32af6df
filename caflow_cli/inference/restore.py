"""Draw M candidates, rank them, by log-likelihood or else, keep the best N (paper section 4.4)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from ..model import CAFlow
from ..sampling import Sampling
from ..tasks import Picture, SuperRes
from ..temperature import Tau
from .candidates import Conditioned, Progress, Request
from .choice import CONSENSUS, Values, distances, order, own_log_likelihoods
from .consistent import consistency
from .pictures import Pictured, as_mask, as_picture
from .refine import check_refinable
from .results import Candidate, Candidates
from .score import Score, check_mask, estimator_of, task_of
from .tiling import check_size

__all__ = ["Candidate", "Candidates", "Drawing", "restore", "restore_with"]


def restore(
    model: CAFlow,
    image: Pictured,
    tau: Tau | None = None,
    candidates: int | None = None,
    keep: int = 1,
    seed: int = 0,
    mask: Pictured | None = None,
    *,
    batch_size: int | None = None,
    noise_samples: int = 1,
    rank: str = "likelihood",
    consistent: bool = False,
    refine: int = 0,
) -> Candidates:
    """Draw candidates of p(w|y), each one sample, and rank them, by log-likelihood or else.

    Each draw is composed with the input and rounded to 8 bits before it is scored. So `score` on
    the written picture repeats the number that ranked it.

    Args:
        model: Any model; its task turns `image` into a condition.
        image: A path, a PIL image, or an array, uint8 (H, W, 3); see `as_picture`.
        tau: Temperature: a number, or a shape such as (0.9, 0.7, 0.5) or "0.9/0.7/0.5", one a
            scale, finest first, or one a latent; default: the model's, else the task's.
        candidates: M; default likewise.
        keep: N, how many of them `kept` holds.
        seed: Candidate k draws from generator `seed + k`.
        mask: For inpaint: a path, a PIL image, or an array, uint8 (H, W), 128 and up where the
            picture is to be filled, or bool.
        batch_size: Candidates at a time. Default: as many as fit well into memory.
        noise_samples: K of the scores.
        rank: "likelihood"; "consensus", "typical" or "likely-consensus" (`inference.choice`);
            "best", the one of them that the model's config names; "none" for the order of k.
        consistent: superres: project each draw back to a picture that shrinks to `image`, within
            one level, before it is scored (`back_project`).
        refine: Gradient steps on each draw's latents that raise its log-density, before it is
            composed (`inference.refine`). Refined candidates are no plain samples.

    Examples:
        >>> import caflow_cli as caflow
        >>> from caflow_cli.assets import example_path
        >>> model = caflow.load("faces-superres-x4")
        >>> result = caflow.restore(model, example_path("face"), tau=0.8, candidates=3, keep=2)
        >>> [(candidate.rank, candidate.image.shape) for candidate in result.kept]
        [(1, (64, 64, 3)), (2, (64, 64, 3))]
        >>> best, second = (candidate.score.rank_score for candidate in result.kept)
        >>> best >= second
        True

    Raises:
        CaflowError: An argument is out of range, the picture is too large, the mask does not fit,
            or to be refined, or a candidate runs away eleven times.
    """
    sampling = Sampling(
        tau=tau,
        candidates=candidates,
        keep=keep,
        seed=seed,
        noise_samples=noise_samples,
        rank=rank,
        batch_size=batch_size,
        consistent=consistent,
        refine=refine,
    )
    return restore_with(model, as_picture(image), sampling, as_mask(mask))


def restore_with(
    model: CAFlow,
    image: Picture,
    sampling: Sampling,
    mask: Picture | None = None,
    progress: Progress | None = None,
) -> Candidates:
    """Do as `restore`, with the settings in one record.

    Args:
        model: Any model.
        image: uint8 (H, W, 3).
        sampling: If tau or M is None, it is the model's, else the task's.
        mask: uint8 (H, W), for inpaint.
        progress: Is told when a part of a batch of candidates is done.

    Raises:
        CaflowError: As for `restore`.
    """
    drawing = Drawing(model, image, sampling, mask, progress)
    for _ in drawing.draw():
        pass
    return drawing.result()


class Drawing:
    """The candidates of one picture while they are drawn. More can be drawn at any time.

    Candidate k is the same whether it is drawn at first or later, if it is drawn in a batch of the
    same candidates; so with `sampling.batch_size` 1, drawing 10 and then 10 gives what drawing 20
    at once gives.

    Args:
        model, image, sampling, mask, progress: As for `restore_with`.

    Examples:
        >>> import caflow_cli as caflow
        >>> from caflow_cli.assets import example_path
        >>> from caflow_cli.images import read_image
        >>> from caflow_cli.inference import Drawing
        >>> from caflow_cli.sampling import Sampling
        >>> model, image = caflow.load("faces-superres-x4"), read_image(example_path("face"))
        >>> drawing = Drawing(model, image, Sampling(candidates=2, batch_size=1))
        >>> list(drawing.draw()), list(drawing.draw(1))
        ([1, 2], [3])
        >>> [candidate.rank for candidate in drawing.result().ranked]
        [1, 2, 3]

    Raises:
        CaflowError: As for `restore`.
    """

    def __init__(
        self,
        model: CAFlow,
        image: Picture,
        sampling: Sampling,
        mask: Picture | None = None,
        progress: Progress | None = None,
    ) -> None:
        task, self.sampling = task_of(model), sampling.of(model.config)
        check_mask(task, mask)
        size = task.model_size(image, mask)
        check_size(size)
        if sampling.refine:
            check_refinable(size)
        request = Request.of(task, image, mask, sampling.consistent)
        self._task, self._image, self._identity = task, image, model.identity
        self._estimator = estimator_of(model, sampling.noise_samples)
        self._conditioned = Conditioned(model, [request], progress=progress)
        self._compose = _as_it_is if sampling.consistent else request.compose
        self._found: list[tuple[tuple[Picture, ...], int | None, Score, int]] = []
        self._own: Values | None = None

    def draw(self, count: int | None = None) -> Iterator[int]:
        """Draw and score candidates, the next ones by k; yield how many there are, behind each.

        What is drawn is kept where this is left early.

        Args:
            count: How many; None: M of `sampling`.

        Raises:
            CaflowError: The seeds do not suffice; a candidate runs away eleven times.
        """
        sampling, done = self.sampling, len(self._found)
        more = sampling.candidates if count is None else count
        assert more is not None, "Sampling.of fills it in"
        replace(sampling, candidates=done + more).check()
        for drawn, score in self._conditioned.candidates(
            sampling.temperature,
            more,
            [sampling.seed + done],
            sampling.noise_samples,
            sampling.batch_size,
            sampling.refine,
        ):
            if isinstance(self._task, SuperRes) and sampling.consistent:
                levels = consistency(self._image, drawn.image, self._task)
                self._found.append(((drawn.image,), levels, score, drawn.redraws))
            else:
                self._found.append((drawn.draws, None, score, drawn.redraws))
            yield len(self._found)

    def result(self) -> Candidates:
        """Rank all candidates that are drawn; there must be one."""
        sampling, found, compose = self.sampling, self._found, self._compose
        apart = None
        if sampling.rank in CONSENSUS:
            apart = distances(len(found), lambda k: compose(found[k][0]))
        if sampling.rank == "typical" and self._own is None:
            (self._own,) = own_log_likelihoods(
                self._conditioned, sampling.noise_samples, sampling.batch_size
            )
        scores = [score.rank_score for _, _, score, _ in found]
        ranked = []
        for position, (k, value) in enumerate(order(sampling.rank, scores, apart, self._own), 1):
            draws, off, score, redraws = found[k]
            seed = sampling.seed + k
            ranked.append(Candidate(k, seed, position, value, score, off, draws, compose, redraws))
        return Candidates(
            ranked,
            sampling.keep,
            sampling.temperature,
            sampling.rank,
            sampling.refine,
            self._estimator,
            self._conditioned.statistics[0],
            self._image,
            self._task.name,
            self._identity,
        )


def _as_it_is(projected: Sequence[Picture]) -> Picture:
    """Compose a picture that is already composed, because it was projected."""
    (picture,) = projected
    return picture
