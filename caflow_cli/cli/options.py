"""Options: how they are declared, and those shared by several commands."""

from __future__ import annotations

import dataclasses
import inspect
import os
import typing
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..errors import EXIT_FAILED, CaflowError, check_usage
from .console import Console

if TYPE_CHECKING:
    from ..config import Config
    from ..hub.resolve import Resolved
    from ..images import Encoder
    from ..model import CAFlow

# Titles of groups in `--help`. Common options have no group, and come first.
SAMPLING = "Sampling"
MODEL = "Model"
OUTPUT = "Input and output"


def option(
    spec: str, help: str, panel: str | None = None, *, default: Any = None, **settings: Any
) -> Any:
    """Declare an option, as the default of a parameter or of a field of a group.

    Args:
        spec: Its names and the placeholder of its value: "--candidates -m M". Flags have no value.
        help, panel: For `--help`: the text, and the group; None for a common option.
        default: `...` for a required option. A flag defaults to False; one that has an opposite,
            "--yes/--no", to None.
        settings: Further arguments of `typer.Option`.
    """
    names = [word for word in spec.split() if word.startswith("-")]
    metavar = " ".join(word for word in spec.split() if not word.startswith("-"))
    if not metavar and default is None and "/" not in spec:
        default = False
    settings |= {"metavar": metavar, "rich_help_panel": panel, "show_envvar": False}
    return typer.Option(default, *names, help=help, **settings)


def expanded(command: Callable[..., None]) -> Callable[..., None]:
    """Replace every parameter with a dataclass type by one option per field.

    Commands can thus share options: this builds the signature from which Typer reads them. A
    parameter `console` gets the fields of `Messages`; if it reports an error, the exit code is 1.
    Lines of the help are joined to paragraphs.
    """
    annotations = typing.get_type_hints(command, include_extras=True)
    groups: dict[str, Any] = {  # dataclasses
        name: Messages if kind is Console else kind
        for name, kind in annotations.items()
        if dataclasses.is_dataclass(kind)
    }
    parameters = _parameters(command, annotations, groups)

    def run(context: typer.Context, **values: Any) -> None:
        if isinstance(context.obj, CaflowError):  # from reading the user's file
            raise context.obj
        for name, kind in groups.items():
            fields = [field.name for field in dataclasses.fields(kind)]
            values[name] = kind(**{field: values.pop(field) for field in fields})
        if "context" in annotations:
            values["context"] = context
        _run(command, context, values)

    paragraphs = inspect.cleandoc(command.__doc__ or "").split("\n\n")
    run.__name__ = command.__name__
    run.__doc__ = "\n\n".join(" ".join(lines.split()) for lines in paragraphs)
    run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    run.__annotations__ = {p.name: p.annotation for p in parameters}
    return run


def _run(command: Callable[..., None], context: typer.Context, values: dict[str, Any]) -> None:
    """Run a command with these values; `console` among them holds its `Messages`."""
    if "console" not in values:
        command(**values)
        return
    name = context.command_path.partition(" ")[2]
    values["console"] = console = Console(command=name, **vars(values["console"]))
    if not console.live:  # hide the Hub's bars, too
        os.environ["HF_HUB_DISABLE_PROGRESS_BARS"] = "1"
    try:
        command(**values)
    finally:
        console.count_notes()
    if console.failed:
        raise typer.Exit(EXIT_FAILED)


def _parameters(
    command: Callable[..., None], annotations: dict[str, Any], groups: dict[str, Any]
) -> list[inspect.Parameter]:
    """The parameters from which Typer reads a command's options: `context`, then all of them."""
    keyword = inspect.Parameter.KEYWORD_ONLY
    parameters = [inspect.Parameter("context", keyword, annotation=typer.Context)]
    for name, parameter in inspect.signature(command).parameters.items():
        if name in groups:  # the dataclass's signature lists its options
            types = typing.get_type_hints(groups[name], include_extras=True)
            for field in inspect.signature(groups[name]).parameters.values():
                parameters.append(field.replace(annotation=types[field.name], kind=keyword))
        elif name != "context":
            parameters.append(parameter.replace(annotation=annotations[name], kind=keyword))
    for parameter in parameters:
        for argument in getattr(parameter.annotation, "__metadata__", ()):
            argument.show_envvar = False
    return parameters


def typed_arguments(arguments: Sequence[str]) -> list[str]:
    """What was typed, with the value that `--keep-metadata` has if none follows: basic.

    CaflowError (exit 2) for a second `--mask`, of which only the last would be used.
    """
    masks = [word for word in arguments if word.partition("=")[0] == "--mask"]
    check_usage(len(masks) < 2, "--mask is given twice", "--mask FILE, or --mask DIR")
    return _with_basic(arguments) if "--keep-metadata" in arguments else [*arguments]


def _with_basic(arguments: Sequence[str]) -> list[str]:
    """The arguments with `--keep-metadata=basic` for one that no value follows."""
    from ..images.metadata import METADATA  # here, because it imports Pillow

    completed = [*arguments]
    for index, argument in enumerate(arguments):
        if argument == "--":
            break
        following = "".join(arguments[index + 1 : index + 2])
        if argument == "--keep-metadata" and following not in METADATA:
            completed[index] += "=basic"
    return completed


MODEL_NAME = "An id from `caflow models list`, a file, a folder, or a Hub repository."

Images = Annotated[
    list[str],
    typer.Argument(
        metavar="IMAGE", help="Images, folders, globs in quotes, `-` for stdin, or `example:face`."
    ),
]
MODEL_OPTION = option("--model MODEL", f"{MODEL_NAME} Default: the task's bundled model.")
_DEVICES = "auto, cpu, cuda, cuda:N or mps; auto never uses mps. Env: CAFLOW_DEVICE."
device_option = partial(option, "--device NAME", _DEVICES, envvar="CAFLOW_DEVICE")
DEVICE = device_option(MODEL, default="auto")
SHARD = option(
    "--shard K/N",
    "Process every N-th input, from the K-th on. Default: RANK + 1 of WORLD_SIZE, if set.",
    OUTPUT,
)
NOISE_SAMPLES = option(
    "--noise-samples K", "Fixed noise samples; K > 1 gives a standard error.", default=1
)
RECURSIVE = option("--recursive -r", "Search folders recursively.", OUTPUT)
OVERWRITE = option("--overwrite", "Replace existing outputs.")
QUIET = option("--quiet -q", "Print only results and errors.")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Messages:
    """The options of a command's `Console`."""

    json: bool = option("--json", "Write each result to stdout as a JSON line.")
    quiet: bool = QUIET
    verbose: bool = option("--verbose -v", "Print every note, not one of each kind and a count.")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Files:
    """The options of commands that write images; each field is the option of the same name."""

    output: str | None = option(
        "--output -o PATH|DIR/|-",
        "Output file, folder (keeps subfolders), or `-` for stdout. Default: the input's folder; "
        "stdout for one image from stdin, if stdout is a pipe or a file.",
    )
    overwrite: bool = OVERWRITE
    recursive: bool = RECURSIVE
    skip_existing: bool = option("--skip-existing", "Skip existing outputs.", OUTPUT)
    dry_run: bool = option(
        "--dry-run",
        "Read all images, and list what would be written and drawn, and by which model; "
        "fail where the run would.",
        OUTPUT,
    )
    shard: str | None = SHARD

    keep = 1  # images that are written for each input

    @property
    def sheets(self) -> dict[str, str]:
        return {}

    def encoder(self, format: str | None = None) -> Encoder:
        """The encoder of outputs, in the format that their name has if no other is stated."""
        from ..images import Encoder

        return Encoder()


@dataclasses.dataclass(frozen=True, kw_only=True)
class Drawing(Files):
    """The options of commands that restore or sample images."""

    tau: str | None = option(
        "--tau T",
        "Temperature: lower is smoother, 1 samples the model's distribution. 0.9/0.7/0.5 sets one "
        "value per scale, finest first; longer lists, one per latent. Default: the model's, else "
        "the task's.",
    )
    candidates: int | None = option(
        "--candidates -m M",
        "Number to draw. Default: the model's, else the task's; fewer for large superres results "
        "and for holes of many windows.",
    )
    keep: int = option("--keep -n N", "Number of best candidates to write.", default=1)
    rank: str | None = option(
        "--rank BY",
        "Rank by likelihood, consensus (closest to all others) or none (by seed). Default: "
        "likelihood; a single candidate drawn in tiles is scored only if --rank is given.",
        SAMPLING,
    )
    seed: int = option("--seed S", "Random seed; candidate k uses S + k.", default=0)
    model: str | None = MODEL_OPTION
    device: str = DEVICE
    precision: str | None = option(
        "--precision P",
        "float32 (default) or bf16, which samples faster on GPUs and some CPUs; scores stay "
        "float32.",
        MODEL,
    )
    format: str | None = option(
        "--format F", "png, webp, jpg, tiff or avif. Default: the suffix of -o, else png.", OUTPUT
    )
    quality: int | None = option(
        "--quality Q",
        "Quality for jpg (default 95) and avif (default 90), 1 to 100. Makes webp lossy.",
        OUTPUT,
    )
    no_provenance: bool = option(
        "--no-provenance", "Do not embed provenance (model, seed, score; XMP) in images.", OUTPUT
    )
    keep_metadata: str = option(
        "--keep-metadata [all]",
        "Keep dates, camera, exposure, artist, copyright and description of the input's EXIF; with "
        "`all`, also the place. Default: none.",
        OUTPUT,
        default="none",
    )
    grid: str | None = option(
        "--grid FILE", "Write a PNG of each input with its candidates and their scores.", OUTPUT
    )
    uncertainty: str | None = option(
        "--uncertainty FILE",
        "Write a PNG of the candidates' standard deviation.",
        OUTPUT,
    )

    @property
    def sheets(self) -> dict[str, str]:
        """The files that show all inputs, by their options."""
        named = {"--grid": self.grid, "--uncertainty": self.uncertainty}
        return {name: file for name, file in named.items() if file is not None}

    def encoder(self, format: str | None = None) -> Encoder:
        from ..images import Encoder

        return Encoder(
            self.format or format or "png",
            self.quality,
            not self.no_provenance,
            self.keep_metadata,
        )


def load_model(model: str | Resolved, device: str) -> CAFlow:
    """Load a model, named or found.

    CaflowError: (exit 2) the device is missing; (exit 3) weights.
    """
    from ..hub.resolve import load, resolve

    resolved = resolve(model) if isinstance(model, str) else model

    from ..devices import keep_memory, select_device

    target = select_device(device)
    keep_memory()
    return load(resolved).to(target)


def read_config(model: Resolved, task: str | None) -> Config:
    """Read the config of a model; CaflowError (exit 2) if it is for another task."""
    from ..model.files import read_info
    from ..tasks import TASKS

    config = read_info(model.path).config
    check_usage(
        task in (None, config.task.name),
        f"model {model.id!r} is for {config.task.name}, not {task}",
        f"caflow {TASKS[config.task.name].command}, or another --model",
    )
    return config
