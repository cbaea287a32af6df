"""The one error type that users see, including for lack of memory on any device."""

import errno
from collections.abc import Iterator
from contextlib import contextmanager

EXIT_FAILED = 1  # an input failed; the rest of the batch completed
EXIT_USAGE = 2  # wrong arguments or device, or existing output; detected before a model loads
EXIT_WEIGHTS = 3  # weights missing, unreadable, not downloadable, or with the wrong checksum
EXIT_INTERRUPTED = 130  # Ctrl-C


class CaflowError(Exception):
    """A user's mistake or a broken input: what is wrong, and what to type instead.

    In Python, `error.message`, which is `str(error)`, and `error.hint` have these two parts. A
    traceback shows both, from Python 3.11 on.

    Args:
        message: One line, without a full stop, that names the offending value.
        hint: One line with the command, option or value that would work.
        exit_code: The exit code of a process that fails with this error.

    Examples:
        >>> import caflow_cli as caflow
        >>> try:
        ...     caflow.load("faces-superres")
        ... except caflow.CaflowError as error:
        ...     print(error.message, error.hint, error.exit_code, sep=" | ")
        no model 'faces-superres' | --model faces-superres-x4 | 3
    """

    def __init__(self, message: str, hint: str, exit_code: int = EXIT_FAILED) -> None:
        super().__init__(message, hint, exit_code)
        self.message = message
        self.hint = hint
        self.exit_code = exit_code
        self.__notes__ = [f"hint: {hint}"]  # as by `add_note`, which Python 3.10 does not have

    def __str__(self) -> str:
        return self.message

    def as_json(self) -> dict[str, int | str]:
        return {"code": self.exit_code, "message": self.message, "hint": self.hint}


def usage_error(message: str, hint: str) -> CaflowError:
    return CaflowError(message, hint, EXIT_USAGE)


def reason_of(error: BaseException) -> str:
    """Why something failed, as the system or a library says it, on one line.

    Escapes characters that could move a terminal's cursor.
    """
    text = str(getattr(error, "strerror", None) or error)
    line = " ".join(text.split())[:200] or type(error).__name__
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in line)


def ensure(condition: bool, message: str, hint: str, exit_code: int = EXIT_FAILED) -> None:
    if not condition:
        raise CaflowError(message, hint, exit_code)


def check_usage(condition: bool, message: str, hint: str) -> None:
    ensure(condition, message, hint, EXIT_USAGE)


# PyTorch's allocators raise a plain RuntimeError, the dynamic loader an ImportError, and Python a
# SystemError if there is no memory even for a MemoryError.
_SAID = (
    "alloc memory",
    "allocate",
    "bad_alloc",
    "bad alloc",
    "failed to map segment",
    "not enough memory",
    "out of memory",
    "paging file",
    "without exception set",
)


def is_out_of_memory(error: BaseException | None) -> bool:
    """Whether an error, or one of its causes, means that memory ran out."""
    if error is None:
        return False
    says = any(said in str(error).lower() for said in _SAID)
    return (
        isinstance(error, MemoryError)
        or getattr(error, "errno", None) == errno.ENOMEM
        or (isinstance(error, RuntimeError | ImportError | SystemError) and says)
        or is_out_of_memory(error.__cause__ or error.__context__)
    )


@contextmanager
def memory_errors(hint: str, what: str = "this image") -> Iterator[None]:
    """Convert out-of-memory errors to CaflowError; `hint` says how to use less memory."""
    try:
        yield
    except Exception as error:
        if isinstance(error, CaflowError) or not is_out_of_memory(error):
            raise
        raise CaflowError(f"not enough memory for {what}", hint) from error
