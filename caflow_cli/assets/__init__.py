"""Files that come with the package: model weights and public-domain example images."""

from pathlib import Path

from ..errors import check_usage

__all__ = [
    "ASSETS",
    "EXAMPLE",
    "EXAMPLES_DIR",
    "WEIGHTS_DIR",
    "example_path",
    "manifest_path",
    "named_path",
]

ASSETS = Path(__file__).parent
EXAMPLES_DIR = ASSETS / "examples"
EXAMPLE = "example:"  # before the name of an example that a user types
WEIGHTS_DIR = ASSETS / "weights"  # missing in an installation without bundled models


def example_path(name: str) -> Path:
    """The path of the bundled example with that name: an image (PNG), such as `face`, or a field
    (GeoTIFF), `rain`.

    Raises:
        CaflowError: (exit 2) there is no such example; the hint lists the examples.
    """
    files = (path for path in sorted(EXAMPLES_DIR.iterdir()) if path.suffix in (".png", ".tif"))
    examples = {path.stem: path for path in files}
    check_usage(name in examples, f"no example {name!r}", f"the examples are {', '.join(examples)}")
    return examples[name]


def named_path(name: str) -> Path:
    """The path of a file as a user names it: `example:face`, or any path."""
    return example_path(name.removeprefix(EXAMPLE)) if name.startswith(EXAMPLE) else Path(name)


def manifest_path() -> Path:
    """Path of the model manifest: inside the package in a wheel, at the top level of a checkout."""
    inside = ASSETS.parent / "weights_manifest.json"
    return inside if inside.exists() else ASSETS.parent.parent / inside.name
