"""What a restoring command says of its jobs: notes on stderr, JSON lines, and what it would do."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import CaflowError
from ..images import Header
from ..tasks import check_one_pass
from ..tasks.base import check_same_size
from .masking import no_mask
from .output import report_undone, reported

if TYPE_CHECKING:
    from ..images import Encoder, Input
    from ..model import CAFlow
    from ..restoration import Candidates, Score
    from .asked import Asked
    from .console import Console
    from .plan import Job, Plan
    from .prepare import Prepared


def report_input(job: Job, image: Input, encoder: Encoder, console: Console) -> None:
    """Say what of an input its result does not keep."""
    for loss in encoder.losses(image):
        console.about(job.name, loss)


def restored_line(
    prepared: Prepared,
    found: Candidates,
    paths: Mapping[int, str],
    lossless: bool,
    more: Mapping[str, object],
) -> dict[str, Any]:
    """The JSON line of a restored image; `paths` are the written files, by rank."""
    line = found.as_json(lossless)
    by_rank = {}
    for each in line["candidates"]:
        by_rank[each["rank"]] = {key: value for key, value in each.items() if key != "k"}
    outputs = [{"path": path, **by_rank[rank]} for rank, path in paths.items()]
    names = prepared.job.names
    reason = prepared.reason
    return {**names, "status": "ok", **line, "outputs": outputs, "model_reason": reason, **more}


def report_result(job: Job, found: Candidates, console: Console) -> None:
    """Write to stderr what is to be said of a result."""
    if found.warning:
        console.about(f"warning: {job.name}", found.warning, "unlike the training data")
    if found.lower_tau_note:
        console.about(job.name, found.lower_tau_note, "all candidates diverged")
    if found.diverged:
        console.about(
            job.name,
            f"{found.diverged} of {found.sampling.candidates} candidates diverged at tau "
            f"{found.tau} and were dropped; a lower --tau avoids this",
            "candidates diverged",
        )
    if len(found.kept) < found.sampling.keep:
        message = f"{job.name}: only {len(found.kept)} of {found.sampling.keep} images drawn"
        console.error(CaflowError(message, "a lower --tau, or a larger -m"))


def scored_line(
    names: Mapping[str, str], model: CAFlow, score: Score, noise_samples: int
) -> dict[str, Any]:
    """The JSON line of a scored pair, without `elapsed_s`."""
    from ..restoration import estimator_of

    return {
        **names,
        "status": "ok",
        "model": model.identity,
        "estimator": estimator_of(model, noise_samples),
        **score.as_json(),
        **({"parts": [asdict(place) for place in score.parts]} if score.parts else {}),
    }


def report_planned(plan: Plan, asked: Asked) -> None:
    """Report what would be drawn, and refuse by the headers of images what the run refuses."""
    console = asked.console
    task = asked.task
    for job in plan.jobs:
        with reported(job, console, alone=len(plan.jobs) == 1):
            header = None if job.skipped else _fitting_header(job)
            fields: dict[str, object] = {}
            if header is not None:
                image = np.broadcast_to(np.uint8(0), (*header.size, 3))
                height, width = asked.editing.drawn_size(task, image)
                if job.beside:
                    check_one_pass((height, width))
                if task.needs_mask and "mask" not in job.companions and header.opaque:
                    raise no_mask(job.name)
                if not task.needs_mask:  # otherwise it depends on the hole
                    m = asked.defaults.of(asked.config, (height, width)).candidates
                    megapixels = height * width / 1e6
                    console.note(
                        f"{job.name}: would draw {width}×{height}, {megapixels:.3g} megapixels, "
                        f"{m} candidate{'s' * (m != 1)}"
                    )
                    fields = {"megapixels": megapixels, "candidates": m}
            report_undone(job, console, **fields)


def _fitting_header(job: Job) -> Header | None:
    """The header of a job's image; None for stdin. CaflowError (exit 1) if a file cannot be read,
    or if a companion has another size.
    """
    header = job.source.header()
    for kind, source in job.companions.items():
        other = source.header()
        if header is not None and other is not None:
            verb = "are" if kind == "hints" else "is"
            check_same_size(f"the {kind} {verb}", other.size, header.size)
    return header
