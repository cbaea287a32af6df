"""`caflow models`: list and describe models, and transfer them from and to the Hub."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ...errors import EXIT_WEIGHTS, CaflowError, check_usage
from .. import options
from ..console import Console
from ..options import expanded, option

if TYPE_CHECKING:
    from ...checkpoint import CheckpointInfo
    from ...hub.resolve import Resolved

models_app = typer.Typer(
    help="List, describe, verify and pack models; use the Hub.", no_args_is_help=True
)

Name = Annotated[str, typer.Argument(metavar="ID", help=options.MODEL_NAME)]
DATA_TERMS = option("--data-terms TEXT", "Training data and its terms.", default="")
LICENSE = "License of the weights: a Hub identifier, or any text."
GUIDE_LICENSE = option(
    "--guide-license TEXT", "License of the guide, if it is a network of another project."
)


@models_app.command("list")
@expanded
def list_command(console: Console) -> None:
    """List the models in the manifest: id, task, size, place, license, and each task's default.

    Prints a table on a terminal, and tab-separated lines with a header in a pipe.

    Example: caflow models list
    """
    from ...hub.manifest import load_manifest

    def line(*cells: str) -> str:
        text = "\t".join(cells).rstrip()
        return text.expandtabs(24) if sys.stdout.isatty() else text

    console.text([line("id", "task", "size", "place", "license", "default")])
    for entry in load_manifest().values():
        place = "bundled" if entry.file else f"{entry.repo_id}@{entry.revision}"
        size = f"{entry.bytes / 1e6:.1f} MB"
        default = "default" if entry.default else ""
        text = line(entry.id, entry.task, size, place, entry.license, default)
        console.result(asdict(entry), [text])


@models_app.command("info")
@expanded
def info_command(name: Name, console: Console) -> None:
    """Show everything known about a model: task, size, config, license, metrics, training.

    This command downloads nothing; `caflow models pull` downloads models.

    Example: caflow models info faces-superres-x4
    """
    from ...checkpoint import read_info
    from ...hub.resolve import resolve

    model = resolve(name, local=True)
    info = read_info(model.path)
    facts = _facts(name, model, info)
    brief = {}  # JSON has more
    for key, value in info.training.items():
        if key == "guide" or (key != "license" and not isinstance(value, dict | list)):
            brief[key] = value
    console.result(facts, _lines({**facts, "training": brief}))


def _facts(name: str, model: Resolved, info: CheckpointInfo) -> dict[str, Any]:
    """What is known about a model that was named so."""
    from ...checkpoint import calibration_in
    from ...hub.resolve import license_of, with_calibration
    from ...sampling import Sampling

    entry = model.entry
    cards = [model.path.with_suffix(".md"), model.path.with_name("README.md")]
    card = next((path for path in cards if path.is_file()), None)
    calibration = calibration_in(with_calibration(model, info.training))
    task = info.config.task
    filled = Sampling().of(info.config)
    defaults = (
        ("tau", filled.temperature.as_json(), task.tau),
        ("candidates", filled.candidates, task.candidates),
    )
    return {
        "input": name,
        "id": model.id,
        "task": task.name,
        "path": str(model.path),
        "bytes": model.path.stat().st_size,
        "sha256": model.sha256,
        "default": entry is not None and entry.default,
        "repo_id": entry.repo_id if entry else None,
        "revision": entry.revision if entry else None,
        "license": license_of(model, info.training),
        "data": entry.data if entry else None,
        "parameters": {"total": sum(info.parameters.values()), **info.parameters},
        "config": info.config.to_dict(),
        "metrics": entry.metrics if entry else {},
        "calibration": None if calibration is None else calibration.as_json(),
        "defaults": {
            name: {"value": value, "from": "default" if stated is None else "config"}
            for name, value, stated in defaults
        },
        "training": {k: v for k, v in info.training.items() if k != "domain"},
        "card": str(card) if card else None,
    }


def _lines(facts: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    """A line for every known fact."""
    for key, value in facts.items():
        if isinstance(value, dict):
            yield from _lines(value, f"{prefix}{key}.")
        elif value is not None and value is not False:
            yield f"{prefix + key:<18} {value}"


@models_app.command("path")
@expanded
def path_command(name: Name, console: Console) -> None:
    """Verify the sha256 of a model's file, and print its path.

    This command downloads nothing; `caflow models pull` downloads models.

    Example: caflow models path faces-superres-x4
    """
    from ...hub.resolve import resolve

    model = resolve(name, local=True)
    fields = {"input": name, "id": model.id, "path": str(model.path), "sha256": model.sha256}
    console.result(fields, [str(model.path)])


@models_app.command("verify")
@expanded
def verify_command(
    names: Annotated[
        list[str] | None,
        typer.Argument(metavar="ID", help=f"{options.MODEL_NAME} Default: all bundled models."),
    ] = None,
    *,
    console: Console,
) -> None:
    """Verify the hashes, headers, shapes and configs of models. Prints `ok` or `failed` for each.

    The exit code is 3 if a model fails.

    Example: caflow models verify
    """
    from ...hub.manifest import load_manifest
    from ...hub.resolve import verify

    for name in names or [entry.id for entry in load_manifest().values() if entry.file]:
        try:
            found = verify(name)
        except CaflowError as error:
            console.failure({"input": name}, error)
            console.text([f"failed\t{name}"])
        else:
            identity = {"path": str(found.path), "sha256": found.sha256}
            console.result({"input": name, "status": "ok", **identity}, [f"ok\t{name}"])
    if console.failed:
        raise typer.Exit(EXIT_WEIGHTS)


@models_app.command("pull")
@expanded
def pull_command(
    names: Annotated[
        list[str],
        typer.Argument(metavar="ID|REPO[@REV]", help="Manifest ids, or Hub repositories."),
    ],
    console: Console,
) -> None:
    """Download models into the cache, check their sha256, and print their paths.

    Cached models are not downloaded again.

    Example: caflow models pull user/name@v1
    """
    from ...hub.resolve import resolve

    for name in names:
        try:
            model = resolve(name)
        except CaflowError as error:
            console.failure({"input": name}, error)
        else:
            identity = {"path": str(model.path), "sha256": model.sha256, "commit": model.commit}
            console.result({"input": name, "status": "ok", **identity}, [str(model.path)])
    if console.failed:
        raise typer.Exit(EXIT_WEIGHTS)


@models_app.command("pack")
@expanded
def pack_command(
    run: Annotated[str, typer.Argument(metavar="RUN", help="Run folder, or model file.")],
    id: str = option("--id ID", "Id of the model.", default=...),
    output: str = option("--output -o DIR", "Output folder.", default="."),
    bundle: bool = option("--bundle", "Add it to this installation's bundled models."),
    default: bool = option("--default", "Make it the default for its task."),
    overwrite: bool = option("--overwrite", "Replace an existing model with that id."),
    data_terms: str = DATA_TERMS,
    license: str = option("--license TEXT", LICENSE, default="see the training data's terms"),
    guide_license: str | None = GUIDE_LICENSE,
    *,
    console: Console,
) -> None:
    """Pack a run's best averaged weights into one small file, with a manifest entry.

    The convolutions of networks are stored in bfloat16, everything else in float32.

    Example: caflow models pack run --id my-faces
    """
    from ...assets import WEIGHTS_DIR
    from ...hub.publish import MAX_BYTES, pack

    folder = WEIGHTS_DIR if bundle else Path(output)
    entry = pack(
        Path(run),
        id,
        folder,
        limit=MAX_BYTES if bundle else None,
        default=default,
        overwrite=overwrite,
        data_terms=data_terms,
        license_terms=license,
        guide_license=guide_license,
    )
    console.result(asdict(entry), [str(folder / f"{entry.id}.safetensors")])
    console.note(f"{entry.bytes / 1e6:.2f} MB, sha256 {entry.sha256}")


@models_app.command("export")
@expanded
def export_command(
    name: Name,
    guide: str | None = option(
        "--guide FILE.safetensors", "SRVGGNetCompact, for programs that use spandrel."
    ),
    onnx: str | None = option("--onnx FILE.onnx", "ONNX, opset 17."),
    overwrite: bool = option("--overwrite", "Replace an existing file."),
    *,
    console: Console,
) -> None:
    """Export the network of a superres model's guide, for other programs.

    It enlarges RGB images in [0, 1] of any size. The result is the image that the guide predicts:
    not a sample, and not exactly the image at temperature 0.

    Example: caflow models export photos-superres-x4 --guide guide.safetensors
    """
    check_usage(bool(guide or onnx), "nothing to export", "--guide FILE.safetensors or --onnx FILE")
    from ...hub.export import export_guide, export_onnx

    for path, export in ((guide, export_guide), (onnx, export_onnx)):
        if path is not None:
            metadata = export(name, Path(path), overwrite)
            console.result({"input": name, "path": path, **metadata}, [path])


@models_app.command("push")
@expanded
def push_command(
    run: Annotated[str, typer.Argument(metavar="RUN", help="Run folder, model file, or model id.")],
    repo: str = option("--repo USER/NAME", "Hub repository; created if missing.", default=...),
    revision: str | None = option("--revision BRANCH", "Branch to commit to; created if missing."),
    private: bool = option("--private", "Create the repository as private; refuse a public one."),
    license: str = option("--license TEXT", LICENSE, default=""),
    data_terms: str = DATA_TERMS,
    guide_license: str | None = GUIDE_LICENSE,
    message: str | None = option("--message TEXT", "Commit message."),
    overwrite: bool = option("--overwrite", "Replace the repository's README.md."),
    dry_run: bool = option("--dry-run", "Print the model card without pushing."),
    *,
    console: Console,
) -> None:
    """Push a model to the Hub in one commit: its unchanged file, its config, and a model card.

    Log in first with `hf auth login` or HF_TOKEN. The license and metrics of a packed model come
    from its manifest entry.

    Example: caflow models push run --repo user/my-faces --license cc-by-nc-4.0
    """
    from ...hub.publish import prepare, push

    content, card = prepare(run, repo, license, data_terms, guide_license)
    if dry_run:
        about = {"sha256": card.sha256, "bytes": len(content), "card": card.text}
        planned = {"input": run, "status": "planned", "repo_id": repo, **about}
        console.result(planned, [card.text.rstrip("\n")])
        return
    pushed = push(
        content, card, revision=revision, private=private, message=message, replace_card=overwrite
    )
    if "README.md" not in pushed["files"]:
        console.note("the repository's README.md is kept; --overwrite replaces it")
    console.result({"input": run, "status": "ok", **pushed}, [pushed["url"]])
