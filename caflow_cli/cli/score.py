"""`caflow score`."""

from __future__ import annotations

import os
import time
from typing import Annotated

import typer

from ..errors import EXIT_FAILED, EXIT_USAGE, CaflowError
from . import options
from .console import Console

__all__ = ["score_command"]


def score_command(
    cond: Annotated[
        str, typer.Option("--cond", metavar="A", help="The picture that went in; `example:face`.")
    ],
    target: Annotated[str, typer.Option("--target", metavar="B", help="The picture to score.")],
    model: options.ModelOnly = None,
    device: options.Device = "auto",
    noise_samples: options.NoiseSamples = 1,
    as_json: options.Json = False,
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,
) -> None:
    """Score a picture given its condition: log p(B | A), exact and repeatable.

    Prints nats, bits/dim and the target, with tabs between. The model is --model, else the one that
    the target says it was made with, else CAFLOW_MODEL, else the default. Nothing else is taken
    from the target's metadata: on a written candidate, this repeats the number that ranked it.

    Example: caflow score --cond face.png --target face_superres.png
    """
    console = Console(quiet, verbose)
    if noise_samples < 1:
        raise CaflowError(
            f"{noise_samples} noise samples are too few", "--noise-samples 1", EXIT_USAGE
        )

    from .inputs import read_input
    from .session import JSON_SCHEMA, error_record, load_model, score_fields

    start = time.perf_counter()
    try:
        if cond == "-" and target == "-":
            raise CaflowError("stdin cannot be both pictures", "name one file", EXIT_USAGE)
        condition_image, target_image = read_input(cond).rgb, read_input(target).rgb
        loaded = load_model(_model_name(model, target), device, None)

        from ..inference import estimator_of, score

        result = score(loaded.model, condition_image, target_image, noise_samples=noise_samples)
    except CaflowError as error:
        if as_json and error.exit_code == EXIT_FAILED:
            record = error_record("score", target, error)
            console.json({**record, "cond": cond, "target": target})
        raise
    if not as_json:
        console.result(f"{result.log_likelihood:.4f}\t{result.bits_per_dim:.6f}\t{target}")
        if result.standard_error is not None:
            console.note(
                f"standard error {result.standard_error:.4f} nats over {noise_samples} draws"
            )
        return
    console.json(
        {
            "schema": JSON_SCHEMA,
            "command": "score",
            "status": "ok",
            "cond": cond,
            "target": target,
            "model": loaded.identity,
            "estimator": estimator_of(loaded.model, noise_samples),
            **score_fields(result),
            "elapsed_s": round(time.perf_counter() - start, 3),
        }
    )


def _model_name(model: str | None, target: str) -> str | None:
    """--model, else the model that the target names, else CAFLOW_MODEL; None: the default.

    Raises:
        CaflowError: The target names a model that cannot be found (exit code 2).
    """
    from ..hub.manifest import load_manifest
    from ..hub.resolve import resolve

    given = os.environ.get("CAFLOW_MODEL") or None
    identity = None if model is not None else _provenance(target)
    if identity is None:
        return model or given
    name, sha256 = identity
    entry = load_manifest().get(name)
    if entry is not None and entry.sha256 == sha256:
        return name
    if given is not None and resolve(given).sha256 == sha256:
        return given
    if entry is None and "/" in name and resolve(name).sha256 == sha256:
        return name
    raise CaflowError(
        f"{target!r} was made with model {name!r} ({sha256[:12]}…), which is not at hand",
        "--model PATH of that model",
        EXIT_USAGE,
    )


def _provenance(target: str) -> tuple[str, str] | None:
    """Id and sha256 of the model that a picture of ours names."""
    from pathlib import Path

    from ..images import read_provenance

    if target == "-" or target.startswith("example:"):
        return None
    try:
        identity = (read_provenance(Path(target)) or {})["model"]
        return str(identity["id"]), str(identity["sha256"])
    except (KeyError, TypeError):
        return None
