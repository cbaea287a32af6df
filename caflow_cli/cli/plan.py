"""The output files of each input, decided and checked before any work."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import EXIT_FAILED, EXIT_USAGE, CaflowError
from ..images import Decoded, Encoder, atomic_write, make_folder, no_file, read_provenance
from ..paths import is_missing, numbered
from .inputs import InputPicture, find_inputs, names_one
from .outputs import Claims, check_writable, choose_encoder, name_results, target_folder
from .partners import Masks
from .shard import Shard

if TYPE_CHECKING:
    from ..tasks import Picture
    from .masking import Masking

__all__ = ["Job", "Plan", "plan"]


@dataclass(frozen=True)
class Job:
    """An input, its mask, and its output files.

    Attributes:
        source: The input.
        outputs: In rank order. Empty: image bytes to stdout.
        skipped: All outputs exist, and existing ones are kept.
        mask: White where the picture is to be filled; None: there is no mask.
    """

    source: InputPicture
    outputs: list[Path]
    skipped: bool = False
    mask: InputPicture | None = None

    @property
    def name(self) -> str:
        """The input's name, for messages."""
        return self.source.name

    @property
    def names(self) -> dict[str, str]:
        """The names of all files that are read, as JSON states them."""
        masks = {} if self.mask is None else {"mask": self.mask.name}
        return {"input": self.name, **masks}

    @property
    def paths(self) -> list[str]:
        """The outputs, as JSON and messages state them."""
        return [str(path) for path in self.outputs]


@dataclass(frozen=True)
class Plan:
    """All jobs of a command.

    Attributes:
        jobs: In the order of the arguments.
        encoder: How results are written.
        claims: All files that are read and written; further outputs (`--grid`) claim theirs there.
        overwrite: Whether existing files may be replaced.
        skip_existing: Whether existing files stay and are not replaced.
        masking: How masks are read; None: there are none.
        fills_alpha: Whether holes are what is transparent in the pictures.
        notes: Notes for the user before the work starts, one line each.
    """

    jobs: list[Job]
    encoder: Encoder
    claims: Claims
    overwrite: bool
    skip_existing: bool
    notes: list[str]
    masking: Masking | None = None
    fills_alpha: bool = False

    def read(self, job: Job) -> Decoded:
        """Read the picture of a job. CaflowError (exit 1) if that fails."""
        return job.source.read()

    def read_mask(self, job: Job, picture: Decoded) -> Picture | None:
        """A job's mask, uint8 (H, W), if there is one.

        Raises:
            CaflowError: (exit 1) it cannot be read or is no mask; exit 2 if it is the only one.
        """
        try:
            return self._mask_of(job, picture)
        except CaflowError as error:
            if error.exit_code != EXIT_USAGE or self._one_mask:
                raise
            raise CaflowError(error.message, error.hint, EXIT_FAILED) from error

    def check_mask(self) -> None:
        """Find out before the work whether the mask of all, or of the first picture, is one.

        Raises:
            CaflowError: (exit 2) it is none. What cannot be read is reported in its turn.
        """
        if not self.jobs:
            return
        job = self.jobs[0]
        named = [job.source] if self.fills_alpha else [job.source, job.mask]
        if any(one is None or one.path is None or one.problem is not None for one in named):
            return  # stdin is read once
        if job.skipped or not (self.fills_alpha or self._one_mask):
            return
        try:
            self._mask_of(job, self.read(job))
        except CaflowError as error:
            if error.exit_code == EXIT_USAGE:
                raise

    def _mask_of(self, job: Job, picture: Decoded) -> Picture | None:
        if self.masking is None:
            return None
        if self.fills_alpha:
            return self.masking.read_alpha(picture, job.name)
        return None if job.mask is None else self.masking.read(job.mask)

    @property
    def _one_mask(self) -> bool:
        """Whether all jobs have one mask, so that they fail together."""
        first = self.jobs[0].mask
        shared = first is not None and all(job.mask is first for job in self.jobs)
        return shared or len(self.jobs) == 1

    def is_settled(self, *, sheets: bool = False) -> bool:
        """Whether nothing is left to do: all fail for known reasons, or exist (`sheets`: and no
        sheet shows them)."""
        failed = [job.source.problem is not None for job in self.jobs]
        return all(failed) or (
            not sheets
            and all(job.skipped or bad for job, bad in zip(self.jobs, failed, strict=True))
        )

    def write(self, path: Path, data: bytes) -> bool:
        """Write one output of a job, whole or not at all, with the folders that it needs.

        Returns:
            False where the file exists and is kept, as `--skip-existing` asks for.
        """
        if self.skip_existing and os.path.lexists(path):
            return False
        make_folder(path.parent)
        try:
            atomic_write(path, data, replace=self.overwrite)
        except CaflowError as error:
            # Another process that works on the same folder has written it since.
            if not (self.skip_existing and isinstance(error.__cause__, FileExistsError)):
                raise
            return False
        return True


def plan(
    inputs: Sequence[str],
    *,
    label: str,
    output: str | None,
    masking: Masking | None = None,
    keep: int = 1,
    recursive: bool = False,
    format: str | None = None,
    quality: int | None = None,
    provenance: bool = True,
    overwrite: bool = False,
    skip_existing: bool = False,
    shard: Shard | None = None,
) -> Plan:
    """Find all inputs, name all outputs, and refuse what cannot work.

    Of several processes, each names the outputs of all inputs, and has the jobs of its own share.

    `face.png` becomes `face_LABEL.png` in its folder, or in the folder `output`, where folders are
    mirrored; with one input, `output` may name the file, or be `-`. Names are those of
    `name_results`.

    In folders, earlier results are left out: `face_LABEL.png` beside `face.png` and, if results go
    into the folder of their inputs, every picture `*_LABEL` with provenance. The mask is left out
    too, if that file or folder lies in a folder that is searched.

    Raises:
        CaflowError: (exit 2) as `find_inputs` and `Masks`; two outputs have one name (or names that
            the file system takes for one), an output is an input or exists, a folder cannot be
            written, or options contradict each other.
    """
    if overwrite and skip_existing:
        raise CaflowError(
            "--overwrite and --skip-existing contradict each other", "use one of them", EXIT_USAGE
        )
    folder = target_folder(output, names_one(inputs))
    mask = None if masking is None else masking.mask
    aside = [Path(path) for path in (folder, mask) if path is not None]
    found = find_inputs(inputs, recursive=recursive, aside=aside)
    sources, own = _without_results(found.sources, label, folder)
    if not sources:
        raise CaflowError(
            f"{own} pictures are results of caflow {label}, and there are no others",
            "name the files, to process them again",
            EXIT_USAGE,
        )
    shard = shard or Shard()
    shard.refuse("stdin", mask == "-" or any(one.path is None for one in sources))
    notes = [*found.notes, *([f"{own} earlier results left out"] if own else [])]
    claims = Claims([s.path for s in sources if s.path is not None])
    encoder = choose_encoder(output, format, quality, provenance, folder is None and output != "-")
    if output == "-":
        _check_stdout(len(sources), keep)
        jobs = [Job(sources[0], [])]
    else:
        if output is None or folder is not None:
            names = name_results(sources, label, encoder.suffix, folder, keep)
        else:
            _check_one_file(output, len(sources))
            names = [numbered(Path(output), keep)]
        refused: list[CaflowError] = []
        own_share = set(shard.of(range(len(sources))))
        jobs = [
            # What other processes write may be there already.
            _job(source, paths, claims, overwrite or k not in own_share, skip_existing, refused)
            for k, (source, paths) in enumerate(zip(sources, names, strict=True))
        ]
        if len(refused) == len(jobs):  # one read-only folder for all, say
            raise refused[0]
    jobs = shard.of(_with_masks(jobs, mask, claims))
    fills_alpha = label == "inpaint" and mask is None
    return Plan(jobs, encoder, claims, overwrite, skip_existing, notes, masking, fills_alpha)


def _with_masks(jobs: list[Job], mask: str | None, claims: Claims) -> list[Job]:
    """Add their masks to the jobs; no output may replace a mask."""
    masks = Masks(mask, [job.source for job in jobs])
    found = [replace(job, mask=masks.of(job.source)) for job in jobs]
    for path in {job.mask.path for job in found if job.mask is not None}:
        if path is not None:
            claims.protect(path)
    return found


def _job(
    source: InputPicture,
    outputs: list[Path],
    claims: Claims,
    overwrite: bool,
    skip_existing: bool,
    refused: list[CaflowError],
) -> Job:
    """Make the job of a source. `refused` collects errors if nothing can be written for it."""
    if source.problem is not None:
        return Job(source, outputs)
    try:
        for path in outputs:
            check_writable(path)
    except CaflowError as error:
        if not source.found:
            raise
        # One long name in a folder, or one read-only folder of many, does not stop the others.
        refused.append(error)
        problem = CaflowError(error.message, error.hint, EXIT_FAILED)
        return Job(replace(source, problem=problem), outputs)
    for path in outputs:
        claims.claim(path, source.name, overwrite, skip_existing)
    skipped = skip_existing and all(os.path.lexists(path) for path in outputs)
    if not skipped and source.path is not None and is_missing(source.path):
        source = replace(source, problem=no_file(source.name))
    return Job(source, outputs, skipped)


def _check_one_file(output: str, inputs: int) -> None:
    if inputs > 1:
        raise CaflowError(
            f"-o {output} is one file for {inputs} inputs",
            f"-o {Path(output).with_suffix('')}/",
            EXIT_USAGE,
        )


def _check_stdout(inputs: int, keep: int) -> None:
    if sys.stdout is None or sys.stdout.isatty():
        raise CaflowError("-o - would write image bytes to the terminal", "-o FILE", EXIT_USAGE)
    if inputs * keep > 1:
        raise CaflowError(f"-o - writes one picture, not {inputs * keep}", "-n 1 -o -", EXIT_USAGE)


def _without_results(
    sources: list[InputPicture], label: str, folder: Path | None
) -> tuple[list[InputPicture], int]:
    """The sources that are not earlier results of other sources, and how many were left out."""
    pattern = re.compile(rf"(.+)_{re.escape(label)}(_\d+)?")
    stems = set()
    for source in sources:
        suffix = source.path.suffix[1:] if source.path is not None else ""
        stems |= {(source.folder, source.stem), (source.folder, f"{source.stem}_{suffix}")}

    def is_result(source: InputPicture) -> bool:
        match = pattern.fullmatch(source.stem)
        if not source.found or match is None or source.path is None:
            return False
        if (source.folder, match[1]) in stems:
            return True
        target = source.folder if folder is None else folder / source.inside
        if os.path.realpath(target) != os.path.realpath(source.folder):
            return False
        try:
            return read_provenance(source.path) is not None
        except CaflowError:  # reported when its turn comes
            return False

    kept = [source for source in sources if not is_result(source)]
    return kept, len(sources) - len(kept)
