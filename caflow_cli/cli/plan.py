"""Plan the jobs of a command: names and formats of outputs, and what no output may replace."""

from __future__ import annotations

import os
import re
import sys
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import EXIT_FAILED, CaflowError, check_usage, ensure, usage_error
from ..images import Encoder, atomic_write, encode_png, format_of, make_folder, no_file
from ..paths import exists, is_folder, numbered
from ..tasks.base import check_mask_size
from .inputs import AUTO, InputImage, find_inputs, find_shard, names_one, without_results
from .masking import find_masks
from .options import Files, Restoration

if TYPE_CHECKING:
    from ..tasks import Pixels
    from .console import Console

_LARGEST = 2**28  # maximum pixels of a resized image
_MOST = 100  # maximum rows of a sheet

Scale = float | tuple[int, int]  # a factor, or the width and height of a box to fit into


@dataclass(frozen=True)
class Job:
    """An input, its mask, and its output files."""

    source: InputImage
    outputs: list[Path]  # in rank order; empty: image bytes go to stdout
    skipped: bool = False  # all outputs exist and are to be kept
    mask: InputImage | None = None  # white where the image is to be filled

    @property
    def name(self) -> str:
        """The input's name, for messages."""
        return self.source.name

    @property
    def names(self) -> dict[str, str]:
        """The names of all files that are read, for JSON."""
        return {"input": self.name, **({} if self.mask is None else {"mask": self.mask.name})}

    def fields(self, status: str, paths: Mapping[int, str], **more: object) -> dict[str, object]:
        """The fields of a JSON line, with the paths of outputs by rank."""
        outputs = [{"rank": rank, "path": path} for rank, path in paths.items()]
        return {**self.names, "status": status, **more, "outputs": outputs}


@dataclass(frozen=True)
class Plan:
    """All jobs of a command, in the order of the arguments, and the sheets over all of them."""

    jobs: list[Job]
    encoder: Encoder
    grid: Sheet
    uncertainty: Sheet
    mask: Sheet


def make_plan(
    console: Console,
    inputs: Sequence[str],
    given: Files,
    mask: str | None = None,
    save_mask: str | None = None,
) -> Plan:
    """Find all inputs, name all outputs, and raise CaflowError (exit 2) if the plan cannot work.

    `face.png` becomes `face_COMMAND.png` in its folder, or in the folder `-o`, which mirrors
    subfolders; with one input, `-o` may name the file, or be `-`. In folders that are searched,
    earlier results and masks (`face_COMMAND.png` beside `face.png`) are ignored, as are `mask` and
    the folder of results. With several processes, each plans all outputs, but gets only the jobs
    of its share.
    """
    check_usage(
        given.output != "-" or not console.json,
        "-o - and --json both write to stdout",
        "use one of them",
    )
    keep, sheets = 1, {"--grid": None, "--uncertainty": None, "--save-mask": save_mask}
    if isinstance(given, Restoration):
        keep = given.keep
        sheets |= {"--grid": given.grid, "--uncertainty": given.uncertainty}
    output, existing = given.output, (given.overwrite, given.skip_existing)
    check_usage(
        not all(existing),
        "--overwrite and --skip-existing cannot be used together",
        "use one of them",
    )
    folder, file = None, None if output is None or output == "-" else Path(output)
    if file is not None:
        is_dir = str(output).endswith(("/", os.sep)) or is_folder(file)
        # With several inputs, a name without an image suffix is a folder, possibly a new one.
        if is_dir or (not names_one(inputs) and format_of(file) is None):
            folder, file = file, None
    aside = [Path(path) for path in (folder, mask) if path not in (None, AUTO.name)]
    found = find_inputs(
        inputs, recursive=given.recursive, aside=aside, note=console.note, detail=console.detail
    )
    check_usage(sys.stdout is not None, "stdout is closed", "use > /dev/null, or leave it open")
    sources = without_results(found, console.command)
    if len(sources) < len(found):
        console.note(f"{len(found) - len(sources)} earlier results left out")
    masks = find_masks(mask, sources)
    read = [one.path for one in (*sources, *masks) if one is not None]
    together = {"stdin": None in read, "-o -": output == "-"}
    together |= {name: sheet is not None for name, sheet in sheets.items()}
    share = find_shard(given.shard, console, together)
    encoder, count = _encoder(file, given), len(sources)
    check_usage(
        save_mask is None or count == 1,
        f"--save-mask writes one mask, not {count}",
        "caflow mask, then --mask DIR",
    )
    if output == "-":
        check_usage(
            not sys.stdout.isatty(), "-o - would write image bytes to the terminal", "-o FILE"
        )
        check_usage(count * keep == 1, f"-o - writes one image, not {count * keep}", "-n 1 -o -")
        names: list[list[Path]] = [[]]
    elif file is not None:
        check_usage(
            count == 1,
            f"-o {file} is one file for {count} inputs",
            f"-o {file.with_suffix('')}/",
        )
        names = [numbered(file, keep)]
    else:
        names = _names(sources, console.command, encoder.suffix, folder, keep)
        if None in read and not console.json and not sys.stdout.isatty():
            console.note("stdout receives paths of files; -o - writes the image itself")
    claims = Claims(path for path in read if path is not None)
    made = [Sheet(name, sheet, count, claims, existing) for name, sheet in sheets.items()]
    may_skip = given.skip_existing and all(sheet.path is None for sheet in made)  # sheets need all
    jobs, refused, own = list[Job](), list[CaflowError](), range(count)[share]
    for place, (source, paths) in enumerate(zip(sources, names, strict=True)):
        skipped, problem = False, source.problem
        try:
            for path in paths:
                _check_writable(path)
        except CaflowError as error:  # such as a name that is too long; the others go on
            refused.append(error)
            problem = problem or CaflowError(error.message, error.hint)
        if problem is None:
            for path in paths:
                claims.claim(path, source.name, any(existing) or place not in own)
            skipped = may_skip and bool(paths) and all(map(os.path.lexists, paths))
            if not skipped and source.path is not None and not os.path.lexists(source.path):
                problem = no_file(source.name)
        jobs.append(Job(replace(source, problem=problem), paths, skipped, masks[place]))
    if len(refused) == count:  # such as one read-only folder for all
        raise refused[0]
    return Plan(jobs[share], encoder, *made)


def report_failure(job: Job, error: CaflowError, console: Console) -> None:
    """Report the error of one job. If its exit code is not 1, raise it, which ends all jobs."""
    if error.exit_code != EXIT_FAILED:
        raise error
    if job.name not in error.message:
        error.message = f"{job.name}: {error.message}"
    console.failure(job.names, error)


def report_undone(job: Job, console: Console) -> None:
    """Report a job that is not executed: planned, skipped or, by its files' headers, failed."""
    try:
        read = () if job.skipped else (job.source, job.mask)
        sizes = [image.check() for image in read if image is not None]
        known = [size for size in sizes if size is not None]
        if len({tuple(sorted(size)) for size in known}) == 2:  # regardless of EXIF orientation
            check_mask_size(known[1], known[0])
    except CaflowError as error:
        console.failure(job.names, error)
        return
    paths = {rank: str(path) for rank, path in enumerate(job.outputs, 1)}
    if job.skipped and not console.json:
        console.note(f"{job.name}: skipped, {paths[1]} exists")
    status, lines = ("skipped", ()) if job.skipped else ("planned", paths.values())
    console.result(job.fields(status, paths), lines)


def write_output(
    job: Job, data: bytes, given: Files, console: Console, rank: int = 1
) -> dict[int, str]:
    """Write one output atomically. Returns its path by rank; empty if it goes to stdout, or if the
    file exists and is to be kept.
    """
    if not job.outputs:
        console.binary(data)
        return {}
    path = job.outputs[rank - 1]
    make_folder(path.parent)
    try:
        atomic_write(path, data, replace=given.overwrite)
    except CaflowError as error:
        if not (given.skip_existing and isinstance(error.__cause__, FileExistsError)):
            raise
        console.note(f"{job.name}: {path} exists and is kept")
        return {}
    console.text([str(path)])
    return {rank: str(path)}


def parse_scale(typed: str) -> Scale:
    """Parse `2`, `1.5` or `1920x1080`; CaflowError (exit 2) if it is not a scale."""
    if match := re.fullmatch(r"0*([1-9]\d{0,5})[xX×]0*([1-9]\d{0,5})", typed):
        return int(match[1]), int(match[2])
    with suppress(ValueError):
        if 1 < float(typed) <= 64:
            return float(typed)
    raise usage_error(f"--scale is {typed!r}", "--scale 2, or --scale 1920x1080 to fit")


def scaled(scale: Scale, height: int, width: int) -> tuple[int, int]:
    """Width and height of the written image for an input of that size.

    CaflowError (exit 1) if the input already fills the box, or if the result would be too large.
    """
    if isinstance(scale, tuple):
        box, scale = scale, min(scale[0] / width, scale[1] / height)
        ensure(
            scale > 1,
            f"the image, {width}x{height}, already fills {box[0]}x{box[1]}",
            "a larger --scale, or leave it out",
        )
    wide, high = round(scale * width), round(scale * height)
    ensure(
        wide * high <= _LARGEST,
        f"--scale enlarges {width}x{height} to {wide}x{high}, which is too large to write",
        "a smaller --scale",
    )
    return wide, high


def _encoder(file: Path | None, given: Files) -> Encoder:
    named, wanted, encoder = None if file is None else format_of(file), None, Encoder()
    if isinstance(given, Restoration):  # masks are PNG files
        wanted = given.format
        encoder = Encoder(wanted or named or "png", given.quality, not given.no_provenance)
    if file is not None and named != encoder.format and (named or wanted is None):
        raise usage_error(
            f"the suffix of {str(file)!r} does not fit {encoder.format if named else 'an image'}",
            f"-o {file.with_suffix(encoder.suffix)} for a file, -o {file}/ for a folder",
        )
    return encoder


def _names(
    sources: Sequence[InputImage], label: str, suffix: str, folder: Path | None, keep: int
) -> list[list[Path]]:
    """The output files of each source, in rank order.

    Sources of one folder that differ only in their suffix keep it: `a.jpg` and `a.png` become
    `a_jpg_LABEL.png` and `a_png_LABEL.png`.
    """
    bases = [one.folder if folder is None else folder / one.inside for one in sources]
    places = [(base, one.stem.casefold()) for base, one in zip(bases, sources, strict=True)]
    shared, result = Counter(places), []
    for place, source in zip(places, sources, strict=True):
        stem = source.full_stem if shared[place] > 1 else source.stem
        result.append(numbered(place[0] / f"{stem}_{label}{suffix}", keep))
    return result


def _key(path: Path) -> str:
    """A key that is equal for two names of the same file; some file systems ignore case."""
    real = os.path.realpath(path)
    fold = sys.platform in ("win32", "darwin")
    return unicodedata.normalize("NFC", real).casefold() if fold else real


def _check_writable(path: Path, option: str = "-o") -> None:
    """Raise CaflowError (exit 2) unless the folder of a file is writable or can be created."""
    folder = next((one for one in path.parents if exists(one)), Path())
    reason = None if is_folder(folder) and os.access(folder, os.W_OK | os.X_OK) else "no access"
    try:  # detects names that are too long
        for one in (path, folder / path.name):
            with suppress(FileNotFoundError, NotADirectoryError):
                one.lstat()
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
        key, shown, hint = _key(path), repr(str(path)), f"choose another {option}"
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


class Sheet:
    """A PNG with one row per input, written at the end (`--grid`, `--uncertainty`, `--map`); or the
    mask of one input (`--save-mask`).

    Nothing is drawn if the option is not given, or if the file exists and is to be kept.
    """

    def __init__(
        self, option: str, file: str | None, rows: int, claims: Claims, existing: tuple[bool, bool]
    ) -> None:
        self.path, (self._overwrite, skip) = None if file is None else Path(file), existing
        self._rows: list[Pixels] = []
        if self.path is None:
            return
        check_usage(
            self.path.suffix.lower() == ".png",
            f"{option} writes a PNG, not {file!r}",
            f"{option} FILE.png",
        )
        check_usage(
            rows <= _MOST,
            f"{option} shows at most {_MOST} images, not {rows}",
            f"leave {option} out, or give fewer images",
        )
        _check_writable(self.path, option)
        claims.claim(self.path, option, any(existing), option)
        if skip and os.path.lexists(self.path):
            self.path = None

    def add(self, draw: Callable[[], Pixels]) -> None:
        """Draw a row, if the sheet was requested."""
        if self.path is not None:
            self._rows.append(draw())

    def write(self, console: Console) -> None:
        """Write the rows, if there are any; a mask, (H, W), is written as it is."""
        if self.path is not None and self._rows:
            from ..inference.figures import sheet

            image = sheet(self._rows) if self._rows[0].ndim == 3 else self._rows[0]
            make_folder(self.path.parent)
            atomic_write(self.path, encode_png(image), replace=self._overwrite)
            console.note(f"wrote {self.path}")
        elif self.path is not None:
            console.note(f"{self.path} is not written: there is nothing to show")
