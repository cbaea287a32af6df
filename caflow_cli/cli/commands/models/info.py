"""`caflow models info`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any, TypedDict

import typer

from ....errors import CaflowError
from ... import completion, options
from ...console import Console
from ...option_groups import expanded
from ...reporter import Reporter

if TYPE_CHECKING:
    from ....checkpoint import CheckpointInfo
    from ....hub.describe import Description

__all__ = ["info_command"]


@expanded
def info_command(
    name: Annotated[
        str,
        typer.Argument(metavar="ID", help=options.MODEL_NAME, autocompletion=completion.models),
    ],
    json: options.JsonResult = False,
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,
) -> None:
    """Show everything known about a model: task, size, config, terms, metrics, training.

    This command downloads nothing; `caflow models pull` downloads models.

    Example: caflow models info faces-superres-x4
    """
    from ....hub.describe import describe

    reporter = Reporter("models info", Console(quiet, verbose), json)
    facts = _facts(name, describe(name))
    reporter.result(
        facts, (f"{label:<12} {_printable(value)}" for label, value in _lines(facts, verbose))
    )


class _Facts(TypedDict):
    """The facts about a model, as the JSON line states them. None means not known."""

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
    defaults: dict[str, Any]  # tau, candidates and rank: the value, and where it comes from
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
        "defaults": _defaults(info),
        "training": training,
        "card": str(model.card) if model.card else None,
    }


def _defaults(info: CheckpointInfo) -> dict[str, Any]:
    """Each default, and where it comes from: a search on validation pictures, whose record is
    there as well, the config, or what holds without one. `rank` is what `--rank best` takes."""
    from ....checkpoint import origins
    from ....sampling import Sampling

    try:
        filled = Sampling(rank="best").of(info.config)
    except CaflowError:  # a task of another version
        return {}
    task, found = info.config.task, origins(info.config, info.training)
    said = found.sentences()
    values = {
        "tau": (filled.temperature.as_json(), task.tau is not None, found.tau),
        "candidates": (filled.candidates, task.candidates is not None, None),
        "rank": (filled.rank, task.rank != "likelihood", found.rank),
    }
    return {
        name: {
            "value": value,
            "from": "search" if record else "config" if own else "default",
            **({"search": record, "text": said[name]} if record else {}),
        }
        for name, (value, own, record) in values.items()
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
    for name, default in facts["defaults"].items():
        value = "/".join(map(str, default["value"])) if name == "tau" else default["value"]
        origin = {"config": "of its config", "default": "as of any model of its task"}
        yield name, default.get("text") or f"{value}, {origin[default['from']]}"
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
    """Escape what could move a terminal's cursor, since the text may come from a stranger."""
    return "".join(
        c if c.isprintable() or 0xDC80 <= ord(c) <= 0xDCFF else repr(c)[1:-1] for c in text
    )
