"""Options: how they are declared, and those shared by several commands."""

from __future__ import annotations

import dataclasses
import inspect
import os
import re
import types
import typing
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer
from typer.models import OptionInfo

from ..errors import EXIT_FAILED, CaflowError, usage_error
from ..records import kinds_of, settings

if TYPE_CHECKING:
    from ..fields import FieldEncoder
    from ..images import Encoder
    from ..images.ranges import Range

# Titles of groups in `--help`. Common options have no group, and come first.
SAMPLING = "Sampling"
MODEL = "Model"
OUTPUT = "Input and output"
INTERVALS = "Intervals"
FIELDS = "Measured fields"
CLUSTERS = "Clusters"
_LAST = (INTERVALS, FIELDS, CLUSTERS)  # few need them, so their groups end the help


def option(
    spec: str, help: str, panel: str | None = None, *, default: Any = None, of: str = "",
    **settings: Any,
) -> Any:  # fmt: skip
    """Declare an option, as the default of a parameter or of a field of a group.

    Args:
        spec: Its names and the placeholder of its value: "--candidates -m M". Flags have no value.
        help, panel: For `--help`: the text, and the group; None for a common option.
        default: `...` for a required option. A flag defaults to False; one that has an opposite,
            "--yes/--no", to None.
        of: As for `Setting`; `Console.check_applies` refuses it for others.
        settings: Further arguments of `typer.Option`, such as a `parser` of the typed text.
    """
    names = [word for word in spec.split() if word.startswith("-")]
    metavar = " ".join(word for word in spec.split() if not word.startswith("-"))
    if not metavar and default is None and "/" not in spec:
        default = False
    settings |= {"metavar": metavar, "rich_help_panel": panel, "show_envvar": False}
    declared = typer.Option(default, *names, help=help, **settings)
    declared.of = of
    return declared


class Words(NamedTuple):
    """What the help says of a record's settings in one command, and their group there."""

    panel: str
    help: Mapping[str, str]  # by field


def expanded(command: Callable[..., None]) -> Callable[..., None]:
    """Replace every parameter whose type is a record by one option per field.

    A record is a dataclass or a `TypedDict`; its fields are declared by `option`, or have a
    `Setting` in their annotation, or are records themselves. Typer reads the options from the
    signature that is built here, as texts, numbers and flags, of which the record is then made. A
    `Console` gets the command's name; if it reports an error, the exit code is 1.
    Lines of the help are joined to paragraphs.
    """
    parameters, records = _signature(command)
    takes_context = "context" in inspect.signature(command).parameters

    def run(context: typer.Context, **values: Any) -> None:
        if isinstance(context.obj, CaflowError):  # from reading the user's file
            raise context.obj
        values |= {name: _record(kind, values) for name, kind in records.items()}
        if takes_context:
            values["context"] = context
        console = values.get("console")
        if console is None:
            command(**values)
            return
        console.command = context.command_path.partition(" ")[2]
        console.typed = dict(_limited(parameters, context))
        if not console.live:  # hide the Hub's bars, too
            os.environ["HF_HUB_DISABLE_PROGRESS_BARS"] = "1"
        try:
            command(**values)
        finally:
            console.count_notes()
        if console.failed:
            raise typer.Exit(EXIT_FAILED)

    paragraphs = inspect.cleandoc(command.__doc__ or "").split("\n\n")
    run.__name__ = command.__name__
    run.__doc__ = "\n\n".join(" ".join(lines.split()) for lines in paragraphs)
    run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    run.__annotations__ = {p.name: p.annotation for p in parameters}
    return run


def _limited(
    parameters: Sequence[inspect.Parameter], context: typer.Context
) -> Iterator[tuple[str, str]]:
    """The typed options that apply to one kind of input, and that."""
    for parameter in parameters:
        of = getattr(parameter.default, "of", "")
        where = context.get_parameter_source(parameter.name)
        if of and where is not None and where.name == "COMMANDLINE":
            yield max(parameter.default.param_decls, key=len).partition("/")[0], of


def _signature(command: Callable[..., None]) -> tuple[list[inspect.Parameter], dict[str, Any]]:
    """The parameters from which Typer reads a command's options, and its records by name."""
    annotations = typing.get_type_hints(command, include_extras=True)
    name = command.__name__.removesuffix("_command")
    keyword = inspect.Parameter.KEYWORD_ONLY
    parameters = [inspect.Parameter("context", keyword, annotation=typer.Context)]
    records: dict[str, Any] = {}
    for parameter in inspect.signature(command).parameters.values():
        kind = annotations[parameter.name]
        if _is_record(kind):
            records[parameter.name] = kind
            parameters += _parameters(kind, name)
        elif parameter.name != "context":
            parameters.append(parameter.replace(annotation=kind, kind=keyword))
    parameters.sort(key=_rank_of_panel)
    for parameter in parameters:
        for argument in getattr(parameter.annotation, "__metadata__", ()):
            argument.show_envvar = False
    return parameters, records


def _rank_of_panel(parameter: inspect.Parameter) -> int:
    panel = getattr(parameter.default, "rich_help_panel", None)
    return _LAST.index(panel) + 1 if panel in _LAST else 0


def _is_record(kind: Any) -> bool:
    return dataclasses.is_dataclass(kind) or typing.is_typeddict(kind)


def _parameters(record: Any, command: str, words: Words | None = None) -> list[inspect.Parameter]:
    """The parameters from which Typer reads the options of a record."""
    parameters = []
    fields = dataclasses.fields(record) if dataclasses.is_dataclass(record) else ()
    defaults = {f.name: ... if f.default is dataclasses.MISSING else f.default for f in fields}
    declared = settings(record)
    for name, annotation in kinds_of(record).items():
        if name in declared:
            _, setting = declared[name]
            if not setting.option or (setting.commands and command not in setting.commands):
                continue
            text = words.help[name] if words else setting.help
            panel = words.panel if words else setting.panel
            default = defaults.get(name, setting.default)
            declaration = option(setting.option, text, panel, default=default, of=setting.of)
            annotation = _taken(annotation)
        elif _is_record(getattr(annotation, "__origin__", annotation)):
            nested, *said = typing.get_args(annotation) or [annotation]
            parameters += _parameters(nested, command, *said)
            continue
        elif isinstance(declaration := defaults.get(name), OptionInfo):
            if declaration.parser:  # of a text, or of each of several
                several = any(
                    typing.get_origin(kind) is list for kind in typing.get_args(annotation)
                )
                annotation = list[Any] if several else Any
        else:  # a keyword of Python alone
            continue
        keyword = inspect.Parameter.KEYWORD_ONLY
        parameters.append(
            inspect.Parameter(name, keyword, default=declaration, annotation=annotation)
        )
    return parameters


def _record(kind: Any, values: dict[str, Any]) -> Any:
    """Make a record of the options that are its fields, which leave `values`."""
    found = {}
    for name, annotation in kinds_of(kind).items():
        nested = getattr(annotation, "__origin__", annotation)
        if name in values:
            found[name] = values.pop(name)
        elif _is_record(nested):
            found[name] = _record(nested, values)
    return kind(**found)


def _taken(annotation: Any) -> Any:
    """What Typer takes for an annotation: a text, a flag or a number, or None."""
    origin = typing.get_origin(annotation)
    arguments = typing.get_args(annotation)
    if origin is Annotated:
        return _taken(arguments[0])
    if origin is typing.Literal:
        return type(arguments[0])
    if origin not in (typing.Union, types.UnionType):
        return annotation
    found = [_taken(part) for part in arguments]
    simple = next(kind for kind in (str, bool, int, float) if kind in found or kind | None in found)
    return simple | None if type(None) in found else simple


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


def parsed_shard(typed: str) -> slice:
    """Parse `2/4`, the second of four shares; CaflowError (exit 2) if there is no such share."""
    match = re.fullmatch(r"(\d{1,9})/(\d{1,9})", typed)
    if match is None or not 1 <= int(match[1]) <= int(match[2]):
        raise usage_error(f"--shard is {typed!r}", "--shard 1/4 to --shard 4/4, for four processes")
    return slice(int(match[1]) - 1, None, int(match[2]))


SHARD = option(
    "--shard K/N",
    "Process every N-th input from the K-th on. Default: RANK + 1 of WORLD_SIZE.",
    CLUSTERS,
    parser=parsed_shard,
)
RECURSIVE = option("--recursive -r", "Search folders recursively.", OUTPUT)
OVERWRITE = option("--overwrite", "Replace existing outputs.")
ALPHA = option(
    "--alpha/--no-alpha",
    "Whether the last band of a TIFF is transparency, if the file does not say what it is. "
    "--no-alpha keeps it beside the colors, as --mask ir keeps infrared.",
    OUTPUT,
    of="images",
)


def _parsed_range(typed: str) -> Range:
    from ..images.ranges import range_of  # here, because it imports Pillow

    return range_of(typed)


VALUE_RANGE = option(
    "--value-range A,B",
    "Values of black and white, as 0,4095 of 12 bits.",
    OUTPUT,
    of="images",
    parser=_parsed_range,
)


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
    shard: slice | None = SHARD
    alpha: bool | None = ALPHA
    value_range: tuple[float, float] | None = VALUE_RANGE

    @property
    def keep(self) -> int:
        """How many images are written for each input."""
        return 1

    @property
    def suffix(self) -> str:
        return ""

    @property
    def sheets(self) -> dict[str, str]:
        return {}

    def encoder(self, file: Path | None, field_format: str | None = None) -> Encoder | FieldEncoder:
        """The encoder of outputs, in the format of that file's name if no other is stated; else, of
        a field, in its own format.
        """
        from ..images import Encoder

        return Encoder()
