"""`caflow models info`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any, TypedDict

import typer

from ... import options
from ...console import Console
from ...reporter import Reporter

if TYPE_CHECKING:
    from ....hub.describe import Description

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
    from ....hub.describe import describe

    reporter = Reporter("models info", Console(quiet, verbose), as_json)
    facts = _facts(name, describe(name))
    reporter.result(
        facts, (f"{label:<12} {_printable(value)}" for label, value in _lines(facts, verbose))
    )


class _Facts(TypedDict):
    """A model, as the JSON line states it; None: not known."""

    input: str
    id: str
    task: str
    path: str
    bytes: int
    sha256: str
    default: bool
    repo_id: str | None
    revision: str | None
    license: str | None
    data: str | None
    parameters: dict[str, int]  # by part, and in total
    config: dict[str, Any]
    metrics: dict[str, Any]
    domain: object
    training: dict[str, Any]  # free-form, as its maker wrote it
    card: str | None


def _facts(name: str, model: Description) -> _Facts:
    entry, info = model.entry, model.info
    training = dict(info.training)
    return {
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


def _lines(facts: _Facts, verbose: bool) -> Iterator[tuple[str, str]]:
    """Label and text of every fact that is known."""
    yield "id", facts["id"] + (" (default)" if facts["default"] else "")
    yield "task", facts["task"]
    yield "path", facts["path"]
    yield "size", f"{facts['bytes']:,} bytes"
    yield "sha256", facts["sha256"]
    if facts["repo_id"]:
        yield "hub", f"{facts['repo_id']}@{facts['revision']}"
    yield "terms", facts["license"] or "not in the manifest"
    if facts["data"]:
        yield "data", facts["data"]
    counts = dict(facts["parameters"])
    total = f"{counts.pop('total'):,}"
    yield "parameters", f"{total} ({', '.join(f'{part} {n:,}' for part, n in counts.items())})"
    for part, values in facts["config"].items():
        yield f"config.{part}", _figures(values)
    metrics = dict(facts["metrics"])
    if metrics:
        yield "protocol", str(metrics.pop("protocol"))
        for label, value in metrics.items():
            yield "measured", f"{label}: {_figures(value)}"
    domain = facts["domain"]
    if isinstance(domain, dict):
        yield "domain", _figures(domain if verbose else _scalars(domain))
    if facts["training"]:
        yield "training", _figures(facts["training"] if verbose else _scalars(facts["training"]))
    if facts["card"]:
        yield "card", facts["card"]


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
