"""Pushing to the Hub: weights, `config.json` and a model card, in one commit."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import EXIT_USAGE, EXIT_WEIGHTS, CaflowError
from ..model import Card, config_json, read_info
from ..paths import is_file
from ..version import __version__
from .client import LIBRARY, hub_errors
from .manifest import Entry, load_manifest, manifest_path
from .resolve import resolve

if TYPE_CHECKING:
    from huggingface_hub import HfApi

__all__ = ["Parcel", "Pushed", "pack_parcel", "push"]

_CARD = "README.md"


@dataclass(frozen=True)
class Parcel:
    """A model that is ready to be pushed: its checked file and its card."""

    path: Path
    size: int  # bytes
    card: Card

    def files(self) -> dict[str, Path | bytes]:
        """Contents by their path in the repository."""
        return {
            "model.safetensors": self.path,
            "config.json": config_json(self.card.config).encode(),
            _CARD: self.card.text.encode(),
        }


@dataclass(frozen=True)
class Pushed:
    """The result of a push."""

    repo_id: str
    revision: str
    commit: str
    url: str  # of the commit
    sha256: str
    bytes: int
    files: list[str]  # written; a card that is there is kept


def pack_parcel(run: str, repo: str, license_terms: str = "", data_terms: str = "") -> Parcel:
    """Prepare the model of a run or file, byte for byte, and its card.

    Terms and metrics that are not given come from the manifest entry with that digest, in the
    installation's manifest or in `weights_manifest.json` beside the file.

    Raises:
        CaflowError: (exit 2) the name is not that of a repository; (exit 3) there is no model.
    """
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.utils import validate_repo_id  # type: ignore[attr-defined]

    try:
        validate_repo_id(repo)
        valid = "/" in repo
    except HFValidationError:
        valid = False
    if not valid:
        raise CaflowError(
            f"{repo!r} is not the name of a Hub repository", "--repo user/name", EXIT_USAGE
        )
    resolved = resolve(run, local=True)
    info = read_info(resolved.path)
    card = Card(info.config, repo, license_terms, data_terms, info.training, sha256=resolved.sha256)
    entry = _entry_of(resolved.path, resolved.sha256)
    if entry is not None:
        card = replace(
            card,
            license=license_terms or entry.license,
            data=data_terms or entry.data,
            metrics=entry.metrics,
        )
    return Parcel(resolved.path, resolved.path.stat().st_size, card)


def _entry_of(path: Path, sha256: str) -> Entry | None:
    beside = path.parent / manifest_path().name
    manifests = [load_manifest(), *([load_manifest(beside)] if is_file(beside) else [])]
    entries = [entry for manifest in manifests for entry in manifest.values()]
    return next((entry for entry in entries if entry.sha256 == sha256), None)


def push(
    parcel: Parcel,
    *,
    revision: str | None = None,
    private: bool = False,
    message: str | None = None,
    replace_card: bool = False,
) -> Pushed:
    """Commit all files to the repository, or none. Create the repository if there is none.

    Args:
        parcel: The model and its card.
        revision: Branch; None: the main branch. A new branch starts from the main one.
        private: Create the repository as private. An existing one must be private.
        message: Message of the commit.
        replace_card: Replace an existing README.md.

    Raises:
        CaflowError: (exit 3) there is no network, there are no rights, or the repository is public
            although `private` is set.
    """
    from huggingface_hub import CommitOperationAdd, HfApi

    repo, files = parcel.card.repo, parcel.files()
    with hub_errors(repo, "push to"):
        api = HfApi(library_name=LIBRARY, library_version=__version__)
        api.create_repo(repo, private=private or None, exist_ok=True)
        if private and not api.model_info(repo).private:
            raise CaflowError(
                f"the Hub repository {repo!r} exists and is public",
                "use another --repo, or leave --private out",
                EXIT_WEIGHTS,
            )
        if revision is not None:
            api.create_branch(repo, branch=revision, exist_ok=True)
        if not replace_card and _has_card(api, repo, revision):
            del files[_CARD]
        additions = [CommitOperationAdd(name, content) for name, content in files.items()]
        commit = api.create_commit(
            repo,
            additions,
            commit_message=message or f"Add a caflow model for {parcel.card.config.task.name}",
            revision=revision,
        )
    if additions[0].upload_info.sha256.hex() != parcel.card.sha256:
        raise CaflowError(
            f"{parcel.path.name!r} changed while it was uploaded",
            "wait for the training to end, and push again",
            EXIT_WEIGHTS,
        )
    return Pushed(
        repo,
        revision or "main",
        commit.oid,
        commit.commit_url,
        parcel.card.sha256,
        parcel.size,
        list(files),
    )


def _has_card(api: HfApi, repo: str, revision: str | None) -> bool:
    return api.file_exists(repo, _CARD, revision=revision)
