"""The program: commands, exit codes, and error output."""

import difflib
import os
import re
import signal
import sys
import warnings
from collections.abc import Sequence
from typing import Any

import typer
from typer import rich_utils

from ..errors import EXIT_INTERRUPTED, CaflowError, is_out_of_memory
from ..paths import is_file
from ..version import __version__
from .commands.app import app_command
from .commands.calibrate import calibrate_command
from .commands.evaluate import evaluate_command
from .commands.mask import mask_command
from .commands.models import models_app
from .commands.restoring import RESTORING
from .commands.score import score_command
from .commands.train import train_command
from .config import config_command, config_path, defaults
from .console import Console, say
from .options import option

_HELP = "Sample p(w|y) for images with conditional autoregressive flows, and score any pair."


# What to type for a word that other programs use.
_MEANT = {
    "restore": "caflow inpaint IMAGE --mask auto",
    "repair": "caflow inpaint IMAGE --mask auto",
    "enlarge": "caflow superres IMAGE",
    "upscale": "caflow superres IMAGE",
    "colourize": "caflow colorize IMAGE",
    "denoise": "caflow superres IMAGE --model web-superres-x4, which also enlarges",
    "translate": "caflow sample --cond IMAGE --model maps-aerial",
    "version": "caflow --version",
    "list": "caflow models list",
    "info": "caflow models info MODEL",
    "show": "caflow models info MODEL",
    "download": "caflow models pull MODEL",
    "models show": "caflow models info MODEL",
    "models ls": "caflow models list",
    "models download": "caflow models pull MODEL",
    "models get": "caflow models pull MODEL",
    "models upload": "caflow models push MODEL --repo USER/NAME",
    "models check": "caflow models verify",
}

rich_utils.OPTIONS_PANEL_TITLE = "Common options"
app = typer.Typer(
    help=_HELP,
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"], "auto_envvar_prefix": "CAFLOW"},
    pretty_exceptions_enable=False,
)
for command in (
    *RESTORING,
    mask_command,
    score_command,
    evaluate_command,
    train_command,
    calibrate_command,
    app_command,
    config_command,
):
    name = command.__name__.removesuffix("_command")
    app.command(name)(command)
app.add_typer(models_app, name="models")


def _print_version(value: bool) -> None:
    if value:
        Console().text([f"caflow {__version__}"])
        raise typer.Exit


@app.callback(help=_HELP)
def _root(
    context: typer.Context,
    version: bool = option(
        "--version",
        "Print the version.",
        callback=_print_version,
        is_eager=True,
        allow_from_autoenv=False,
    ),
) -> None:
    try:
        context.default_map = defaults(context.command)
    except CaflowError as error:
        context.obj = error  # raised by the command, so that `--help` still works


program = typer.main.get_command(app)  # once, as it takes 10 ms


def main() -> None:
    """Run the command line and exit with its code.

    The codes are: 0 all done, or the reader closed the pipe; 1 some input failed, but the rest
    completed; 2 wrong usage; 3 weights missing or rejected; 130 interrupted by Ctrl-C, SIGTERM or a
    closed terminal.
    """
    _prepare_process()
    # In a pipe, several commands write to one terminal.
    Console.prefix = f"{sys.argv[1]}: " if "-" in sys.argv[2:] else ""
    try:
        code = program(sys.argv[1:], standalone_mode=False, prog_name="caflow") or 0
        sys.stdout.flush()
    except (KeyboardInterrupt, typer.Abort):
        code = EXIT_INTERRUPTED
    except BrokenPipeError:
        code = 0
    except SystemExit as error:
        if not isinstance(error.__context__, BrokenPipeError):
            raise
        code = 0  # Rich, which prints the help, exits with 1 if its pipe is closed
    except Exception as error:
        if os.environ.get("CAFLOW_DEBUG") == "1":
            raise
        code = _report(error)
    if code == EXIT_INTERRUPTED:  # also Typer's code after a KeyboardInterrupt
        say("interrupted")
    _flush_streams()
    if code == EXIT_INTERRUPTED:
        os._exit(code)  # do not wait for threads, or for PyTorch's teardown
    sys.exit(code)


def _flush_streams() -> None:
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError):  # closed pipe or full disk: Python would exit with 120
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def _report(error: Exception) -> int:
    """Write an error that ended the program, and return the exit code."""
    shown = _as_caflow_error(error)
    if shown.message:  # empty if Typer has printed the help
        if is_file(config_path()):
            shown.hint += f"; options are also set in {str(config_path())!r}"
        Console().error(shown)
    return shown.exit_code


def _as_caflow_error(error: Exception) -> CaflowError:
    if isinstance(error, CaflowError):
        return error
    if isinstance(error, typer.TyperException):  # usage: an unknown option, a missing argument
        message = " ".join(error.format_message().split()).rstrip(".")
        command = _command_of(sys.argv[1:])
        unknown = re.match("(No such command '(.*?)')(?:. Did you mean '([^']*)')?", message)
        if unknown is None:
            return CaflowError(message, f"{command} --help", error.exit_code)
        words = f"{command} {unknown[2]}".removeprefix("caflow ")
        meant = difflib.get_close_matches(words, _MEANT, 1, 0.8)
        like = f"{command} {unknown[3]} --help" if unknown[3] else f"{command} --help"
        hint = _MEANT.get(words) or (_MEANT[meant[0]] if meant and not unknown[3] else like)
        return CaflowError(unknown[1], hint, error.exit_code)
    if is_out_of_memory(error):
        hint = "close other programs, or raise the memory limit (ulimit -v)"
        return CaflowError("not enough memory", hint)
    return CaflowError(
        f"{type(error).__name__}: {' '.join(str(error).split())}",
        "this is a bug: set CAFLOW_DEBUG=1 for the traceback, and report it",
    )


def _command_of(words: Sequence[str]) -> str:
    """The command that is typed, such as `caflow models list`."""
    typed = "caflow"
    group: Any = program
    for word in words:
        group = getattr(group, "commands", {}).get(word)
        if group is None:
            break
        typed += f" {word}"
    return typed


def _prepare_process() -> None:
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:  # closed: a file that is opened would get its descriptor
            setattr(sys, name, os.fdopen(os.open(os.devnull, os.O_RDWR), mode))
    for name in ("SIGTERM", "SIGHUP"):  # clean up as after Ctrl-C, but not under nohup
        kind = getattr(signal, name, None)
        if kind is not None and signal.getsignal(kind) == signal.SIG_DFL:
            signal.signal(kind, signal.default_int_handler)
    # Pillow warns about what it skips in damaged files; our own errors say what cannot be read.
    warnings.filterwarnings("ignore", module=r"PIL\.")
