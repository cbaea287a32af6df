"""The JSON that commands write, and the provenance in a picture.

`assets/schema/lines.schema.json` describes the lines for readers; tests check that both agree.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from .output_size import FILTER

if TYPE_CHECKING:
    from ..inference import Candidate, Candidates, Score
    from ..inference.loaded_model import LoadedModel
    from ..sampling import Sampling
    from .output_size import Resized

__all__ = [
    "Fields",
    "Names",
    "Restored",
    "Scored",
    "planned_fields",
    "resized_fields",
]

Fields = Mapping[str, object]  # of a JSON line, in their order, behind schema and command
Names = Mapping[str, str]  # of what was read, as typed: "input", or "cond" and "target"; "mask"


@dataclass(frozen=True)
class Restored:
    """A restored picture: every candidate, and the files written."""

    names: Names
    loaded: LoadedModel
    sampling: Sampling  # with tau and M filled in
    result: Candidates
    paths: Mapping[int, str]  # by rank; none of what goes to stdout, or was there and is kept
    exact: bool  # the files hold the scored pixels and nothing else
    elapsed: float  # seconds
    resized: Resized | None = None  # behind the drawing

    @property
    def fields(self) -> Fields:
        """The JSON line."""
        return {
            **self.names,
            "status": "ok",
            "model": self.loaded.identity,
            "params": _params(self.sampling),
            **resized_fields(self.resized),
            "estimator": self.result.estimator,
            "outputs": [
                {"path": self.paths[candidate.rank], **self._candidate_fields(candidate)}
                for candidate in self.result.kept
                if candidate.rank in self.paths
            ],
            "candidates": [{"k": c.k, **self._candidate_fields(c)} for c in self.result.ranked],
            **_part_fields(self.result.ranked[0].score),
            "elapsed_s": round(self.elapsed, 3),
        }

    def _candidate_fields(self, candidate: Candidate) -> Fields:
        """A candidate, without its place among the outputs."""
        consistency = candidate.consistency_max
        return {
            "rank": candidate.rank,
            "seed": candidate.seed,
            "rank_by": self.result.rank_by,
            "rank_value": candidate.rank_value,
            "redraws": candidate.redraws,
            **_score_fields(candidate.score, self.exact),
            **({"consistency_max": consistency} if consistency is not None else {}),
        }


@dataclass(frozen=True)
class Scored:
    """A scored pair."""

    names: Names
    loaded: LoadedModel
    estimator: Fields
    score: Score
    exact: bool  # the target's file holds the scored pixels and nothing else
    elapsed: float  # seconds

    @property
    def per_pixel(self) -> float:
        """The score divided by the size, which sorts pairs of different sizes: more is better."""
        return self.score.rank_score / self.score.pixels

    @property
    def fields(self) -> Fields:
        """The JSON line."""
        return {
            **self.names,
            "status": "ok",
            "model": self.loaded.identity,
            "estimator": self.estimator,
            **_score_fields(self.score, self.exact),
            **_part_fields(self.score),
            "elapsed_s": round(self.elapsed, 3),
        }


def planned_fields(names: Names, outputs: Sequence[str], skipped: bool) -> Fields:
    """The JSON line of an input under `--dry-run`, or of an input whose outputs all exist."""
    return {
        **names,
        "status": "skipped" if skipped else "planned",
        "outputs": [{"rank": rank, "path": path} for rank, path in enumerate(outputs, 1)],
    }


def _params(sampling: Sampling) -> Fields:
    return {
        "tau": sampling.temperature.as_json(),
        "candidates": sampling.candidates,
        "keep": sampling.keep,
        "seed": sampling.seed,
        "rank": sampling.rank,
        **({"consistent": True} if sampling.consistent else {}),
        **_precision(sampling.precision),
    }


def _precision(precision: str) -> Fields:
    """That of draws, where it is not float32."""
    return {} if precision == "float32" else {"precision": precision}


def _score_fields(score: Score, exact: bool) -> Fields:
    fields = asdict(score)
    del fields["parts"]  # stated once, by `_part_fields`
    if score.standard_error is None:
        del fields["standard_error"]
    return {**fields, "score_exact": exact}


def resized_fields(resized: Resized | None) -> Fields:
    """The sizes that were drawn and written; nothing where they are one."""
    if resized is None:
        return {}
    return {"resized": {"drawn": resized.drawn, "written": resized.written, "filter": FILTER}}


def _part_fields(score: Score) -> Fields:
    """The windows onto a hole; nothing where there is none."""
    return {"parts": [asdict(place) for place in score.parts]} if score.parts else {}
