"""What a restoring command says of its jobs: notes on stderr, JSON lines, and what it would do."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from ..names import MARKS
from .output import report_undone, reported

NOT_COMPARABLE = (
    "densities of fields with different numbers of wet cells have different units, so that their "
    "likelihoods do not compare"
)

if TYPE_CHECKING:
    from ..model import CAFlow
    from ..restoration import Candidates, Score
    from .asked import Asked, Prepared
    from .console import Console
    from .plan import Job


def restored_line(
    prepared: Prepared,
    found: Candidates,
    paths: Mapping[int, str],
    more: Mapping[str, object],
) -> dict[str, Any]:
    """The JSON line of a restored image; `paths` are the written files, by rank."""
    job = prepared.job
    encoder = job.encoder
    line = found.as_json(encoder.lossless and found.request.depth <= encoder.bits)
    if job.of_field:  # one file has all
        seeds = [candidate.seed for candidate in found.kept]
        outputs: list[dict[str, Any]] = [
            {"path": path, "members": seeds} for path in paths.values()
        ]
    else:
        outputs = [{"path": path, **line["candidates"][rank - 1]} for rank, path in paths.items()]
        for output in outputs:
            del output["k"]
    if MARKS in job.beside:
        more = {**more, MARKS: {"path": str(job.beside[MARKS])}}
    reason = prepared.reason
    return {**job.names, "status": "ok", **line, "outputs": outputs, "model_reason": reason, **more}


def report_result(job: Job, found: Candidates, console: Console) -> None:
    """Write to stderr what is to be said of a result."""
    if console.live and not console.json:
        for candidate in found.kept:
            of = f"rank {candidate.rank} of {len(found.ranked)}"
            console.note(f"  {of}, {candidate.score.summary}")
    if job.of_field and found.sampling.rank == "likelihood":
        console.about(job.name, NOT_COMPARABLE, "ranks of fields")
    if found.warning:
        console.about(f"warning: {job.name}", found.warning, "unlike the training data")
    if found.predicted_note:
        console.about(job.name, found.predicted_note, "candidates diverged")


def scored_line(
    names: Mapping[str, str], model: CAFlow, score: Score, estimator: Mapping[str, object]
) -> dict[str, Any]:
    """The JSON line of a scored pair, without `elapsed_s`."""
    return {
        **names,
        "status": "ok",
        "model": model.identity,
        "estimator": estimator,
        **score.as_json(),
        **({"parts": [asdict(place) for place in score.parts]} if score.parts else {}),
    }


def report_planned(asked: Asked) -> None:
    """Read all jobs, report what would be drawn, and refuse what the run refuses."""
    jobs = asked.jobs
    for job in jobs:
        with reported(job, asked.console, alone=len(jobs) == 1):
            prepared = asked.prepared(job)
            if prepared.error is not None:
                raise prepared.error
            report_undone(job, asked.console, **_planned(prepared, asked))


def _planned(prepared: Prepared, asked: Asked) -> dict[str, object]:
    """Say what would be drawn for a job; returns it for JSON."""
    request = prepared.request
    image = prepared.image
    name = prepared.job.name
    if request is None or image is None:
        if image is not None:
            asked.console.about(name, "nothing to fill, so the image would be copied")
        return {}
    model = request.model.identity
    m = request.sampling.candidates
    text = f"{m} candidate{'s' * (m != 1)}, by {model['id']}"
    fields: dict[str, object] = {
        "model": model,
        "model_reason": prepared.reason,
        "candidates": m,
    }
    if request.mask is None:
        height, width = request.size
        megapixels = height * width / 1e6
        text = f"{width}×{height}, {megapixels:.3g} megapixels, {text}"
        fields["megapixels"] = megapixels
    asked.console.note(f"{name}: would draw {text}")
    return fields
