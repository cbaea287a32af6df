"""Plan the jobs of a command: names and formats of outputs, and what no output may replace."""

from __future__ import annotations

import os
import sys
import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ..errors import check_usage, usage_error
from ..images import Encoder, format_of
from ..paths import exists, is_folder, numbered
from .companions import find_companions
from .console import Console
from .inputs import InputImage, find_inputs, find_shard, without_results
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
    def by_rank(self) -> dict[int, str]:
        """The paths of outputs by rank."""
        return {rank: str(path) for rank, path in enumerate(self.outputs, 1)}

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
    """All jobs of a command, in the order of the arguments, and the format of their outputs."""

    jobs: list[Job]
    encoder: Encoder


def make_plan(
    console: Console,
    inputs: Sequence[str],
    given: Files,
    mask: str | None = None,
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
    keep = 1
    interval = False
    sheets: dict[str, str] = {}
    if isinstance(given, Restoration):
        keep = given.keep
        interval = given.interval
        named = {"--grid": given.grid, "--uncertainty": given.uncertainty}
        sheets = {option: file for option, file in named.items() if file is not None}
    _check_options(given, console, sheets)
    folder, file = _destination(given.output)
    sources = _find_sources(console, inputs, given, folder, mask, hints)
    masks = find_masks(mask, sources)
    strokes = find_companions("hints", hints, sources)
    read = [image.path for image in (*sources, *masks, *strokes) if image is not None]
    share = find_shard(given.shard, console)
    check_usage(
        share.step == 1 or not (sheets or None in read or given.output == "-"),
        "stdin, -o - and sheets over all inputs need one process, not shards",
        "--shard 1/1",
    )
    encoder = _encoder(file, given)
    names: list[Path] = []
    if given.output == "-":
        _check_stdout(len(sources) * keep)
    elif file is not None:
        check_usage(
            len(sources) == 1,
            f"-o {file} is one file for {len(sources)} inputs",
            f"-o {file.with_suffix('')}/",
        )
        names = [file]
    else:
        names = _names(sources, console.command, encoder.suffix, folder)
        if None in read and not console.json and not sys.stdout.isatty():
            console.note("stdout receives paths of files; -o - writes the image itself")
    # What each file is for; empty for inputs.
    files = {_key(path): "" for path in read if path is not None}
    for option, sheet in sheets.items():
        _check_sheet(option, sheet, len(sources))
        _claim(files, Path(sheet), option, given.overwrite, option)
    own = range(len(sources))[share]
    jobs = []
    for index, source in enumerate(sources):
        outputs: list[Path] = []
        ends: dict[str, Path] = {}
        if names:
            outputs = numbered(names[index], keep)
            ends = _interval_names(names[index]) if interval else {}
        paths = [*outputs, *ends.values()]
        for path in paths:
            may_exist = given.overwrite or given.skip_existing or index not in own
            _claim(files, path, source.name, may_exist)
        skipped = given.skip_existing and bool(paths) and all(map(os.path.lexists, paths))
        jobs.append(Job(source, outputs, skipped, masks[index], strokes[index], ends))
    return Plan(jobs[share], encoder)


def _check_options(given: Files, console: Console, sheets: Iterable[str]) -> None:
    check_usage(
        given.output != "-" or not console.json,
        "-o - and --json both write to stdout",
        "use one of them",
    )
    others = [*sheets, *["--overwrite"] * given.overwrite]
    check_usage(
        not (given.skip_existing and others),
        f"{' and '.join(others)} and --skip-existing cannot be used together",
        "use one of them",
    )


def _destination(output: str | None) -> tuple[Path | None, Path | None]:
    """The folder or the file that `-o` names; neither if it is `-` or not given.

    A name without a suffix is a folder, possibly a new one.
    """
    if output is None or output == "-":
        return None, None
    path = Path(output)
    if output.endswith(("/", os.sep)) or is_folder(path) or not path.suffix:
        return path, None
    return None, path


def _find_sources(
    console: Console,
    inputs: Sequence[str],
    given: Files,
    folder: Path | None,
    mask: str | None,
    hints: str | None,
) -> list[InputImage]:
    """Find the inputs, without earlier results, the files in `folder`, masks and hints."""
    aside = [Path(name) for name in (folder, hints) if name is not None]
    if mask is not None and not detected(mask):
        aside.append(Path(mask))
    found = find_inputs(inputs, recursive=given.recursive, aside=aside, note=console.note)
    sources = without_results(found, console.command, hints)
    check_usage(bool(sources), "the only image is used as hints", "give the photo, too")
    if len(sources) < len(found):
        console.note(f"{len(found) - len(sources)} earlier results left out")
    return sources


def _check_stdout(count: int) -> None:
    """Raise CaflowError (exit 2) unless `count` images can go to stdout."""
    check_usage(not sys.stdout.isatty(), "-o - would write image bytes to the terminal", "-o FILE")
    check_usage(count == 1, f"-o - writes one image, not {count}", "-n 1 -o -")


def _encoder(file: Path | None, given: Files) -> Encoder:
    named = None if file is None else format_of(file)
    encoder = Encoder()
    if isinstance(given, Restoration):  # masks are PNG files
        encoder = Encoder(
            given.format or named or "png",
            given.quality,
            not given.no_provenance,
            given.keep_metadata,
        )
    if file is not None and named != encoder.format:
        raise usage_error(
            f"the suffix of {str(file)!r} does not fit {encoder.format}",
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


def _key(path: Path) -> str:
    """A key that is equal for two names of the same file; some file systems ignore case."""
    real = os.path.realpath(path)
    fold = sys.platform in ("win32", "darwin")
    return unicodedata.normalize("NFC", real).casefold() if fold else real


def _claim(
    files: dict[str, str],
    path: Path,
    name: str,
    may_exist: bool,
    option: str = "-o",
) -> None:
    """Add an output to `files`, for an input, or for the option that names it.

    CaflowError (exit 2) if it is there, is an input or a folder, exists although it must not, or if
    its folder is not writable.
    """
    key = _key(path)
    other = files.get(key)
    shown = repr(str(path))
    hint = f"choose another {option}"
    check_usage(
        not other,
        f"{other!r} and {name!r} would both be written to {shown}",
        f"{hint}, or process them separately",
    )
    check_usage(other is None, f"the output {shown} is an input", hint)
    check_usage(not is_folder(path), f"the output {shown} is a folder", hint)
    way = "--overwrite or --skip-existing" if option == "-o" else "--overwrite"
    check_usage(may_exist or not os.path.lexists(path), f"{shown} exists", f"add {way}, or {hint}")
    folder = next(parent for parent in path.absolute().parents if exists(parent))
    writable = is_folder(folder) and os.access(folder, os.W_OK | os.X_OK)
    check_usage(writable, f"cannot write {shown[:80]}: no access", hint)
    files[key] = name


def _check_sheet(option: str, file: str, rows: int) -> None:
    """Raise CaflowError (exit 2) unless a sheet is a PNG, and has few rows, one per input."""
    check_usage(
        file.lower().endswith(".png"),
        f"{option} writes a PNG, not {file!r}",
        f"{option} FILE.png",
    )
    check_usage(
        rows <= _MOST,
        f"{option} shows at most {_MOST} images, not {rows}",
        f"leave {option} out, or give fewer images",
    )
