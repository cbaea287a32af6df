"""Plan the jobs of a command: names and formats of outputs, which replace no other file."""

from __future__ import annotations

import os
import sys
import unicodedata
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TypeAlias

from ..errors import check_usage
from ..fields import FIELD_FORMATS, FieldEncoder
from ..images import FORMATS, Encoder
from ..names import ENDS, MARKS, make, numbered
from ..paths import exists, is_folder
from .companions import find_companions
from .console import Console
from .inputs import IMAGES, InputImage, find_inputs, find_shard, without_others
from .masking import File, Marking, Mask, Transparent
from .options import Files

_MOST = 100  # maximum rows of a sheet
Form: TypeAlias = tuple[str, Sequence[str]]  # a format, and its suffixes, the first for new files


@dataclass(frozen=True)
class Job:
    """An input, the files that belong to it, and its output files."""

    source: InputImage
    # In rank order; empty: image bytes go to stdout.
    outputs: list[Path] = field(default_factory=list)
    companions: Mapping[str, InputImage] = field(default_factory=dict)  # by kind, as "hints"
    mask: Mask = field(default_factory=Transparent)
    beside: Mapping[str, Path] = field(default_factory=dict)  # more outputs, by ending of the name
    skipped: bool = False  # all outputs exist and are to be kept
    number: int = 0  # of a field, among all inputs: the fields of a folder have seeds of their own
    encoder: Encoder | FieldEncoder = Encoder()  # noqa: RUF009  (it is frozen)

    @property
    def of_field(self) -> bool:
        """Whether the input is a measured field."""
        return isinstance(self.encoder, FieldEncoder)

    @property
    def name(self) -> str:
        """The input's name, for messages."""
        return self.source.name

    def named(self, path: Path, files: Files, ends: Sequence[str]) -> Job:
        """The job with N outputs of that name, and PNGs with these endings beside them."""
        outputs = [path] if self.of_field else numbered(path, files.keep)
        beside = {end: path.with_name(f"{make(path.stem, end)}.png") for end in ends}
        skipped = files.skip_existing and all(map(os.path.lexists, [*outputs, *beside.values()]))
        return replace(self, outputs=outputs, beside=beside, skipped=skipped)

    @property
    def paths(self) -> list[Path]:
        """All files that are written for the input."""
        return [*self.outputs, *self.beside.values()]

    @property
    def names(self) -> dict[str, str]:
        """What is read, for JSON."""
        mask = {"mask": self.mask.name} if self.mask.name else {}
        others = {kind: file.name for kind, file in self.companions.items()}
        return {"input": self.name, **mask, **others}

    @property
    def read(self) -> list[InputImage]:
        """All files that are read."""
        mask = [self.mask.file] if isinstance(self.mask, File) else []
        return [self.source, *mask, *self.companions.values()]

    @property
    def by_rank(self) -> dict[int, str]:
        """The paths of outputs by rank."""
        return {rank: str(path) for rank, path in enumerate(self.outputs, 1)}

    def fields(self, status: str, paths: Mapping[int, str], **more: object) -> dict[str, object]:
        """The fields of a JSON line without candidates, with the paths of outputs by rank."""
        ends = {end: str(self.beside[end]) for end in ENDS if end in self.beside}
        if ends:
            more["interval"] = ends
        if MARKS in self.beside:
            more[MARKS] = {"path": str(self.beside[MARKS])}
        outputs = [{"rank": rank, "path": path} for rank, path in paths.items()]
        return {**self.names, "status": status, **more, "outputs": outputs}


def make_plan(
    console: Console,
    inputs: Sequence[str],
    files: Files,
    companions: Mapping[str, str] = {},
    ends: Sequence[str] = (),
    marking: Marking | None = None,
    of_fields: bool | None = None,
) -> list[Job]:
    """Find all inputs, name all outputs, and raise CaflowError (exit 2) if the plan cannot work.

    `face.png` becomes `face_COMMAND.png` in its folder, or in the folder `-o`, which mirrors
    subfolders; with one input, `-o` may name the file, or be `-`. In folders that are searched,
    earlier results and companions (`face_COMMAND.png`, `face_mask.png` beside `face.png`) are
    ignored, as are the folders of companions and of results. With several processes, each plans all
    outputs, but gets only the jobs of its share.

    Args:
        console: The command's.
        inputs: As typed.
        files: The options.
        companions: What the user named of kinds of files that belong to inputs, as "mask".
        ends: Endings of further files for each input, which are PNG.
        marking: The options of masks, if the command has them.
        of_fields: Whether the model is one of fields, which all inputs then are; None: none is.
            If it is false, the content of a file decides.
    """
    if list(inputs) == ["-"] and not ends and _is_piped(console, files):
        files = replace(files, output="-")
    if files.skip_existing:
        _check_skipping(files)
    folder, file = _destination(files.output)
    fields = {".nc", ".nc4"} if of_fields is False else set()
    taken = FIELD_FORMATS if of_fields else IMAGES | fields
    jobs = _find_jobs(console, inputs, files, folder, companions, marking, taken)
    share = find_shard(files.shard, console)
    if share.step > 1:
        _check_shared(files, jobs)
    encoders = [
        files.encoder(file, job.source.field_format(of_fields) if of_fields is not None else None)
        for job in jobs
    ]
    jobs = [replace(job, encoder=each) for job, each in zip(jobs, encoders, strict=True)]
    jobs = [replace(job, number=k if job.of_field else 0) for k, job in enumerate(jobs)]
    if files.output == "-":
        _check_stdout(sum(1 if job.of_field else files.keep for job in jobs), console)
    else:
        paths = _paths(jobs, "-o", files.output, make(console.command, files.suffix))
        jobs = [job.named(path, files, ends) for job, path in zip(jobs, paths, strict=True)]
    if marking is not None and marking.marks is not None:
        jobs = _with_marks(jobs, marking.marks)
    _check_outputs(jobs, share, files)
    return jobs[share]


def _check_skipping(files: Files) -> None:
    """Raise CaflowError (exit 2) for options that contradict `--skip-existing`."""
    others = [*files.sheets, *["--overwrite"] * files.overwrite]
    message = f"{' and '.join(others)} and --skip-existing cannot be used together"
    check_usage(not others, message, "use one of them")


def _is_piped(console: Console, files: Files) -> bool:
    """Whether stdin goes to stdout without `-o -`: that is no terminal, and nothing else is wanted
    of it or written.
    """
    more = files.output is not None or files.keep > 1 or files.sheets or console.json
    return not more and not sys.stdout.isatty()


def _check_shared(files: Files, jobs: Sequence[Job]) -> None:
    """Raise CaflowError (exit 2) unless several processes can share the work."""
    piped = any(image.path is None for job in jobs for image in job.read)
    check_usage(
        not (files.sheets or piped or files.output == "-"),
        "stdin, -o - and sheets over all inputs need one process, not shards",
        "--shard 1/1",
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


def _find_jobs(
    console: Console,
    inputs: Sequence[str],
    files: Files,
    folder: Path | None,
    used: Mapping[str, str],
    marking: Marking | None,
    taken: Collection[str],
) -> list[Job]:
    """The inputs, without earlier results and files in `folder`, each with its companions."""
    aside: list[str | Path] = [*used.values()]
    if folder is not None:
        aside.append(folder)
    sources = find_inputs(inputs, files.recursive, aside, console.note, taken)
    if len(sources) > 1 or used:
        sources = _without_others(sources, used, console)
    mask = (marking.found if marking else None) or Transparent()
    jobs = [Job(source, mask=mask) for source in sources]
    return _with_companions(jobs, sources, used) if used else jobs


def _with_companions(
    jobs: Sequence[Job], sources: Sequence[InputImage], used: Mapping[str, str]
) -> list[Job]:
    """The jobs of these sources with the files of these kinds that belong to each."""
    files_of = {kind: find_companions(kind, name, sources) for kind, name in used.items()}
    masks = files_of.pop("mask", None)
    if masks is not None:
        jobs = [replace(job, mask=File(mask)) for job, mask in zip(jobs, masks, strict=True)]
    return [
        replace(job, companions={kind: images[i] for kind, images in files_of.items()})
        for i, job in enumerate(jobs)
    ]


def _without_others(
    found: Sequence[InputImage], used: Mapping[str, str], console: Console
) -> list[InputImage]:
    """Leave out earlier results, companions and infrared channels of other images, and say so."""
    sources = without_others(found, [console.command], used)
    only = f"the only image is used as {' and '.join(used)}"
    check_usage(bool(sources), only, "give the photo, too")
    if len(sources) < len(found):
        left_out = len(found) - len(sources)
        console.note(f"results, masks and infrared channels of other inputs left out: {left_out}")
    return sources


def _check_stdout(count: int, console: Console) -> None:
    """Raise CaflowError (exit 2) unless `count` images can go to stdout."""
    check_usage(not console.json, "-o - and --json both write to stdout", "use one of them")
    check_usage(not sys.stdout.isatty(), "-o - would write image bytes to the terminal", "-o FILE")
    check_usage(count == 1, f"-o - writes one image, not {count}", "-n 1 -o -")


def _paths(
    jobs: Sequence[Job], option: str, named: str | None, label: str, form: Form | None = None
) -> list[Path]:
    """The output of each job, without a rank: the file that an option names, else `NAME_LABEL` in
    the folder that it names, or beside the input.

    Sources of one folder that differ only in their suffix keep it: `a.jpg` and `a.png` become
    `a_jpg_LABEL.png` and `a_png_LABEL.png`.
    """
    folder, file = _destination(named)
    if file is not None:
        encoder = jobs[0].encoder
        _check_file(file, option, form or (encoder.format, encoder.suffixes), len(jobs))
        return [file]
    sources = [job.source for job in jobs]
    stems = [
        (source.folder if folder is None else folder / source.inside, source.stem.casefold())
        for source in sources
    ]
    shared = Counter(stems)
    paths = []
    for key, job in zip(stems, jobs, strict=True):
        stem = job.source.full_stem if shared[key] > 1 else job.source.stem
        suffixes = form[1] if form else job.encoder.suffixes
        paths.append(key[0] / f"{make(stem, label)}{suffixes[0]}")
    return paths


def _with_marks(jobs: Sequence[Job], marks: str) -> list[Job]:
    """The jobs with the images that show their masks."""
    paths = _paths(jobs, "--marks", marks, MARKS, ("png", FORMATS["png"]))
    return [
        replace(job, beside={**job.beside, MARKS: path})
        for job, path in zip(jobs, paths, strict=True)
    ]


def _check_file(file: Path, option: str, form: Form, count: int) -> None:
    """Raise CaflowError (exit 2) unless a file has the suffix of its format, and one input."""
    format, suffixes = form
    check_usage(
        file.suffix.lower() in suffixes,
        f"the suffix of {str(file)!r} does not fit {format}",
        f"{option} {file.with_suffix(suffixes[0])} for a file, {option} {file}/ for a folder",
    )
    message = f"{option} {file} is one file for {count} inputs"
    check_usage(count == 1, message, f"{option} {file.with_suffix('')}/")


def _key(path: Path) -> str:
    """A key that is equal for two names of the same file; some file systems ignore case."""
    real = os.path.realpath(path)
    fold = sys.platform in ("win32", "darwin")
    return unicodedata.normalize("NFC", real).casefold() if fold else real


def _outputs(jobs: Sequence[Job], files: Files) -> Iterator[tuple[str, Path, str]]:
    """Every output: the option that names it, its path, and what it is of: an input, or all."""
    for option, sheet in files.sheets.items():
        _check_sheet(option, sheet, len(jobs))
        yield option, Path(sheet), option
    for job in jobs:
        for path in job.paths:
            yield "--marks" if path == job.beside.get(MARKS) else "-o", path, job.name


def _check_outputs(jobs: Sequence[Job], share: slice, files: Files) -> None:
    """Raise CaflowError (exit 2) if an output is an input, or that of another job, or cannot be
    written; or if one of the share exists, unless an option says what to do then.
    """
    read = [image.path for job in jobs for image in job.read]
    claimed = {_key(path): "an input" for path in read if path is not None}
    for option, path, name in _outputs(jobs, files):
        key = _key(path)
        shown = repr(str(path))
        hint = f"choose another {option}"
        message = f"the output {shown} of {name!r} is {claimed.get(key)}, too"
        check_usage(key not in claimed, message, f"{hint}, or process them separately")
        claimed[key] = f"that of {name!r}"
        check_usage(not is_folder(path), f"the output {shown} is a folder", hint)
        folder = next(parent for parent in path.absolute().parents if exists(parent))
        writable = is_folder(folder) and os.access(folder, os.W_OK | os.X_OK)
        check_usage(writable, f"cannot write {shown[:80]}: no access", hint)
    if files.overwrite or files.skip_existing:
        return
    for option, path, _ in _outputs(jobs[share], files):
        way = "--overwrite or --skip-existing" if option == "-o" else "--overwrite"
        hint = f"add {way}, or choose another {option}"
        check_usage(not os.path.lexists(path), f"{str(path)!r} exists", hint)


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
