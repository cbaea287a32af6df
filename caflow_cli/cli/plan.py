"""Plan the jobs of a command: names and formats of outputs, and what no output may replace."""

from __future__ import annotations

import os
import sys
import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

from ..errors import CaflowError, check_usage, usage_error
from ..images import Encoder, format_of, no_file
from ..paths import exists, is_folder, numbered
from .coloring import find_hints, without_hints
from .console import Console
from .inputs import InputImage, find_inputs, find_shard, names_one, without_results
from .masking import detected, find_masks
from .options import Files, Restoration

_MOST = 100  # maximum rows of a sheet


@dataclass(frozen=True)
class Job:
    """An input, its mask and hints, and its output files."""

    source: InputImage
    outputs: list[Path]  # in rank order; empty: image bytes go to stdout
    skipped: bool = False  # all outputs exist and are to be kept
    mask: InputImage | None = None  # white where the image is to be filled
    hints: InputImage | None = None  # opaque where the color is known
    interval: Mapping[str, Path] = field(default_factory=dict)  # of --interval: low and high

    @property
    def name(self) -> str:
        """The input's name, for messages."""
        return self.source.name

    @property
    def paths(self) -> list[Path]:
        """All files that are written for the input."""
        return [*self.outputs, *self.interval.values()]

    @property
    def names(self) -> dict[str, str]:
        """The names of all files that are read, for JSON."""
        names = {"input": self.name}
        if self.mask is not None:
            names["mask"] = self.mask.name
        if self.hints is not None:
            names["hints"] = self.hints.name
        return names

    def fields(self, status: str, paths: Mapping[int, str], **more: object) -> dict[str, object]:
        """The fields of a JSON line, with the paths of outputs by rank."""
        outputs = [{"rank": rank, "path": path} for rank, path in paths.items()]
        if self.interval:
            more["interval"] = {end: str(path) for end, path in self.interval.items()}
        return {**self.names, "status": status, **more, "outputs": outputs}


@dataclass(frozen=True)
class Plan:
    """All jobs of a command, in the order of the arguments, and its further outputs."""

    jobs: list[Job]
    encoder: Encoder
    grid: Path | None  # the file of --grid; None: not wanted, or to be kept as it is
    uncertainty: Path | None  # of --uncertainty
    mask: Path | None  # of --save-mask


def make_plan(
    console: Console,
    inputs: Sequence[str],
    given: Files,
    mask: str | None = None,
    save_mask: str | None = None,
    hints: str | None = None,
) -> Plan:
    """Find all inputs, name all outputs, and raise CaflowError (exit 2) if the plan cannot work.

    `face.png` becomes `face_COMMAND.png` in its folder, or in the folder `-o`, which mirrors
    subfolders; with one input, `-o` may name the file, or be `-`. In folders that are searched,
    earlier results, masks and hints (`face_COMMAND.png` beside `face.png`) are ignored, as are
    `mask`, `hints` and the folder of results. With --interval, each input has
    `face_COMMAND_low.png` and `face_COMMAND_high.png`, too. With several processes, each plans all
    outputs, but gets only the jobs of its share.
    """
    _check_options(given, console)
    keep = 1
    interval = False
    sheets = {"--grid": None, "--uncertainty": None, "--save-mask": save_mask}
    if isinstance(given, Restoration):
        keep = given.keep
        interval = given.wants_interval
        sheets["--grid"] = given.grid
        sheets["--uncertainty"] = given.uncertainty
    folder, file = _destination(inputs, given.output)
    sources = _find_sources(console, inputs, given, aside=(folder, mask, hints))
    sources = without_hints(sources, hints)
    check_usage(bool(sources), "the only image is used as hints", "give the photo, too")
    masks = find_masks(mask, sources)
    strokes = find_hints(hints, sources)
    read = [image.path for image in (*sources, *masks, *strokes) if image is not None]
    together = {"stdin": None in read, "-o -": given.output == "-"}
    together |= {option: sheet is not None for option, sheet in sheets.items()}
    share = find_shard(given.shard, console, together)
    encoder = _encoder(file, given)
    check_usage(
        save_mask is None or len(sources) == 1,
        f"--save-mask writes one mask, not {len(sources)}",
        "caflow mask, then --mask DIR",
    )
    if given.output == "-":
        _check_stdout(len(sources) * keep)
        paths: list[Path] = []
    elif file is not None:
        check_usage(
            len(sources) == 1,
            f"-o {file} is one file for {len(sources)} inputs",
            f"-o {file.with_suffix('')}/",
        )
        paths = [file]
    else:
        paths = _names(sources, console.command, encoder.suffix, folder)
        if None in read and not console.json and not sys.stdout.isatty():
            console.note("stdout receives paths of files; -o - writes the image itself")
    claims = Claims(path for path in read if path is not None)
    claimed = [
        claims.claim_sheet(option, sheet, len(sources), given.overwrite, given.skip_existing)
        for option, sheet in sheets.items()
    ]
    may_skip = given.skip_existing and claimed == [None, None, None]  # sheets need all images
    jobs = [
        Job(source, [], mask=white, hints=colors)
        for source, white, colors in zip(sources, masks, strokes, strict=True)
    ]
    for place, path in enumerate(paths):
        ends = _interval_names(path) if interval else {}
        jobs[place] = replace(jobs[place], outputs=numbered(path, keep), interval=ends)
    own = range(len(jobs))[share]
    jobs = [
        _claimed(job, claims, given.overwrite or given.skip_existing or index not in own, may_skip)
        for index, job in enumerate(_with_problems(jobs))
    ]
    return Plan(jobs[share], encoder, *claimed)


def _check_options(given: Files, console: Console) -> None:
    check_usage(
        given.output != "-" or not console.json,
        "-o - and --json both write to stdout",
        "use one of them",
    )
    check_usage(
        not (given.overwrite and given.skip_existing),
        "--overwrite and --skip-existing cannot be used together",
        "use one of them",
    )


def _destination(inputs: Sequence[str], output: str | None) -> tuple[Path | None, Path | None]:
    """The folder or the file that `-o` names; neither if it is `-` or not given."""
    if output is None or output == "-":
        return None, None
    path = Path(output)
    if output.endswith(("/", os.sep)) or is_folder(path):
        return path, None
    # With several inputs, a name without an image suffix is a folder, possibly a new one.
    if not names_one(inputs) and format_of(path) is None:
        return path, None
    return None, path


def _find_sources(
    console: Console, inputs: Sequence[str], given: Files, aside: Iterable[str | Path | None]
) -> list[InputImage]:
    """Find the inputs. In folders, earlier results and what `aside` names are ignored."""
    ignored = [Path(path) for path in aside if path is not None and not detected(str(path))]
    found = find_inputs(
        inputs,
        recursive=given.recursive,
        aside=ignored,
        note=console.note,
        detail=console.detail,
    )
    check_usage(sys.stdout is not None, "stdout is closed", "use > /dev/null, or leave it open")
    sources = without_results(found, console.command)
    if len(sources) < len(found):
        console.note(f"{len(found) - len(sources)} earlier results left out")
    return sources


def _check_stdout(count: int) -> None:
    """Raise CaflowError (exit 2) unless `count` images can go to stdout."""
    check_usage(not sys.stdout.isatty(), "-o - would write image bytes to the terminal", "-o FILE")
    check_usage(count == 1, f"-o - writes one image, not {count}", "-n 1 -o -")


def _encoder(file: Path | None, given: Files) -> Encoder:
    named = None if file is None else format_of(file)
    wanted = None
    encoder = Encoder()
    if isinstance(given, Restoration):  # masks are PNG files
        wanted = given.format
        encoder = Encoder(
            wanted or named or "png",
            given.quality,
            not given.no_provenance,
            given.keep_metadata,
        )
    if file is not None and named != encoder.format and (named or wanted is None):
        raise usage_error(
            f"the suffix of {str(file)!r} does not fit {encoder.format if named else 'an image'}",
            f"-o {file.with_suffix(encoder.suffix)} for a file, -o {file}/ for a folder",
        )
    return encoder


def _names(
    sources: Sequence[InputImage], label: str, suffix: str, folder: Path | None
) -> list[Path]:
    """The output file of each source, without a rank.

    Sources of one folder that differ only in their suffix keep it: `a.jpg` and `a.png` become
    `a_jpg_LABEL.png` and `a_png_LABEL.png`.
    """
    keys = []
    for source in sources:
        target = source.folder if folder is None else folder / source.inside
        keys.append((target, source.stem.casefold()))
    shared = Counter(keys)
    names = []
    for key, source in zip(keys, sources, strict=True):
        stem = source.full_stem if shared[key] > 1 else source.stem
        names.append(key[0] / f"{stem}_{label}{suffix}")
    return names


def _interval_names(path: Path) -> dict[str, Path]:
    """The files of --interval beside an output, whatever its format and number."""
    return {end: path.with_name(f"{path.stem}_{end}.png") for end in ("low", "high")}


def _with_problems(jobs: Sequence[Job]) -> list[Job]:
    """The jobs, with the reason in the sources whose outputs cannot be written; the others go on.

    CaflowError (exit 2) if no job has outputs that can be written.
    """
    checked = []
    refused = []
    for job in jobs:
        problem = job.source.problem
        try:
            for path in job.paths:
                _check_writable(path)
        except CaflowError as error:  # such as a name that is too long
            refused.append(error)
            problem = problem or CaflowError(error.message, error.hint)
        checked.append(replace(job, source=replace(job.source, problem=problem)))
    if len(refused) == len(jobs):  # such as one read-only folder for all
        raise refused[0]
    return checked


def _claimed(job: Job, claims: Claims, may_exist: bool, may_skip: bool) -> Job:
    """The job with its outputs claimed, marked if it is to be skipped or its input is missing."""
    source = job.source
    if source.problem is not None:
        return job
    for path in job.paths:
        claims.claim(path, source.name, may_exist)
    if may_skip and job.outputs and all(map(os.path.lexists, job.paths)):
        return replace(job, skipped=True)
    if source.path is not None and not os.path.lexists(source.path):
        return replace(job, source=replace(source, problem=no_file(source.name)))
    return job


def _key(path: Path) -> str:
    """A key that is equal for two names of the same file; some file systems ignore case."""
    real = os.path.realpath(path)
    fold = sys.platform in ("win32", "darwin")
    return unicodedata.normalize("NFC", real).casefold() if fold else real


def _check_writable(path: Path, option: str = "-o") -> None:
    """Raise CaflowError (exit 2) unless the folder of a file is writable or can be created."""
    folder = next((parent for parent in path.parents if exists(parent)), Path())
    reason = None if is_folder(folder) and os.access(folder, os.W_OK | os.X_OK) else "no access"
    try:  # detects names that are too long
        for candidate in (path, folder / path.name):
            with suppress(FileNotFoundError, NotADirectoryError):
                candidate.lstat()
    except OSError as error:
        reason = error.strerror
    check_usage(
        reason is None,
        f"cannot write {str(path)[:80]!r}: {reason}",
        f"choose another {option}",
    )


class Claims:
    """The files that a command reads and writes. No output is claimed twice or is an input."""

    def __init__(self, inputs: Iterable[Path]) -> None:
        self._inputs = {_key(path) for path in inputs}
        self._outputs: dict[str, str] = {}

    def claim(self, path: Path, name: str, may_exist: bool, option: str = "-o") -> None:
        """Claim an output for an input, or for the option that names it. CaflowError (exit 2) if it
        is already claimed, is an input or a folder, or exists although it must not.
        """
        key = _key(path)
        shown = repr(str(path))
        hint = f"choose another {option}"
        check_usage(
            key not in self._outputs,
            f"{self._outputs.get(key)!r} and {name!r} would both be written to {shown}",
            f"{hint}, or process them separately",
        )
        check_usage(key not in self._inputs, f"the output {shown} is an input", hint)
        check_usage(not is_folder(path), f"the output {shown} is a folder", hint)
        way = "--overwrite or --skip-existing" if option == "-o" else "--overwrite"
        check_usage(
            may_exist or not os.path.lexists(path), f"{shown} exists", f"add {way}, or {hint}"
        )
        self._outputs[key] = name

    def claim_sheet(
        self, option: str, file: str | None, rows: int, overwrite: bool, skip: bool = False
    ) -> Path | None:
        """Claim the PNG of an option such as `--grid`, with one row per input.

        Returns None if the option is not given, or if the file exists and is to be skipped.
        CaflowError (exit 2) if it cannot be written, as in `claim`.
        """
        if file is None:
            return None
        path = Path(file)
        check_usage(
            path.suffix.lower() == ".png",
            f"{option} writes a PNG, not {file!r}",
            f"{option} FILE.png",
        )
        check_usage(
            rows <= _MOST,
            f"{option} shows at most {_MOST} images, not {rows}",
            f"leave {option} out, or give fewer images",
        )
        _check_writable(path, option)
        self.claim(path, option, overwrite or skip, option)
        return None if skip and os.path.lexists(path) else path
