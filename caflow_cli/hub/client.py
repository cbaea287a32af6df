"""Use of the Hub's client library, with its failures as errors for users.

`huggingface_hub` takes a second to import, so it is imported only where it is used.
"""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from ..errors import EXIT_WEIGHTS, CaflowError

if TYPE_CHECKING:
    from huggingface_hub.errors import HfHubHTTPError

__all__ = [
    "FULL",
    "LIBRARY",
    "hide_progress",
    "hub_errors",
    "is_broken_connection",
    "is_offline",
]

LIBRARY = "caflow"
FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}  # what a full disk says


def is_offline() -> bool:
    """Whether `HF_HUB_OFFLINE` is set."""
    from huggingface_hub import constants

    return constants.HF_HUB_OFFLINE


def hide_progress() -> None:
    """Show no progress bars. By default, transfers show one if stderr is a terminal."""
    from huggingface_hub.utils import disable_progress_bars  # type: ignore[attr-defined]

    disable_progress_bars()


def is_broken_connection(error: Exception) -> bool:
    """Whether an error is a broken connection, after which a transfer may go on."""
    from huggingface_hub.errors import HfHubHTTPError

    if isinstance(error, HfHubHTTPError):  # an answer
        return False
    if isinstance(error, OSError):
        return error.errno is None or isinstance(error, ConnectionError | TimeoutError)
    return isinstance(error, _transport())


def _transport() -> Any:
    """The base class of the errors of the HTTP library that this version of the client uses."""
    from huggingface_hub.errors import HfHubHTTPError

    return HfHubHTTPError.__bases__[0]


@contextmanager
def hub_errors(name: str, action: str = "download") -> Iterator[None]:
    """Turn failures of the client, its HTTP library and the disk into a CaflowError (exit 3).

    Args:
        name: Of the model or repository, for the message.
        action: The verb for the message "cannot `action` NAME: ...".
    """
    from huggingface_hub import logging

    logging.set_verbosity_error()  # its retries are no news to a user who gets the error
    try:
        yield
    except CaflowError:
        raise
    except (_transport(), OSError, ValueError, RuntimeError) as error:
        # The client wraps what fails in an upload.
        cause = error.__cause__ if type(error) is RuntimeError and error.__cause__ else error
        message, hint = _explained(cause, name, action)
        raise CaflowError(message, hint, EXIT_WEIGHTS) from error


def _explained(error: BaseException, name: str, action: str) -> tuple[str, str]:
    """The (message, hint) of a failure."""
    from huggingface_hub.errors import (
        EntryNotFoundError,
        GatedRepoError,
        HfHubHTTPError,
        HFValidationError,
        LocalEntryNotFoundError,
        OfflineModeIsEnabled,
        RevisionNotFoundError,
    )

    repo = name.partition("@")[0]
    if isinstance(error, HFValidationError):
        return f"{name!r} is not the name of a Hub repository", "user/name, or user/name@revision"
    if isinstance(error, OfflineModeIsEnabled):
        return f"cannot {action} {name!r}: HF_HUB_OFFLINE is set", "unset HF_HUB_OFFLINE"
    if isinstance(error, GatedRepoError):
        return (
            f"the Hub gives {repo!r} to those only who have agreed to its terms",
            f"agree on its page on the Hub, then: hf auth login (or set HF_TOKEN), for {repo}",
        )
    if isinstance(error, RevisionNotFoundError):
        return (
            f"the Hub has {repo!r}, but not as {name!r}",
            f"caflow models pull {repo}",
        )
    if isinstance(error, EntryNotFoundError) and not isinstance(error, LocalEntryNotFoundError):
        return (
            f"the Hub repository {name!r} holds no caflow model",
            "caflow models push RUN --repo user/name makes one that does",
        )
    if isinstance(error, HfHubHTTPError):
        return _refused(error, name, action)
    if isinstance(error, OSError) and error.errno in FULL:
        return (
            f"cannot {action} {name!r}: {error.strerror}",
            "free some space, or set HF_HOME to a folder on another disk",
        )
    if isinstance(error, OSError) and error.filename is not None:
        return (
            f"cannot {action} {name!r}: {str(error.filename)!r}: {error.strerror}",
            "set HF_HOME to a folder that can be written",
        )
    return (
        f"cannot {action} {name!r}: {_one_line(error)}",
        "check the network (and HF_ENDPOINT, if set), and run the command again",
    )


def _refused(error: HfHubHTTPError, name: str, action: str) -> tuple[str, str]:
    status = error.response.status_code if error.response is not None else 0
    if status == 401:
        return (
            f"the Hub has no repository {name!r} for you: it is private, or there is none",
            "hf auth login (or set HF_TOKEN), or correct the name",
        )
    if status == 403:
        return (
            f"cannot {action} {name!r}: the Hub refuses your token",
            "hf auth login, with a token that has access to the repository",
        )
    if status == 404:
        return f"the Hub has no repository {name!r}", "correct the name; caflow models list"
    if status == 429 or status >= 500:
        return f"cannot {action} {name!r}: the Hub answers {status}", "run the command again later"
    return f"cannot {action} {name!r}: {_one_line(error)}", "caflow models list"


def _one_line(error: BaseException) -> str:
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= 200 else f"{text[:197]}..."
