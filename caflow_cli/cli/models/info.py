"""`caflow models info`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .. import options
from ..console import Console
from ..records import SCHEMA

if TYPE_CHECKING:
    from ...hub.describe import Description

__all__ = ["info_command"]


def info_command(
    name: Annotated[str, typer.Argument(metavar="ID", help=options.MODEL_NAME)],
    as_json: options.JsonResult = False,
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,
) -> None:
    """Show all that is known of a model: task, size, config, terms, metrics, training.

    Nothing is downloaded: `caflow models pull` does that.

    Example: caflow models info faces-superres-x4
    """
    from ...hub.describe import describe

    console = Console(quiet, verbose)
    record = _record(name, describe(name))
    if as_json:
        console.json(record)
        return
    for label, value in _lines(record, verbose):
        console.result(f"{label:<12} {_printable(value)}")


def _record(name: str, model: Description) -> dict[str, Any]:
    entry, info = model.entry, model.info
    training = dict(info.training)
    return {
        "schema": SCHEMA,
        "command": "models info",
        "input": name,
        "id": model.resolved.id,
        "task": info.config.task.name,
        "path": str(model.resolved.path),
        "bytes": model.bytes,
        "sha256": model.resolved.sha256,
        "default": entry is not None and entry.default,
        "repo_id": entry.repo_id if entry else None,
        "revision": entry.revision if entry else None,
        "license": entry.license if entry else None,
        "data": entry.data if entry else None,
        "parameters": {"total": sum(info.parameters.values()), **info.parameters},
        "config": info.config.to_dict(),
        "metrics": entry.metrics if entry else {},
        "domain": training.pop("domain", None),
        "training": training,
        "card": str(model.card) if model.card else None,
    }


def _lines(record: dict[str, Any], verbose: bool) -> Iterator[tuple[str, str]]:
    """The record as (label, text), without what is not known."""
    yield "id", record["id"] + (" (default)" if record["default"] else "")
    for label in ("task", "path"):
        yield label, record[label]
    yield "size", f"{record['bytes']:,} bytes"
    yield "sha256", record["sha256"]
    if record["repo_id"]:
        yield "hub", f"{record['repo_id']}@{record['revision']}"
    yield "terms", record["license"] or "not in the manifest"
    if record["data"]:
        yield "data", record["data"]
    counts = dict(record["parameters"])
    total = f"{counts.pop('total'):,}"
    yield "parameters", f"{total} ({', '.join(f'{part} {n:,}' for part, n in counts.items())})"
    for part, values in record["config"].items():
        yield f"config.{part}", _figures(values)
    metrics = dict(record["metrics"])
    if metrics:
        yield "protocol", str(metrics.pop("protocol"))
        for label, value in metrics.items():
            yield "measured", f"{label}: {_figures(value)}"
    domain = record["domain"]
    if isinstance(domain, dict):
        yield "domain", _figures(domain if verbose else _scalars(domain))
    if record["training"]:
        yield "training", _figures(record["training"] if verbose else _scalars(record["training"]))
    if record["card"]:
        yield "card", record["card"]


def _scalars(values: dict[str, Any]) -> dict[str, Any]:
    return {k: v for k, v in values.items() if not isinstance(v, dict | list)}


def _figures(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{k} {_figures(v)}" for k, v in value.items() if v is not None)
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(_figures, value)) + "]"
    return str(value)


def _printable(text: str) -> str:
    """Escape what could move a terminal's cursor: the file's maker wrote it. Names keep bytes."""
    return "".join(
        c if c.isprintable() or 0xDC80 <= ord(c) <= 0xDCFF else repr(c)[1:-1] for c in text
    )
