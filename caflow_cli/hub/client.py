"""Failures of the Hub's client library as errors for users.

`huggingface_hub` takes a second to import, so it is imported only where it is used.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from ..errors import EXIT_WEIGHTS, CaflowError


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
    from huggingface_hub import errors, logging

    logging.set_verbosity_error()  # its retries are no news to a user who gets the error
    try:
        yield
    except CaflowError:
        raise
    except Exception as error:  # the client's HTTP library depends on its version
        cause: BaseException = error
        while cause.__cause__ and (
            isinstance(cause, errors.LocalEntryNotFoundError)
            or not isinstance(cause, errors.HfHubHTTPError)
        ):
            cause = cause.__cause__
        message, hint = _explained(cause, name, f"cannot {action} {name!r}")
        raise CaflowError(message, hint, EXIT_WEIGHTS) from cause


def _explained(error: BaseException, name: str, cannot: str) -> tuple[str, str]:
    """The (message, hint) of a failure."""
    from huggingface_hub import errors

    repo, login = name.partition("@")[0], "hf auth login (or set HF_TOKEN)"
    if isinstance(error, errors.LocalEntryNotFoundError):
        return cannot, "check the network, and run the command again"
    if isinstance(error, errors.OfflineModeIsEnabled):
        return f"{cannot}: HF_HUB_OFFLINE is set", "unset HF_HUB_OFFLINE"
    if isinstance(error, errors.GatedRepoError):
        message = f"the Hub gives {repo!r} to those only who have agreed to its terms"
        return message, f"agree on its page on the Hub, then: {login}"
    no_repo = errors.RepositoryNotFoundError, errors.RevisionNotFoundError, errors.HFValidationError
    if isinstance(error, (*no_repo, errors.EntryNotFoundError)):
        message = f"the Hub has no caflow model {name!r} for you: it is private, or there is none"
        return message, f"correct the name, or {login}"
    text = " ".join(str(error).split())[:200] or type(error).__name__
    if isinstance(error, errors.HfHubHTTPError) and error.response is not None:
        if error.response.status_code in (401, 403):
            return f"{cannot}: the Hub refuses your token", login
        return f"{cannot}: {text}", "run the command again later"
    if isinstance(error, OSError) and error.errno is not None and error.strerror:
        return f"{cannot}: {text}", "free some space, or set HF_HOME to another folder"
    return f"{cannot}: {text}", "check the network (and HF_ENDPOINT), and run the command again"
