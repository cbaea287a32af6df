"""Options that several commands share."""

from __future__ import annotations

import dataclasses
import inspect
import typing
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any

import typer

__all__ = [
    "MODEL_NAME",
    "Device",
    "DeviceOrConfigs",
    "Frame",
    "Images",
    "Json",
    "JsonResult",
    "Mask",
    "Model",
    "ModelOnly",
    "NoiseSamples",
    "Overwrite",
    "Quiet",
    "Recursive",
    "Restoration",
    "Seed",
    "Verbose",
    "expanded",
]

SAMPLING, MODEL, OUTPUT, MESSAGES = "Sampling", "Model", "Input and output", "Messages"

_DEVICE_HELP = "auto, cpu, cuda, cuda:N or mps; auto never takes mps."
MODEL_NAME = "An id of `caflow models list`, a file, a folder, or a Hub repository."
_MODEL_HELP = f"Model: {MODEL_NAME[0].lower()}{MODEL_NAME[1:]}"

Images = Annotated[
    list[str],
    typer.Argument(
        metavar="IMAGE",
        help="Pictures, folders, globs in quotes; `-` for stdin; `example:NAME`, such as "
        "`example:face`.",
    ),
]
Mask = Annotated[
    str | None,
    typer.Option(
        "--mask",
        metavar="FILE|DIR",
        help="White where the picture is to be filled, as large as the picture. One for all, or a "
        "folder with one of each picture's name, whatever its suffix.",
        rich_help_panel=OUTPUT,
    ),
]
Model = Annotated[
    str | None,
    typer.Option(
        "--model",
        metavar="ID|PATH|REPO[@REV]",
        help=_MODEL_HELP,
        envvar="CAFLOW_MODEL",
        rich_help_panel=MODEL,
    ),
]
# For `score`, where the target's own word comes before the environment's.
ModelOnly = Annotated[
    str | None,
    typer.Option("--model", metavar="ID|PATH|REPO[@REV]", help=_MODEL_HELP, rich_help_panel=MODEL),
]
Device = Annotated[
    str,
    typer.Option(
        "--device",
        metavar="NAME",
        help=_DEVICE_HELP,
        envvar="CAFLOW_DEVICE",
        rich_help_panel=MODEL,
    ),
]
# For `train`, where a config may say.
DeviceOrConfigs = Annotated[
    str | None,
    typer.Option("--device", metavar="NAME", help=_DEVICE_HELP, envvar="CAFLOW_DEVICE"),
]
Seed = Annotated[
    int,
    typer.Option(
        "--seed",
        metavar="S",
        help="Candidate k draws from seed S + k: `--seed S+k -m 1` draws it again.",
        rich_help_panel=SAMPLING,
    ),
]
NoiseSamples = Annotated[
    int,
    typer.Option(
        "--noise-samples",
        metavar="K",
        help="Fixed noise draws a score averages over; K > 1 gives its standard error.",
        rich_help_panel=SAMPLING,
    ),
]
Json = Annotated[
    bool,
    typer.Option(
        "--json",
        help="One JSON line a picture on stdout, as it is done.",
        rich_help_panel=OUTPUT,
    ),
]
JsonResult = Annotated[
    bool, typer.Option("--json", help="JSON on stdout, one object a line.", rich_help_panel=OUTPUT)
]
Recursive = Annotated[
    bool,
    typer.Option(
        "--recursive", "-r", help="Search the folders in folders.", rich_help_panel=OUTPUT
    ),
]
Frame = Annotated[
    int | None,
    typer.Option(
        "--frame",
        metavar="N",
        help="Take frame N of animations, page N of files with pages; from 1.",
        rich_help_panel=OUTPUT,
    ),
]
Overwrite = Annotated[
    bool,
    typer.Option("--overwrite", help="Replace outputs that exist.", rich_help_panel=OUTPUT),
]
Quiet = Annotated[
    bool,
    typer.Option("--quiet", "-q", help="Results and errors only.", rich_help_panel=MESSAGES),
]
Verbose = Annotated[
    bool, typer.Option("--verbose", "-v", help="Say more on stderr.", rich_help_panel=MESSAGES)
]


@dataclass(frozen=True, kw_only=True)
class Restoration:
    """What `superres`, `colorize`, `inpaint` and `sample` have in common."""

    tau: Annotated[
        float | None,
        typer.Option(
            "--tau",
            metavar="T",
            help="Temperature: lower is smoother, 1 is the model's distribution. Default: the "
            "model's, else 0.5 (colorize 0.85, paired 0.8).",
            rich_help_panel=SAMPLING,
        ),
    ] = None
    candidates: Annotated[
        int | None,
        typer.Option(
            "--candidates",
            "-m",
            metavar="M",
            help="Candidates to draw. Default: the model's, else 10 (inpaint 30).",
            rich_help_panel=SAMPLING,
        ),
    ] = None
    keep: Annotated[
        int,
        typer.Option(
            "--keep",
            "-n",
            metavar="N",
            help="How many of the best to write.",
            rich_help_panel=SAMPLING,
        ),
    ] = 1
    rank: Annotated[
        str,
        typer.Option(
            "--rank",
            metavar="BY",
            help="likelihood, or none: the order of drawing.",
            rich_help_panel=SAMPLING,
        ),
    ] = "likelihood"
    seed: Seed = 0
    noise_samples: NoiseSamples = 1
    model: Model = None
    device: Device = "auto"
    batch_size: Annotated[
        int | None,
        typer.Option(
            "--batch-size",
            metavar="B",
            help="Candidates at a time. Default: by size.",
            rich_help_panel=MODEL,
        ),
    ] = None
    compile: Annotated[
        bool,
        typer.Option(
            "--compile",
            help="Compile the sampler (`torch.compile`; CUDA graphs on a GPU): minutes first, for "
            "many pictures of one size. Scores are not compiled.",
            rich_help_panel=MODEL,
        ),
    ] = False
    output: Annotated[
        str | None,
        typer.Option(
            "--output",
            "-o",
            metavar="PATH|DIR/|-",
            help="File, folder (in which folders are mirrored), or `-` for stdout. Default: beside "
            "the input.",
            rich_help_panel=OUTPUT,
        ),
    ] = None
    recursive: Recursive = False
    overwrite: Overwrite = False
    skip_existing: Annotated[
        bool,
        typer.Option(
            "--skip-existing",
            help="Keep outputs that exist, and leave out pictures that have them all.",
            rich_help_panel=OUTPUT,
        ),
    ] = False
    format: Annotated[
        str | None,
        typer.Option(
            "--format",
            metavar="F",
            help="png, webp, jpg or tiff; jpg is lossy. Default: the suffix of -o, else png.",
            rich_help_panel=OUTPUT,
        ),
    ] = None
    quality: Annotated[
        int | None,
        typer.Option(
            "--quality",
            metavar="Q",
            help="1 to 100, of jpg (default 95); makes webp lossy.",
            rich_help_panel=OUTPUT,
        ),
    ] = None
    no_metadata: Annotated[
        bool,
        typer.Option(
            "--no-metadata",
            help="Leave out the provenance: model, seed, score.",
            rich_help_panel=OUTPUT,
        ),
    ] = False
    frame: Frame = None
    grid: Annotated[
        str | None,
        typer.Option(
            "--grid",
            metavar="FILE",
            help="PNG of each input with all its candidates by rank, their scores below.",
            rich_help_panel=OUTPUT,
        ),
    ] = None
    uncertainty: Annotated[
        str | None,
        typer.Option(
            "--uncertainty",
            metavar="FILE",
            help="PNG of where the candidates of each input differ: their standard deviation.",
            rich_help_panel=OUTPUT,
        ),
    ] = None
    dry_run: Annotated[
        bool,
        typer.Option(
            "--dry-run",
            help="List what would be written, and stop.",
            rich_help_panel=OUTPUT,
        ),
    ] = False
    json: Json = False
    quiet: Quiet = False
    verbose: Verbose = False

    @property
    def files(self) -> dict[str, Any]:
        """Arguments of `plan`: what is read, and how it is written."""
        names = ("recursive", "overwrite", "skip_existing", "format", "quality", "frame")
        return {name: getattr(self, name) for name in names} | {"metadata": not self.no_metadata}

    @property
    def sampling(self) -> dict[str, Any]:
        """The arguments of `restore`."""
        names = ("tau", "candidates", "keep", "seed", "batch_size", "noise_samples", "rank")
        return {name: getattr(self, name) for name in names}


def expanded(command: Callable[..., None]) -> Callable[..., None]:
    """A command whose parameter of a dataclass type becomes one option a field.

    Typer reads the options of a command from its signature; this writes that signature, so that
    commands share options without repeating them. Lines of a paragraph of its help are joined.
    """
    hints = typing.get_type_hints(command, include_extras=True)
    groups: dict[str, Any] = {
        name: kind for name, kind in hints.items() if dataclasses.is_dataclass(kind)
    }
    parameters: list[inspect.Parameter] = []
    for parameter in inspect.signature(command).parameters.values():
        if parameter.name not in groups:
            parameters.append(
                parameter.replace(
                    annotation=hints[parameter.name], kind=inspect.Parameter.KEYWORD_ONLY
                )
            )
            continue
        kind = groups[parameter.name]
        types = typing.get_type_hints(kind, include_extras=True)
        parameters += [
            inspect.Parameter(
                field.name,
                inspect.Parameter.KEYWORD_ONLY,
                default=field.default,
                annotation=types[field.name],
            )
            for field in dataclasses.fields(kind)
        ]

    def run(**values: Any) -> None:
        for name, kind in groups.items():
            fields = [field.name for field in dataclasses.fields(kind)]
            values[name] = kind(**{field: values.pop(field) for field in fields})
        command(**values)

    paragraphs = inspect.cleandoc(command.__doc__ or "").split("\n\n")
    run.__name__ = command.__name__
    run.__doc__ = "\n\n".join(" ".join(lines.split()) for lines in paragraphs)
    run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    run.__annotations__ = {p.name: p.annotation for p in parameters}
    return run
