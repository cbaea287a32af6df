"""The options of commands that restore or sample images."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import check_usage
from ..sampling import Sampling
from .options import DEVICE, MODEL_OPTION, OUTPUT, Files, option

if TYPE_CHECKING:
    from ..fields import FieldEncoder
    from ..images import Encoder
    from ..images.crop import Crop


def _parsed_crop(typed: str) -> Crop:
    from ..images.crop import crop_of  # here, because it imports Pillow

    return crop_of(typed)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Drawing(Files):
    """The options of commands that restore or sample images."""

    sampling: Sampling
    model: str | None = MODEL_OPTION
    device: str = DEVICE
    format: str | None = option(
        "--format F",
        "png, webp, jpg, tiff, avif; of fields tiff, netcdf, npy. Default: as -o, else png, or as "
        "read.",
        OUTPUT,
    )
    quality: int | None = option(
        "--quality Q",
        "1 to 100; by default jpg 95, avif 90, webp lossless.",
        OUTPUT,
        of="images",
    )
    no_provenance: bool = option(
        "--no-provenance", "Embed no provenance (model, seed, score; XMP).", OUTPUT
    )
    keep_metadata: bool = option(
        "--keep-metadata",
        "Keep dates, camera, exposure, artist, copyright and description of the input's EXIF.",
        OUTPUT,
        of="images",
    )
    keep_place: bool = option(
        "--keep-place", "With --keep-metadata, also keep the place.", OUTPUT, of="images"
    )
    grid: str | None = option(
        "--grid FILE", "Write a PNG of each input with candidates and scores.", OUTPUT
    )
    uncertainty: str | None = option(
        "--uncertainty FILE",
        "Write a PNG of the candidates' standard deviation.",
        OUTPUT,
    )

    crop: tuple[int, int, int, int] | None = option(
        "--crop X,Y,WxH",
        "Restore only this part, such as 100,200,640x480, X pixels from the left and Y from the "
        "top. Masks and hints are those of the whole image. Writes NAME_COMMAND_crop.png.",
        OUTPUT,
        parser=_parsed_crop,
    )

    def __post_init__(self) -> None:
        self.sampling.check()

    @property
    def suffix(self) -> str:
        """What the names of results end in."""
        return "crop" if self.crop else ""

    @property
    def keep(self) -> int:
        """How many images are written for each input."""
        return self.sampling.keep or 1

    @property
    def sheets(self) -> dict[str, str]:
        """The files that show all inputs, by their options."""
        named = {"--grid": self.grid, "--uncertainty": self.uncertainty}
        return {name: file for name, file in named.items() if file is not None}

    def encoder(self, file: Path | None, field_format: str | None = None) -> Encoder | FieldEncoder:
        from ..images import Encoder, format_of

        if field_format is not None:
            return self._field_encoder(file, field_format)
        check_usage(
            self.keep_metadata or not self.keep_place,
            "--keep-place is for --keep-metadata",
            "--keep-metadata --keep-place",
        )
        metadata = ("none", "basic", "all")[self.keep_metadata + self.keep_place]
        # By its suffix, too: `tif` is tiff.
        form = self.format and (format_of(Path(f"_.{self.format}")) or self.format)
        form = form or (file and format_of(file)) or "png"
        return Encoder(form, self.quality, not self.no_provenance, metadata)

    def _field_encoder(self, file: Path | None, format: str) -> FieldEncoder:
        """The encoder of results of a field."""
        from ..fields import FIELD_FORMATS, FieldEncoder, format_of_field

        form = self.format and FIELD_FORMATS.get(f".{self.format}", self.format)
        return FieldEncoder(
            form or (file and format_of_field(file)) or format, not self.no_provenance
        )
