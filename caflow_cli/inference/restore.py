"""Draw M candidates, rank them, by log-likelihood or else, keep the best N (paper section 4.4)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import NamedTuple

from ..devices import check_bf16
from ..model import CAFlow
from ..sampling import Sampling
from ..tasks import Picture, SuperRes
from ..temperature import Tau
from .candidates import Conditioned, Request
from .choice import distances, order
from .consistent import consistency
from .pictures import Pictured, as_mask, as_picture
from .progress import Progress
from .results import Candidate, Candidates
from .score import Score, check_mask, estimator_of, task_of
from .tiling import check_size

__all__ = ["Candidate", "Candidates", "Drawing", "restore", "restore_alike", "restore_with"]


def restore(
    model: CAFlow,
    image: Pictured,
    tau: Tau | None = None,
    candidates: int | None = None,
    keep: int = 1,
    seed: int = 0,
    mask: Pictured | None = None,
    *,
    rank: str = "likelihood",
    consistent: bool = False,
    precision: str = "float32",
) -> Candidates:
    """Draw candidates of p(w|y), each one sample, and rank them, by log-likelihood or else.

    Each draw is composed with the input and rounded to 8 bits before it is scored. So `score` on
    the written picture repeats the number that ranked it. What is to be known of the input is in
    `Candidates.notes`.

    Args:
        model: Any model, as `caflow_cli.load` loads it by name; its task turns `image` into a
            condition.
        image: A path, a PIL image, or an array, uint8 (H, W, 3); see `as_picture`.
        tau: Temperature: a number, or a shape such as (0.9, 0.7, 0.5) or "0.9/0.7/0.5", one a
            scale, finest first, or one a latent; default: the model's, else the task's.
        candidates: M; default likewise.
        keep: N, how many of them `kept` holds.
        seed: Candidate k draws from generator `seed + k`.
        mask: For inpaint: a path, a PIL image, or an array, uint8 (H, W), 128 and up where the
            picture is to be filled, or bool.
        rank: "likelihood"; "consensus" (`inference.choice`); "none" for the order of k.
        consistent: superres: project each draw back to a picture that shrinks to `image`, within
            one level, before it is scored (`back_project`).
        precision: "bf16" draws with nets in bfloat16, where that is faster. Each candidate differs
            a little, and is scored in float32 like any picture.

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
            a candidate runs away eleven times, or bfloat16 is not fast here.
    """
    sampling = Sampling(
        tau=tau,
        candidates=candidates,
        keep=keep,
        seed=seed,
        rank=rank,
        consistent=consistent,
        precision=precision,
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
        progress: Is told behind each pass of the model (`inference.progress`).

    Raises:
        CaflowError: As for `restore`.
    """
    (result,) = restore_alike(model, [image], sampling, [mask], progress)
    return result


def restore_alike(
    model: CAFlow,
    images: Sequence[Picture],
    sampling: Sampling,
    masks: Sequence[Picture | None],
    progress: Progress | None = None,
) -> list[Candidates]:
    """Do as `restore_with` for several pictures, which are drawn and scored in batches of them all.

    Each picture has the candidates that it has alone, up to the rounding of another batch size.

    Args:
        model: Any model.
        images: uint8 (H, W, 3) each, with one `Task.model_size` for all.
        sampling: For every picture.
        masks: uint8 (H, W), one for each picture, or None.
        progress: Is told behind each pass of the model (`inference.progress`).

    Raises:
        CaflowError: As for `restore`, for one of the pictures: no other has a result then, either.
    """
    drawings = _Drawings(model, images, sampling, masks, progress)
    for _ in drawings.draw():
        pass
    return [drawings.result(row) for row in range(len(images))]


class Drawing:
    """The candidates of one picture while they are drawn. More can be drawn at any time.

    Candidates are drawn one by one, so drawing 10 and then 10 gives what drawing 20 at once gives.

    Args:
        model, image, sampling, mask, progress: As for `restore_with`.

    Examples:
        >>> import caflow_cli as caflow
        >>> from caflow_cli.assets import example_path
        >>> from caflow_cli.images import read_image
        >>> from caflow_cli.inference import Drawing
        >>> from caflow_cli.sampling import Sampling
        >>> model, image = caflow.load("faces-superres-x4"), read_image(example_path("face"))
        >>> drawing = Drawing(model, image, Sampling(candidates=2))
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
        self._drawings = _Drawings(model, [image], sampling, [mask], progress, batch_size=1)

    @property
    def sampling(self) -> Sampling:
        """The settings, with all defaults filled in."""
        return self._drawings.sampling

    def draw(self, count: int | None = None) -> Iterator[int]:
        """Draw and score candidates, the next ones by k; yield how many there are, behind each.

        What is drawn is kept where this is left early.

        Args:
            count: How many; None: M of `sampling`.

        Raises:
            CaflowError: The seeds do not suffice; a candidate runs away eleven times.
        """
        yield from self._drawings.draw(count)

    def result(self) -> Candidates:
        """Rank all candidates that are drawn; there must be one."""
        return self._drawings.result(0)


class _Drawn(NamedTuple):
    """A candidate, not yet ranked."""

    draws: tuple[Picture, ...]
    consistency_max: int | None
    score: Score
    redraws: int


class _Drawings:
    """The candidates of pictures of one size while they are drawn, in batches of them all."""

    def __init__(
        self,
        model: CAFlow,
        images: Sequence[Picture],
        sampling: Sampling,
        masks: Sequence[Picture | None],
        progress: Progress | None,
        batch_size: int | None = None,
    ) -> None:
        self._batch_size = batch_size
        self._task, self.sampling = task_of(model), sampling.of(model.config)
        self._images, self._masks = images, masks
        self._config, self._identity = model.config, model.identity
        self._estimator = estimator_of(model, 1)
        self._requests = [
            self._request(image, mask) for image, mask in zip(images, masks, strict=True)
        ]
        bf16 = self.sampling.precision == "bf16"
        if bf16:
            check_bf16(model.device)
        self._conditioned = Conditioned(model, self._requests, progress=progress, bf16=bf16)
        self._found: list[list[_Drawn]] = [[] for _ in images]

    def _request(self, image: Picture, mask: Picture | None) -> Request:
        check_mask(self._task, mask)
        check_size(self._task.model_size(image, mask))
        return Request.of(self._task, image, mask, self.sampling.consistent)

    def draw(self, count: int | None = None) -> Iterator[int]:
        """As `Drawing.draw`; yields how many candidates the picture of the last one has."""
        sampling, done = self.sampling, len(self._found[0])
        more = sampling.candidates if count is None else count
        assert more is not None, "Sampling.of fills it in"
        replace(sampling, candidates=done + more, keep=1).check()
        for drawn, score in self._conditioned.candidates(
            sampling.temperature,
            more,
            [sampling.seed + done] * len(self._requests),
            batch_size=self._batch_size,
        ):
            found = self._found[drawn.request]
            if isinstance(self._task, SuperRes) and sampling.consistent:
                levels = consistency(self._images[drawn.request], drawn.image, self._task)
                found.append(_Drawn((drawn.image,), levels, score, drawn.redraws))
            else:
                found.append(_Drawn(drawn.draws, None, score, drawn.redraws))
            yield len(found)

    def result(self, row: int) -> Candidates:
        """Rank all candidates of a picture."""
        sampling = self.sampling
        return Candidates(
            self._ranked(row),
            sampling.keep,
            sampling.temperature,
            sampling.rank,
            sampling.precision,
            self._estimator,
            self._conditioned.statistics[row],
            self._images[row],
            self._masks[row],
            self._config,
            self._identity,
        )

    def _ranked(self, row: int) -> list[Candidate]:
        sampling, found = self.sampling, self._found[row]
        compose = _as_it_is if sampling.consistent else self._requests[row].compose
        apart = None
        if sampling.rank == "consensus":
            apart = distances(len(found), lambda k: compose(found[k].draws))
        places = order(sampling.rank, [one.score.rank_score for one in found], apart)
        ranked = []
        for position, (k, value) in enumerate(places, 1):
            draws, off, score, redraws = found[k]
            seed = sampling.seed + k
            ranked.append(Candidate(k, seed, position, value, score, off, draws, compose, redraws))
        return ranked


def _as_it_is(projected: Sequence[Picture]) -> Picture:
    """Compose a picture that is already composed, because it was projected."""
    (picture,) = projected
    return picture
