"""The one error type that reaches users."""

from __future__ import annotations

__all__ = ["EXIT_FAILED", "EXIT_INTERRUPTED", "EXIT_USAGE", "EXIT_WEIGHTS", "CaflowError"]

EXIT_FAILED = 1  # an input failed; the rest of the batch completed
EXIT_USAGE = 2  # wrong arguments, device, existing output: found before a model loads
EXIT_WEIGHTS = 3  # weights missing, unreadable, offline or with the wrong checksum
EXIT_INTERRUPTED = 130  # Ctrl-C


class CaflowError(Exception):
    """A user's mistake or a broken input: what is wrong, and what to type instead.

    Args:
        message: One line, without a full stop, that names the offending value.
        hint: One line with the command, option or value that would work.
        exit_code: Status of a process that fails for this reason alone.

    Examples:
        >>> import caflow_cli as caflow
        >>> try:
        ...     caflow.load("faces-superres")
        ... except caflow.CaflowError as error:
        ...     print(error.message, error.hint, error.exit_code, sep=" | ")
        no model 'faces-superres' | --model faces-superres-x4 | 3
    """

    def __init__(self, message: str, hint: str, exit_code: int = EXIT_FAILED) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.exit_code = exit_code
