"""How much one visitor of the page may ask for. The page states it."""

from __future__ import annotations

from dataclasses import dataclass

from ..errors import EXIT_USAGE, CaflowError

__all__ = ["Limits"]


@dataclass(frozen=True)
class Limits:
    """Limits of one request."""

    megapixels: float = 4.0  # of a result, 10^6 pixels
    megabytes: int = 20  # of a file that is given, 2^20 bytes
    candidates: int = 64  # of one picture, all draws together
    waiting: int = 16  # visitors in the queue
    works: int = 16  # pictures whose candidates are kept, of all visitors

    @property
    def text(self) -> str:
        """The limits in a sentence, for the page."""
        return (
            f"Results up to {self.megapixels:g} megapixels, files up to {self.megabytes} MB, "
            f"up to {self.candidates} candidates. One picture is drawn at a time; others wait."
        )

    def check_bytes(self, size: int, name: str) -> None:
        """Refuse a file of too many bytes: CaflowError."""
        if size > self.megabytes << 20:
            raise CaflowError(
                f"{name!r} has more than {self.megabytes} MB",
                "crop or shrink the picture first, or start the app with --max-megabytes",
            )

    def check_pixels(self, given: tuple[int, int], made: tuple[int, int], name: str) -> None:
        """Refuse a picture of which too many pixels are made. Sizes are (height, width)."""
        if made[0] * made[1] > self.megapixels * 1e6:
            larger = f" make {made[1]}x{made[0]}, which" if made != given else ""
            raise CaflowError(
                f"{name!r}: {given[1]}x{given[0]} pixels{larger} are more than "
                f"{self.megapixels:g} megapixels",
                "crop or shrink the picture first, or start the app with --max-megapixels",
            )

    def check_candidates(self, count: int) -> None:
        """Refuse to draw more candidates than the page may."""
        if count > self.candidates:
            raise CaflowError(
                f"{count} candidates are more than {self.candidates}",
                f"draw up to {self.candidates} of one picture",
                EXIT_USAGE,
            )
