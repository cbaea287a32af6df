"""The form of an evaluation. What is given decides it; errors show a complete command."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

from ..errors import EXIT_USAGE, CaflowError
from ..evaluation.benchmarks import BENCHMARKS
from ..evaluation.protocols import PROTOCOLS
from .evaluation_options import DEFAULT_METRICS, Compared, ModelOnData, Written
from .loaded_model import behind_environment
from .typed import as_typed, from_file, weaker

__all__ = ["Form", "check_options", "form_of", "settled"]

Form = Literal["model", "sets", "lines"]

_FULL = "caflow evaluate --task superres --data faces/ --metric {}"
_PIPE = "caflow superres *.png -o out/ --json | caflow evaluate --reference DIR --metric {}"


def settled(
    pictures: Sequence[str], model: ModelOnData, compared: Compared, written: Written
) -> tuple[ModelOnData, Compared, Written]:
    """The options, without those of the user's file that mean nothing in the form that is meant.

    What is typed decides the form. Where nothing does, the file's data go before its reference.

    Raises:
        CaflowError: (exit 3) as for `behind_environment`.
    """
    typed = as_typed(model)
    has_lines = compared.reference is not None and not _is_on_data(typed)
    if pictures or (has_lines and (model.data is None or not from_file("reference"))):
        return typed, as_typed(compared, ("reference",) if pictures else ()), as_typed(written)
    model, written = as_typed(model, _yielding(model, typed)), _written(model, written)
    name = behind_environment(model.model, _task(model))
    return replace(model, model=name), as_typed(compared), written


def _is_on_data(model: ModelOnData) -> bool:
    return (model.data, model.task, model.protocol) != (None, None, None)


def _task(model: ModelOnData) -> str | None:
    """The task of a protocol, or the one that is named."""
    name = model.protocol or ""
    known = PROTOCOLS.get(name) or BENCHMARKS.get(name)
    return model.task if known is None else known.task


def _yielding(model: ModelOnData, typed: ModelOnData) -> set[str]:
    """The options of a model on data that typed ones exclude, if the user's file says them."""
    found = set()
    if typed.model is not None or typed.protocol is not None:  # which have a task of their own
        found.add("task")
    if typed.task is not None and _task(model) != typed.task:
        found.add("protocol")
    if typed.protocol in PROTOCOLS:
        found |= {"tau", "candidates", "keep", "rank", "limit"}
    if model.search_tau or model.search_rank:
        found |= {"protocol", "split", "tau", "rank", "keep"}
        found |= {"candidates"} if "," in (model.candidates or "") else set()
    if _keeps_too_many(model):
        found.add(weaker("keep", "candidates") or "")
    if "protocol" in found or model.protocol != "repair":
        found.add("masks")
    return found


def _keeps_too_many(model: ModelOnData) -> bool:
    kept, drawn = (model.keep or "1").split(","), (model.candidates or "inf").split(",")
    try:
        return min(map(float, kept)) > max(map(float, drawn))
    except ValueError:  # which is refused where it is used
        return False


def _written(model: ModelOnData, written: Written) -> Written:
    """The files that are wanted, without those of the user's file that there are none of here."""
    if model.search_tau or model.search_rank:
        return as_typed(written, ("save_images", "report", "skip_existing"))
    written = as_typed(written, ("write_defaults",))
    earlier = written.save_images is not None or written.report is not None
    return written if earlier else as_typed(written, ("skip_existing",))


def form_of(
    pictures: Sequence[str], metrics: Sequence[str], model: ModelOnData, compared: Compared
) -> Form:
    """The form that the arguments mean: a model on data, sets of pictures, or JSON lines on stdin.

    Raises:
        CaflowError: (exit 2) the form is not clear, or an argument is missing.
    """
    names = ",".join(metrics or DEFAULT_METRICS)

    def refuse(message: str, hint: str) -> CaflowError:
        return CaflowError(message, hint.format(names), EXIT_USAGE)

    on_data = _is_on_data(model)
    if pictures:
        if on_data or compared.reference is not None:
            raise refuse("give two folders to compare, or a model to sample, not both", _FULL)
        if len(pictures) != 2:
            raise refuse(
                f"{len(pictures)} sets of pictures are given, not two",
                "caflow evaluate GENERATED REFERENCE --metric {}",
            )
        return "sets"
    if on_data:
        if compared.reference is not None:
            raise refuse("--reference is for JSON lines, not for a model", _FULL)
        if model.data is None:
            raise refuse("no data to measure on", f"{_FULL.partition(' --data')[0]} --data DIR")
        return "model"
    if compared.reference is None:
        raise refuse("nothing to evaluate", _FULL)
    if sys.stdin is None or sys.stdin.isatty():
        raise refuse("--reference needs JSON lines on stdin", _PIPE)
    return "lines"


def check_options(form: Form, model: ModelOnData, compared: Compared, written: Written) -> None:
    """Refuse options of another form, and numbers out of range. CaflowError, exit code 2."""
    if form == "model":
        _check_model_options(model, compared, written)
    else:
        _check_comparison_options(model, compared, written)


def _check_model_options(model: ModelOnData, compared: Compared, written: Written) -> None:
    if compared.resize is not None:
        raise CaflowError(
            "--resize is for sets of pictures; data is brought to the model's size",
            "leave out --resize",
            EXIT_USAGE,
        )
    if model.masks is not None:
        raise CaflowError(
            "--masks is for --protocol repair", "--protocol repair, or no --masks", EXIT_USAGE
        )
    for name, value in (("--limit", model.limit), ("--batch-size", model.batch_size)):
        if value is not None and value < 1:
            raise CaflowError(f"{name} is {value}", f"{name} 10", EXIT_USAGE)
    if written.skip_existing and written.save_images is None and written.report is None:
        raise CaflowError(
            "--skip-existing needs a folder of an earlier run", "--save-images DIR", EXIT_USAGE
        )
    is_search = model.search_tau or model.search_rank
    for name, folder in (("--save-images", written.save_images), ("--report", written.report)):
        if is_search and folder is not None:
            raise CaflowError(
                f"a search has no {name}", "a sweep has: --tau 0.5,0.8 --report DIR", EXIT_USAGE
            )
    if written.write_defaults is None:
        return
    if not is_search:
        raise CaflowError(
            "--write-defaults without a search", "--search-tau --search-rank", EXIT_USAGE
        )
    if model.tau is not None:
        raise CaflowError(
            "a rule of choice is written for the model's own temperature",
            "leave --tau out, or --search-tau in its place",
            EXIT_USAGE,
        )


def _check_comparison_options(model: ModelOnData, compared: Compared, written: Written) -> None:
    for_models: dict[str, object] = {
        "--save-images": written.save_images,
        "--report": written.report,
        "--skip-existing": written.skip_existing or None,
        "--write-defaults": written.write_defaults,
        "--limit": model.limit,
        "--split": model.split,
        "--tau": model.tau,
        "--search-tau": model.search_tau or None,
        "--search-rank": model.search_rank or None,
        "-m": model.candidates,
        "-n": model.keep,
        "--rank": model.rank,
        "--batch-size": model.batch_size,
        "--masks": model.masks,
    }
    given = [name for name, value in for_models.items() if value is not None]
    if given:
        hint = _FULL.format(",".join(DEFAULT_METRICS))
        raise CaflowError(f"{given[0]} is for a model on data", hint, EXIT_USAGE)
    resize = compared.resize
    if resize is not None and not 1 <= resize <= 4096:
        raise CaflowError(f"--resize is {resize}", "--resize 256", EXIT_USAGE)
