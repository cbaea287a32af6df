"""The program: commands, exit codes, and what an error looks like."""

from __future__ import annotations

import os
import signal
import sys
import warnings
from types import FrameType
from typing import Annotated, NoReturn

import typer

from ..errors import EXIT_FAILED, EXIT_INTERRUPTED, CaflowError
from ..memory import is_out_of_memory
from ..version import __version__
from .commands.app import app_command
from .commands.colorize import colorize_command
from .commands.config import config_command
from .commands.evaluate import evaluate_command
from .commands.inpaint import inpaint_command
from .commands.models import models_app
from .commands.sample import sample_command
from .commands.score import score_command
from .commands.superres import superres_command
from .commands.train import train_command
from .console import ClosedPipe, Console, say
from .evaluation_options import METRIC_HELP
from .options import Command, Group
from .user_config import defaults, origin

__all__ = ["app", "main"]

app = typer.Typer(
    name="caflow",
    cls=Group,
    help="Sample p(w|y) for images with conditional autoregressive flows, and score any pair.",
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"], "auto_envvar_prefix": "CAFLOW"},
    pretty_exceptions_enable=False,
)
app.command("superres", cls=Command)(superres_command)
app.command("colorize", cls=Command)(colorize_command)
app.command("inpaint", cls=Command)(inpaint_command)
app.command("sample", cls=Command)(sample_command)
app.command("score", cls=Command)(score_command)
app.command("evaluate", cls=Command, epilog=METRIC_HELP)(evaluate_command)
app.command("train", cls=Command)(train_command)
app.command("app", cls=Command)(app_command)
app.add_typer(models_app, name="models")
app.command("config", cls=Command)(config_command)


def _print_version(value: bool) -> None:
    if value:
        Console().text([f"caflow {__version__}"])
        raise typer.Exit


@app.callback()
def _root(
    context: typer.Context,
    version: Annotated[
        bool,
        typer.Option(
            "--version",
            help="Print the version.",
            callback=_print_version,
            is_eager=True,
            allow_from_autoenv=False,  # container images often set CAFLOW_VERSION
        ),
    ] = False,
) -> None:
    """Sample p(w|y) for images with conditional autoregressive flows, and score any pair."""
    try:
        context.default_map = defaults(context.command)
    except CaflowError as error:
        context.obj = error  # for the command to raise, after `--help` has had its turn


def main() -> None:
    """Run the command line and exit with its code.

    The codes are: 0 all done, or the reader closed the pipe; 1 some input failed, and the rest
    completed; 2 wrong usage; 3 weights missing or refused; 130 interrupted by Ctrl-C, SIGTERM or a
    closed terminal.
    """
    _keep_closed_streams_closed()
    console = Console()
    _end_as_on_interrupt()
    # Of what it skips in damaged files: whether a picture can be read, our own errors say.
    warnings.filterwarnings("ignore", module=r"PIL\.")
    debug = os.environ.get("CAFLOW_DEBUG") == "1"
    try:
        code = app(standalone_mode=False, prog_name="caflow")
        if sys.stdout is not None:
            sys.stdout.flush()
        if code == EXIT_INTERRUPTED:  # Typer makes that of a KeyboardInterrupt, without a word
            say("interrupted")
        sys.exit(code if isinstance(code, int) else 0)
    except CaflowError as error:
        if debug:
            raise
        console.error(error)
        sys.exit(error.exit_code)
    except typer.TyperException as error:  # usage: an unknown option, a missing argument, ...
        if message := _one_line(error.format_message()):  # none: the help was asked for
            console.error(CaflowError(*_usage(error, message), error.exit_code))
        sys.exit(error.exit_code)
    except (KeyboardInterrupt, typer.Abort):
        say("interrupted")
        sys.exit(EXIT_INTERRUPTED)
    except (ClosedPipe, BrokenPipeError):
        _reader_has_seen_enough()
    except SystemExit as error:
        # Rich, which prints the help, exits with 1 when its pipe is closed.
        if isinstance(error.__context__, BrokenPipeError):
            _reader_has_seen_enough()
        raise
    except Exception as error:
        if debug:
            raise
        console.error(_as_one_line(error))
        sys.exit(EXIT_FAILED)


def _as_one_line(error: Exception) -> CaflowError:
    if is_out_of_memory(error):
        return CaflowError(
            "not enough memory", "end other programs, or allow this one more (ulimit -v)"
        )
    return CaflowError(
        f"{type(error).__name__}: {_one_line(str(error))}",
        "this is a defect: set CAFLOW_DEBUG=1 for the traceback, and report it",
    )


def _reader_has_seen_enough() -> NoReturn:
    # Nothing may be flushed into the closed pipe at exit.
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    sys.exit(0)


def _keep_closed_streams_closed() -> None:
    """Open the null device under the file descriptors of closed standard streams.

    Otherwise the next opened file would get such a descriptor, and libraries would print into it.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # gets the lowest number that is free


def _end_as_on_interrupt() -> None:
    """Make SIGTERM and SIGHUP clean up as Ctrl-C does, unless the parent ignores them (nohup)."""

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    for name in ("SIGTERM", "SIGHUP"):
        number = getattr(signal, name, None)
        if number is not None and signal.getsignal(number) == signal.SIG_DFL:
            signal.signal(number, interrupt)


def _usage(error: typer.TyperException, message: str) -> tuple[str, str]:
    """Message and hint of wrong usage."""
    context, parameter = getattr(error, "ctx", None), getattr(error, "param", None)
    if context is None:
        return message, "caflow --help"
    where = None if parameter is None else origin(context, parameter.name)
    return message + (f" ({where})" if where else ""), f"{context.command_path} --help"


def _one_line(text: str) -> str:
    return " ".join(text.split()).rstrip(".")
