"""τ chosen from a field itself, for `--tau auto`.

The field is made as coarse again as it is, its means are refined at each τ, and the maxima of areas
of the members are compared with those of the field, which are known.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from ..config import Temperature
from ..ensembles import crps
from ..errors import ensure
from ..fields.project import areas_of, repeated
from ..images.profile import Array
from ..sampling import Sampling
from ..tasks import Fields
from .candidates import Candidates
from .draw import draw
from .request import Chosen, Request, encode, prepare

_LADDER = (0.8, 0.9, 1.0, 1.1, 1.2)
_MEMBERS = 16
_AREA = 4  # cells of the field on each side of an area with a maximum
_BLOCK = 4  # areas on each side of what counts as independent
_CELLS = 64 * 64
_AREAS = 200
_ERRORS = 2  # how many standard errors a gain must have


def with_chosen_tau(request: Request) -> Request:
    """The request at the τ that its field chooses, if τ is auto; else the request itself.

    Raises:
        CaflowError: The field is too small, or has too little rain.
    """
    if not request.sampling.temperature.is_auto:
        return request
    chosen = choose_tau([request])
    sampling = replace(request.sampling, tau=Temperature.of(chosen["tau"]))
    return replace(request, sampling=sampling, chosen=chosen)


def choose_tau(requests: Sequence[Request]) -> Chosen:
    """Choose τ for fields together, such as those of a day.

    The choice depends on nothing but the coarse fields and the model: 16 members of fixed seeds are
    drawn at each of 0.8, 0.9 … 1.2. It is the τ with the least CRPS of the maxima of areas of 4×4
    cells, over those whose mean is wet at the coarser scale; but the model's own, unless the paired
    gain over that exceeds two standard errors over blocks of 16×16 cells.

    Args:
        requests: Of one model of fields with dry cells.

    Raises:
        CaflowError: The fields are too small, or have too little rain.
    """
    cells = sum(request.image.size for request in requests)
    height, width = requests[0].image.shape[:2]
    ensure(
        cells >= _CELLS,
        f"tau is auto, and a field of {width}×{height} cells is too small to choose it",
        "--tau 1, or any number; or a field of 64×64 cells",
    )
    model = requests[0].model
    own = Sampling().of(model.config).temperature
    center = np.mean(own.values)
    ladder = sorted(_LADDER, key=lambda tau: abs(tau - center))
    taus = [*dict.fromkeys([own, *map(Temperature.of, ladder)])]  # of a tie, the first is taken
    of_fields = [_errors(request, taus) for request in requests]
    blocks = np.concatenate([sums for sums, _ in of_fields], 1)
    areas = sum(count for _, count in of_fields)
    ensure(
        areas >= _AREAS,
        f"tau is auto, and {areas} areas of 4×4 cells with rain are too few to choose it",
        "--tau 1, or any number; or a field with rain in 200 such areas",
    )
    totals = blocks.sum(1)
    best = int(totals.argmin())
    gains = blocks[0] - blocks[best]
    error = math.sqrt(len(gains)) * float(gains.std(ddof=1))
    gain = float(gains.sum())
    whole = float(totals[0]) or 1.0
    tau = taus[best] if gain > _ERRORS * error else own
    return Chosen(
        tau=[*tau.values],
        own=[*own.values],
        best=[*taus[best].values],
        areas=areas,
        gain=gain / whole,
        standard_error=error / whole,
    )


def summary_of(chosen: Chosen) -> str:
    """What was chosen, and why, in words."""
    tau, own, best = (Temperature.of(chosen[key]) for key in ("tau", "own", "best"))
    gain = f"{100 * chosen['gain']:.1f} ± {100 * chosen['standard_error']:.1f} %"
    of_areas = f"on {chosen['areas']:,} areas"
    if tau != own:
        return f"τ {tau}, chosen {of_areas}, whose maxima have a CRPS {gain} below that of {own}"
    if best == own:
        return f"τ {tau}, the model's own, which is the best {of_areas}"
    return f"τ {tau}, the model's own: {of_areas}, {best} gains {gain}, less than two errors"


def _errors(request: Request, taus: Sequence[Temperature]) -> tuple[Array, int]:
    """The CRPS of maxima of a field's areas, summed over blocks, (τ, blocks); and their number."""
    task = request.task
    assert isinstance(task, Fields), "what chooses τ is a field"
    side = math.lcm(_AREA, task.factor)
    height, width = (length - length % side for length in request.image.shape[:2])
    if not height * width:
        return np.empty((len(taus), 0)), 0
    known, coarse = task.coarsened(request.image[:height, :width, 0])
    means = areas_of(repeated(coarse.image.values[..., 0], task.factor), _AREA).max(-1)
    wet = task.scale.is_wet(means)
    true = areas_of(known, _AREA).max(-1)[wet]
    rows, columns = np.nonzero(wet)
    _, block = np.unique(rows // _BLOCK * width + columns // _BLOCK, return_inverse=True)
    again = prepare(request.model, coarse, None, Sampling(candidates=_MEMBERS)).unscored
    conditions = encode([again])
    sums = []
    for tau in taus:
        at = replace(again, sampling=replace(again.sampling, tau=tau))
        *_, [found] = draw([Candidates(at)], conditions)
        highest = areas_of(found.values, _AREA).max(-1)[:, wet]
        sums.append(np.bincount(block, crps(highest, true)))
    return np.array(sums), int(wet.sum())
