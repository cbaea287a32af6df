"""Which file, such as a mask, belongs to which image."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import check_usage
from ..names import make
from ..paths import is_folder

if TYPE_CHECKING:
    from .inputs import InputImage


def find_companions(kind: str, named: str, images: Sequence[InputImage]) -> Sequence[InputImage]:
    """Find the file that belongs to each image: one for all, or, in a folder, by the image's name.

    The mask of `a.jpg` is `a_jpg_mask`, `a_mask` or, unless the folder is that of the image, `a`;
    input images are never masks. For images found in subfolders, masks are in subfolders of the
    same names. CaflowError (exit 2) if there is no such mask, if an image has none, or if stdin is
    named twice.

    Args:
        kind: One of `names.COMPANIONS`.
        named: The file or folder that the option names.
        images: The images.
    """
    from .inputs import find_inputs  # imported here, because it imports NumPy

    alone = len(images) == 1 and images[0].name != "-"
    check_usage(alone or named != "-", "stdin holds one image", f"give the {kind} as a file")
    found = find_inputs([named], recursive=True)
    if not is_folder(named):
        check_usage(
            len(found) == 1 and not found[0].missing,
            f"no {kind} {named!r}",
            f"--{kind} FILE, or --{kind} DIR with one for each image"
            + ", or use --mask auto" * (kind == "mask"),
        )
        return found * len(images)
    return _by_name(kind, named, images, found)


def _by_name(
    kind: str, named: str, images: Sequence[InputImage], found: Sequence[InputImage]
) -> list[InputImage]:
    """The file in a folder that belongs to each image, of those that are `found` there."""
    inputs = {os.path.realpath(image.path) for image in images if image.path is not None}
    others = [file for file in found if os.path.realpath(file.path or "") not in inputs]
    names = [_names(kind, named, image) for image in images]
    wanted = set().union(*names)
    by_name = by_stem([file for file in others if (file.inside, file.stem) in wanted])
    companions = []
    for image, of_image in zip(images, names, strict=True):
        matches = [by_name[name] for name in of_image if name in by_name]
        check_usage(
            bool(matches),
            f"no {kind} in {named!r} for {image.name!r}",
            f"name the {kind} of a.jpg {make('a', kind)}.png",
        )
        companions.append(matches[0])
    return companions


def _names(kind: str, folder: str, image: InputImage) -> list[tuple[Path, str]]:
    """Subfolders and stems that the companion of an image may have, the preferred one first."""
    stems = [make(image.full_stem, kind), make(image.stem, kind)]
    # In the image's own folder, its stem names the image.
    if os.path.realpath(Path(folder, image.inside)) != os.path.realpath(image.folder):
        stems.append(image.stem)
    return [(image.inside, stem) for stem in stems]


def by_stem(sources: Sequence[InputImage]) -> dict[tuple[Path, str], InputImage]:
    """Images by subfolder and stem; CaflowError (exit 2) if two have the same stem."""
    found: dict[tuple[Path, str], InputImage] = {}
    for source in sources:
        other = found.setdefault((source.inside, source.stem), source)
        check_usage(
            other is source,
            f"{other.name!r} and {source.name!r} differ only in their suffix",
            "rename one of them",
        )
    return found
