"""The form of an evaluation. What is given decides it; errors show a complete command."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Literal

from ..errors import EXIT_USAGE, CaflowError
from .evaluation_options import DEFAULT_METRICS, Compared, ModelOnData, Written

__all__ = ["Form", "check_options", "form_of"]

Form = Literal["model", "sets", "lines"]

_FULL = "caflow evaluate --task superres --data faces/ --metric {}"
_PIPE = "caflow superres *.png -o out/ --json | caflow evaluate --reference DIR --metric {}"


def _is_on_data(model: ModelOnData) -> bool:
    return (model.data, model.task, model.protocol) != (None, None, None)


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


def _check_comparison_options(model: ModelOnData, compared: Compared, written: Written) -> None:
    for_models: dict[str, object] = {
        "--save-images": written.save_images,
        "--report": written.report,
        "--skip-existing": written.skip_existing or None,
        "--limit": model.limit,
        "--split": model.split,
        "--tau": model.tau,
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
