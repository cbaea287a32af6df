"""Calibrated intervals: their option and settings, and the files beside a result."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import usage_error
from ..names import ENDS
from .options import INTERVALS, option

if TYPE_CHECKING:
    from ..images import Pixels
    from ..model import CAFlow
    from ..restoration import Candidates
    from ..sampling import Sampling
    from .console import Console
    from .options import Files
    from .plan import Job


@dataclass(frozen=True, kw_only=True)
class Intervals:
    """The option of commands whose results can have calibrated intervals, and what it does if it
    is used.
    """

    interval: bool = option(
        "--interval",
        "Also write NAME_low.png and NAME_high.png. On average over images of the same kind as "
        "those of the model's calibration, 90 % of values lie between them; this promises nothing "
        "for each image or pixel. tau, M, --consistent and precision are those of the calibration "
        "(`caflow calibrate`), and --uncertainty shows half the distance between the ends.",
        INTERVALS,
    )

    def check(self, files: Files, used: Sequence[str]) -> None:
        """Raise CaflowError (exit 2) for options that cannot be combined with --interval."""
        excluded = [*used, *["-o -"] * (files.output == "-")]
        if excluded:
            message = f"--interval and {excluded[0]} cannot be used together"
            raise usage_error(message, "leave one of them out")

    def note(self, model: CAFlow, sampling: Sampling, console: Console) -> None:
        """Say which settings the calibration determines, and what its intervals promise."""
        calibration = model.calibration
        if calibration is None:
            return
        from ..intervals import calibrated

        id = model.identity["id"]
        console.note(
            f"intervals of {id}: {calibrated(sampling, calibration, id).options}, as "
            f"calibrated on {calibration.images} images ({calibration.data}); on average over "
            f"images of the same kind, {100 * calibration.level:g} % of values lie within them"
        )

    def write(
        self, job: Job, found: Candidates, files: Files, console: Console
    ) -> dict[str, object]:
        """Write the ends of a result's intervals, and return their field for JSON; nothing if a
        candidate diverged.
        """
        if found.predicted_note:
            console.about(job.name, "no interval, because a candidate diverged")
            return {}
        from ..images import encode_png, is_of_grays
        from ..intervals import at_depth, interval, mean_width
        from .output import write_file

        calibration = found.request.model.calibration
        assert calibration is not None
        ends = interval(found)
        fields: dict[str, object] = {
            "level": calibration.level,
            "lambda": calibration.lambd,
            "mean_width": mean_width(*ends),
        }
        written = at_depth(*ends, found.request.depth)
        profile = found.request.seen.profile
        for end, image in zip(ENDS, written, strict=True):
            path = job.beside[end]
            shown = image[..., :1] if is_of_grays(profile) else image
            if write_file(job, path, encode_png(shown, profile=profile), files, console):
                fields[end] = str(path)
        return {"interval": fields}

    def chart(self, name: str, found: Candidates) -> Pixels | None:
        """The row of an image in `--uncertainty`; None if it has no intervals."""
        if found.predicted_note:
            return None
        from ..intervals import interval_chart

        return interval_chart(Path(name).name, found)
