"""The Hub's client library, with its failures as errors for users.

`huggingface_hub` takes a second to import, so it is imported only where it is used.
"""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from ..errors import EXIT_WEIGHTS, CaflowError
from ..version import __version__

__all__ = ["LIBRARY", "hide_progress", "hub_errors"]

LIBRARY: dict[str, Any] = {"library_name": "caflow", "library_version": __version__}
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}  # the errors of a full disk


def hide_progress() -> None:
    """Show no progress bars. By default, transfers show one if stderr is a terminal."""
    from huggingface_hub.utils import disable_progress_bars  # type: ignore[attr-defined]

    disable_progress_bars()


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
    except Exception as error:  # the client's HTTP library depends on its version
        # The client wraps what fails in an upload.
        cause = error.__cause__ if type(error) is RuntimeError and error.__cause__ else error
        message, hint = _explained(cause, name, action)
        raise CaflowError(message, hint, EXIT_WEIGHTS) from cause


def _explained(error: BaseException, name: str, action: str) -> tuple[str, str]:
    """The (message, hint) of a failure."""
    from huggingface_hub import errors

    repo, cannot = name.partition("@")[0], f"cannot {action} {name!r}"
    again = "check the network (and HF_ENDPOINT, if set), and run the command again"
    login = "hf auth login (or set HF_TOKEN)"
    text = " ".join(str(error).split()) or type(error).__name__
    text = text if len(text) <= 200 else f"{text[:197]}..."
    no_repo = f"{name!r} is not the name of a Hub repository"
    terms = f"the Hub gives {repo!r} to those only who have agreed to its terms"
    no_model = f"the Hub repository {name!r} holds no caflow model"
    by_type = {
        errors.HFValidationError: (no_repo, "user/name, or user/name@revision"),
        errors.OfflineModeIsEnabled: (f"{cannot}: HF_HUB_OFFLINE is set", "unset HF_HUB_OFFLINE"),
        errors.GatedRepoError: (terms, f"agree on its page on the Hub, then: {login}, for {repo}"),
        errors.RevisionNotFoundError: (
            f"the Hub has {repo!r}, but not as {name!r}",
            f"caflow models pull {repo}",
        ),
        errors.LocalEntryNotFoundError: (f"{cannot}: {text}", again),
        errors.EntryNotFoundError: (no_model, "caflow models push RUN --repo user/name makes one"),
    }
    for kind, explanation in by_type.items():
        if isinstance(error, kind):
            return explanation
    if isinstance(error, errors.HfHubHTTPError):
        status = error.response.status_code if error.response is not None else 0
        if status == 429 or status >= 500:
            return f"{cannot}: the Hub answers {status}", "run the command again later"
        private = f"the Hub has no repository {name!r} for you: it is private, or there is none"
        by_status = {
            401: (private, f"{login}, or correct the name"),
            403: (f"{cannot}: the Hub refuses your token", "hf auth login, with one that may"),
            404: (f"the Hub has no repository {name!r}", "correct the name; caflow models list"),
        }
        return by_status.get(status, (f"{cannot}: {text}", "caflow models list"))
    if isinstance(error, OSError) and error.errno in _FULL:
        free = "free some space, or set HF_HOME to a folder on another disk"
        return f"{cannot}: {error.strerror}", free
    if isinstance(error, OSError) and error.filename is not None:
        message = f"{cannot}: {str(error.filename)!r}: {error.strerror}"
        return message, "set HF_HOME to a folder that can be written"
    return f"{cannot}: {text}", again
