"""Publish models: pack a run into one small file with a manifest entry, and push it to the Hub."""

import hashlib
import re
import zlib
from dataclasses import replace
from pathlib import Path

from safetensors.torch import load

from ..assets import WEIGHTS_DIR, manifest_path
from ..checkpoint import CALIBRATION, Calibration, CheckpointInfo, config_json, read_info
from ..errors import EXIT_WEIGHTS, CaflowError, check_usage, ensure, usage_error
from ..images import atomic_write, locked_folder, make_folder
from ..model import BITS, CAFlow, Card, checkpoint_bytes
from ..paths import exists, is_folder
from ..records import Table
from .manifest import Entry, load_manifest, manifest_json
from .resolve import WEIGHTS, Resolved, hub_errors, license_of, resolve

MAX_BYTES = 12_000_000  # size limit of a bundled file, compressed as in a wheel
_CARD = "README.md"


def pack(
    run: Path,
    model_id: str,
    output: Path,
    *,
    limit: int | None = None,
    default: bool = False,
    overwrite: bool = False,
    data_terms: str = "",
    license_terms: str = "see the training data's terms",
    guide_license: str | None = None,
) -> Entry:
    """Write a run's best averaged weights, with net convolutions in bfloat16, and a manifest entry.

    Args:
        run: Folder of a run, or a model file.
        model_id: The id, which also names the file.
        output: Folder for `ID.safetensors` and `weights_manifest.json`; or `WEIGHTS_DIR` of this
            installation's package.
        limit: Maximum zipped size in bytes. If it is exceeded, convolutions keep one or two
            significant bits less than `BITS`.
        default: Make it the default model of its task, instead of the current one.
        overwrite: Replace a model with the same id.
        data_terms: For the manifest.
        license_terms: Of the weights, for the file's header and the manifest.
        guide_license: License of a published network that is the guide; a bundle must state it.

    Raises:
        CaflowError: There is no model, the id or a term is invalid, the id exists, the folder is
            not writable, or the bundle is too large. In these cases nothing is written.
    """
    bundle = output == WEIGHTS_DIR
    manifest = manifest_path() if bundle else output / manifest_path().name
    check_usage(
        bundle or manifest.resolve() != manifest_path().resolve(),
        f"{str(manifest)!r} is this installation's own manifest",
        "-o DIR, or --bundle to add a bundled model",
    )
    source = run / "best.safetensors" if is_folder(run) else run
    model = CAFlow.load(source)
    info = read_info(source)
    record = _packed_record(info, guide_license, bundle)
    content = _packed(model, {**record, "license": license_terms}, limit)
    entry = Entry(
        id=model_id,
        task=info.config.task.name,
        sha256=hashlib.sha256(content).hexdigest(),
        bytes=len(content),
        default=default,
        license=license_terms,
        data=data_terms or str(info.training.get("data", "unknown")),
        metrics={},
        file=f"{model_id}.safetensors",
    )
    _add(entry, content, output, manifest, overwrite)
    return entry


def _add(entry: Entry, content: bytes, folder: Path, manifest: Path, overwrite: bool) -> None:
    """Write the file of an entry into a folder, and the entry into a manifest."""
    make_folder(folder)
    with locked_folder(manifest.parent):
        path = folder / f"{entry.id}.safetensors"
        entries = load_manifest(manifest) if exists(manifest) else {}
        check_usage(
            overwrite or not (exists(path) or entry.id in entries),
            f"there is already a model {entry.id!r} in {str(folder)!r}",
            "--overwrite",
        )
        for other in entries.values():
            if entry.default and other.task == entry.task:
                entries[other.id] = replace(other, default=False)
        entries[entry.id] = entry
        atomic_write(path, content, replace=overwrite)
        atomic_write(manifest, manifest_json(entries.values()).encode())


def _packed(model: CAFlow, record: Table, limit: int | None) -> bytes:
    """The bytes of the packed file; CaflowError if it has more than `limit` when zipped."""
    tensors = model.state_dict()
    for bits in (BITS, BITS - 1, BITS - 2):
        content = checkpoint_bytes(tensors, model.config, record, bf16_convs=True, bits=bits)
        if limit is None or len(zlib.compress(content)) <= limit:
            return content
    raise CaflowError(
        f"the packed model has more than {limit} bytes when zipped",
        "leave --bundle out, or train a smaller model",
    )


def _packed_record(info: CheckpointInfo, license: str | None, required: bool) -> Table:
    """The training record, with this license of the guide, if it is a published network, and
    without a calibration, which holds for exactly the weights that it was measured with.

    Raises:
        CaflowError: (exit 2) a license is `required`, and neither given nor stated.
    """
    record = {key: value for key, value in info.training.items() if key != CALIBRATION}
    if not info.guide:
        return record
    guide = info.guide | ({"license": license} if license else {})
    check_usage(
        not required or guide.get("license", "not stated") != "not stated",
        f"the license of the guide, {guide.get('file')!r}, is not stated",
        "--guide-license TEXT",
    )
    return {**record, "guide": guide}


def check_calibration_output(resolved: Resolved, output: Path, overwrite: bool = False) -> None:
    """Raise CaflowError (exit 2) unless `store_calibration` can write there."""
    name = str(output)
    if output.suffix == ".json":
        entries = load_manifest(output) if exists(output) else {}
        entry = next((one for one in entries.values() if one.sha256 == resolved.sha256), None)
        if entry is None:
            raise usage_error(
                f"no manifest with an entry for the file of {resolved.id!r} at {name!r}",
                "the manifest that `caflow models pack` wrote, or -o FILE.safetensors",
            )
        check_usage(
            overwrite or entry.calibration is None,
            f"{name!r} has a calibration for {entry.id!r} already",
            "--overwrite",
        )
        return
    check_usage(
        output.suffix == ".safetensors",
        f"a calibration is written into a model file, not {name!r}",
        "-o FILE.safetensors",
    )
    check_usage(overwrite or not exists(output), f"{name!r} exists", "--overwrite, or another -o")


def store_calibration(
    calibration: Calibration, resolved: Resolved, output: Path, *, overwrite: bool = False
) -> None:
    """Write a calibration into a copy of the model's file, or into its entry in a manifest.

    Args:
        calibration: Measured with exactly this file.
        resolved: The model's file.
        output: `FILE.safetensors`: the same weights with the calibration in the header; it may be
            the model's file itself. Or a manifest, `FILE.json`, with an entry for the file.
        overwrite: Replace an existing file, or the calibration in the entry.

    Raises:
        CaflowError: The output exists, has no such entry, or cannot be written.
    """
    check_calibration_output(resolved, output, overwrite)
    record = calibration.as_json()
    make_folder(output.parent)
    if output.suffix == ".json":
        with locked_folder(output.parent):
            entries = load_manifest(output)
            for entry in entries.values():
                if entry.sha256 == resolved.sha256:
                    entries[entry.id] = replace(entry, calibration=record)
            atomic_write(output, manifest_json(entries.values()).encode())
        return
    info = read_info(resolved.path)
    content = checkpoint_bytes(
        load(resolved.path.read_bytes()), info.config, {**info.training, CALIBRATION: record}
    )
    atomic_write(output, content, replace=overwrite)


def prepare(
    run: str,
    repo: str,
    license_terms: str = "",
    data_terms: str = "",
    guide_license: str | None = None,
) -> tuple[bytes, Card]:
    """Return the bytes of a model file to push, unchanged, and its card.

    Terms that are not given come from the file's header or, like metrics, its manifest entry.

    Raises:
        CaflowError: (exit 2) `repo` is not a valid repository name, or the license of a guide is
            not stated; (exit 3) there is no model.
    """
    check_usage(
        re.fullmatch(r"[\w.-]+/[\w.-]+", repo) is not None,
        f"{repo!r} is not the name of a Hub repository",
        "--repo user/name",
    )
    resolved = resolve(run, local=True)
    info = read_info(resolved.path)
    entry = resolved.entry
    content = resolved.path.read_bytes()
    ensure(
        hashlib.sha256(content).hexdigest() == resolved.sha256,
        f"{run!r} changed while it was being read",
        "push it after training has ended",
        EXIT_WEIGHTS,
    )
    card = Card(
        info.config,
        repo,
        license_terms or license_of(resolved, info.training) or "",
        data_terms or (entry.data if entry else ""),
        _packed_record(info, guide_license, required=True),
        entry.metrics if entry else {},
        resolved.sha256,
    )
    return content, card


def push(
    content: bytes,
    card: Card,
    *,
    revision: str | None = None,
    private: bool = False,
    message: str | None = None,
    replace_card: bool = False,
) -> Table:
    """Commit all files to the repository, or none. The repository is created if necessary.

    Args:
        content, card: The result of `prepare`.
        revision: Branch; None: the main branch. A new branch starts from the main one.
        private: Create the repository as private. An existing one must be private.
        message: The commit message.
        replace_card: Replace an existing README.md.

    Returns:
        repo_id, revision, commit, url (of the commit), sha256, bytes, and the files written; an
        existing card is kept, unless `replace_card`.

    Raises:
        CaflowError: (exit 3) there is no network or no permission, or the repository is public
            although `private` is set.
    """
    from huggingface_hub import CommitOperationAdd, HfApi

    files = {
        WEIGHTS: content,
        "config.json": config_json(card.config).encode(),
        _CARD: card.text.encode(),
    }
    api = HfApi()
    with hub_errors(card.repo, "push to"):
        api.create_repo(card.repo, private=private or None, exist_ok=True)
        ensure(
            not private or bool(api.model_info(card.repo).private),
            f"the Hub repository {card.repo!r} exists and is public",
            "use another --repo, or leave --private out",
            EXIT_WEIGHTS,
        )
        if revision is not None:
            api.create_branch(card.repo, branch=revision, exist_ok=True)
        if not replace_card and api.file_exists(card.repo, _CARD, revision=revision):
            del files[_CARD]
        commit = api.create_commit(
            card.repo,
            [CommitOperationAdd(name, data) for name, data in files.items()],
            commit_message=message or f"Add a caflow model for {card.config.task.name}",
            revision=revision,
        )
    return {
        "repo_id": card.repo,
        "revision": revision or "main",
        "commit": commit.oid,
        "url": commit.commit_url,
        "sha256": card.sha256,
        "bytes": len(content),
        "files": list(files),
    }
