"""`caflow score` of measured fields: of a field, or of every member of an ensemble."""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING

from ..fields import format_of_field, read_members, read_provenance
from ..hub.choice import Choice
from ..hub.resolve import maker_of
from .fields import find_model

if TYPE_CHECKING:
    from ..model import CAFlow
    from ..records import Table
    from .inputs import InputImage


def choice_of_fields(
    cond: InputImage, target: InputImage, model: str | None, typed: bool
) -> tuple[Choice, Table] | None:
    """The model that scores a pair, and the provenance of the target; None for a pair of images.

    A typed model counts, then that which made the target, then one for the condition's unit.

    Raises:
        CaflowError: A file cannot be read; (exit 2) there is no such model.
    """
    record: Table = {}
    if target.path is not None and format_of_field(target.path) is not None:
        record = read_provenance(target.path) or {}
    if not typed and "seeds" in record and (maker := maker_of(target.name, record, model)):
        return Choice(maker, "it made the target, according to its metadata"), record
    choice = find_model([cond.name, target.name], model)
    return None if choice is None else (choice, record)


def scored_lines(
    model: CAFlow,
    cond: InputImage,
    target: InputImage,
    record: Table,
    nodata: float | None,
    draws: int,
) -> Iterator[tuple[Table, str]]:
    """Score every band of a target: the fields of its line of JSON, and the line of text.

    Args:
        model: Of fields.
        cond: The coarse field.
        target: A field, or an ensemble.
        record: The target's provenance, which names the seeds of members.
        nodata: What stands for a missing value.
        draws: K, of noise.
    """
    from ..restoration import Coarse, estimator_of

    # Members have the missing values of the coarse field, perhaps stored as others.
    of_target = math.nan if nodata is not None and record else nodata
    coarse = Coarse(model, cond.read_field(nodata))
    fields = read_members(target.path or sys.stdin.buffer, nodata=of_target, name=target.name)
    seeds = record.get("seeds")
    for index, field in enumerate(fields):
        score = coarse.score(field, draws)
        line = {"estimator": estimator_of(model, draws), **score.as_json()}
        name = target.name
        if len(fields) > 1:
            line["member"] = index
            name += f" member {index}"
        if isinstance(seeds, list) and len(seeds) == len(fields):
            line["seed"] = seeds[index]
            name += f", seed {seeds[index]}" if len(fields) > 1 else ""
        yield line, f"{score.log_likelihood:.4f}\t-\t{name}"
