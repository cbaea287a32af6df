"""The jobs of a restoring command: inputs, masks and outputs, checked before any work."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import EXIT_FAILED, EXIT_USAGE, CaflowError, usage_error
from ..images import Decoded, Encoder, atomic_write, make_folder, no_file, read_provenance
from ..paths import numbered
from .inputs import InputImage, Shard, find_inputs, names_one
from .masking import Masking, find_masks
from .outputs import Claims, check_writable, choose_encoder, name_results, target_folder

if TYPE_CHECKING:
    from ..tasks import Pixels
    from .options import Restoration

__all__ = ["Job", "Plan", "make_plan"]


@dataclass(frozen=True)
class Job:
    """An input, its mask, and its output files."""

    source: InputImage
    outputs: list[Path]  # in rank order; none: image bytes to stdout
    skipped: bool = False  # all outputs exist, and existing ones are kept
    mask: InputImage | None = None  # white where the image is to be filled

    @property
    def name(self) -> str:
        """The input's name, for messages."""
        return self.source.name

    @property
    def names(self) -> dict[str, str]:
        """The names of all files that are read, as JSON states them."""
        masks = {} if self.mask is None else {"mask": self.mask.name}
        return {"input": self.name, **masks}


@dataclass(frozen=True)
class Plan:
    """All jobs of a command, in the order of the arguments."""

    jobs: list[Job]
    encoder: Encoder
    claims: Claims  # where further outputs (`--grid`) claim their files
    given: Restoration
    notes: list[str]  # for the user before the work starts, one line each
    masking: Masking | None  # how masks are read; None: there are none
    fills_alpha: bool  # holes are what is transparent in the images

    def read_mask(self, job: Job, image: Decoded) -> Pixels | None:
        """A job's mask, uint8 (H, W), if there is one.

        Raises:
            CaflowError: (exit 1) it cannot be read or is no mask; exit 2 if there is one job.
        """
        try:
            if self.masking is not None and self.fills_alpha:
                return self.masking.read_alpha(image, job.name)
            if self.masking is not None and job.mask is not None:
                return self.masking.read(job.mask)
            return None
        except CaflowError as error:
            if len(self.jobs) > 1:
                raise CaflowError(error.message, error.hint) from error
            raise

    def check_mask(self) -> None:
        """Find out before the work whether the mask of all, or the hole of the one image, is one.

        Raises:
            CaflowError: (exit 2) it is none. What cannot be read is reported in its turn.
        """
        one_mask = len({id(job.mask) for job in self.jobs}) == 1
        if self.masking is None or not one_mask or (self.fills_alpha and len(self.jobs) > 1):
            return
        job = self.jobs[0]
        read = job.source if self.fills_alpha else job.mask
        if job.skipped or read is None or read.path is None or read.problem is not None:
            return  # stdin is read once
        try:
            if self.fills_alpha:
                self.masking.read_alpha(read.read(), job.name)
            else:
                self.masking.read(read)
        except CaflowError as error:
            if error.exit_code == EXIT_USAGE:
                raise

    def nothing_to_do(self, *, sheets: bool) -> bool:
        """Whether all jobs fail for known reasons, or exist (`sheets`: and no sheet shows them)."""
        left = [job for job in self.jobs if job.source.problem is None]
        return not left or (not sheets and all(job.skipped for job in left))

    def write(self, path: Path, data: bytes) -> bool:
        """Write one output of a job, whole or not at all, with the folders that it needs.

        Returns:
            False where the file exists and is kept, as `--skip-existing` asks for.
        """
        if self.given.skip_existing and os.path.lexists(path):
            return False
        make_folder(path.parent)
        try:
            atomic_write(path, data, replace=self.given.overwrite)
        except CaflowError as error:  # another process may write the same outputs
            if self.given.skip_existing and isinstance(error.__cause__, FileExistsError):
                return False
            raise
        return True


def make_plan(
    inputs: Sequence[str],
    label: str,
    given: Restoration,
    masking: Masking | None = None,
    shard: Shard | None = None,
) -> Plan:
    """Find all inputs, name all outputs, and refuse what cannot work.

    Of several processes, each names the outputs of all inputs, and has the jobs of its own share.

    `face.png` becomes `face_LABEL.png` in its folder, or in the folder `output`, where folders are
    mirrored; with one input, `output` may name the file, or be `-`. In folders, earlier results are
    left out: `face_LABEL.png` beside `face.png` and, if results go into the folder of their inputs,
    every image `*_LABEL` with provenance. So is the mask, if it lies in a folder that is searched.

    Raises:
        CaflowError: (exit 2) as `find_inputs`, `find_masks` and `Claims.claim`; a folder cannot be
            written, or options contradict each other.
    """
    output, shard = given.output, shard or Shard()
    if given.overwrite and given.skip_existing:
        raise usage_error(
            "--overwrite and --skip-existing contradict each other", "use one of them"
        )
    if output == "-" and given.json:
        raise usage_error("-o - and --json both want stdout", "use one of them")
    folder = target_folder(output, names_one(inputs))
    mask = None if masking is None else masking.mask
    aside = [Path(path) for path in (folder, mask) if path is not None]
    found = find_inputs(inputs, recursive=given.recursive, aside=aside)
    sources, own = _without_results(found.sources, label, folder)
    if not sources:
        message = f"{own} images are results of caflow {label}, and there are no others"
        raise usage_error(message, "name the files, to process them again")
    shard.refuse("stdin", mask == "-" or any(one.path is None for one in sources))
    shard.refuse("-o -", output == "-")
    file = None if folder is not None or output == "-" else output
    encoder = choose_encoder(file, given.format, given.quality, not given.no_provenance)
    claims = Claims([one.path for one in sources if one.path is not None])
    count = len(sources)
    if output == "-":
        if sys.stdout is None or sys.stdout.isatty():
            raise usage_error("-o - would write image bytes to the terminal", "-o FILE")
        if count * given.keep > 1:
            raise usage_error(f"-o - writes one image, not {count * given.keep}", "-n 1 -o -")
        jobs = [Job(sources[0], [])]
    else:
        names = name_results(sources, label, encoder.suffix, folder, given.keep)
        if file is not None and count > 1:
            message = f"-o {file} is one file for {count} inputs"
            raise usage_error(message, f"-o {Path(file).with_suffix('')}/")
        if file is not None:
            names = [numbered(Path(file), given.keep)]
        share, refused = set(shard.of(range(count))), list[CaflowError]()
        jobs = []
        for place, (source, paths) in enumerate(zip(sources, names, strict=True)):
            existing = given.overwrite or place not in share, given.skip_existing
            jobs.append(_job(source, paths, claims, existing, refused))
        if len(refused) == count:  # one read-only folder for all, say
            raise refused[0]
    masks = find_masks(mask, sources)
    jobs = shard.of([replace(job, mask=one) for job, one in zip(jobs, masks, strict=True)])
    for path in {job.mask.path for job in jobs if job.mask is not None}:
        if path is not None:
            claims.protect(path)
    notes = [*found.notes, *([f"{own} earlier results left out"] if own else [])]
    return Plan(jobs, encoder, claims, given, notes, masking, label == "inpaint" and mask is None)


def _job(
    source: InputImage,
    outputs: list[Path],
    claims: Claims,
    existing: tuple[bool, bool],
    refused: list[CaflowError],
) -> Job:
    """The job of a source, which claims its outputs.

    Args:
        source, outputs, claims: As of `Job` and `Plan`.
        existing: Whether outputs that exist may be replaced, or are kept.
        refused: Collects the error if nothing can be written.
    """
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
        claims.claim(path, source.name, *existing)
    skipped = existing[1] and all(os.path.lexists(path) for path in outputs)
    if not skipped and source.path is not None and not os.path.lexists(source.path):
        source = replace(source, problem=no_file(source.name))
    return Job(source, outputs, skipped)


def _without_results(
    sources: list[InputImage], label: str, folder: Path | None
) -> tuple[list[InputImage], int]:
    """The sources that are not earlier results of other sources, and how many were left out."""
    pattern = re.compile(rf"(.+)_{re.escape(label)}(_\d+)?")
    stems = set()
    for source in sources:
        suffix = source.path.suffix[1:] if source.path is not None else ""
        stems |= {(source.folder, source.stem), (source.folder, f"{source.stem}_{suffix}")}

    def is_result(source: InputImage) -> bool:
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
