"""Draw the images of the README: what each bundled model makes of a bundled example.

    python docs/images/draw.py

writes seven WebP files, and `drawn_from.json` beside them: the sha256 of the models, examples and
script that they were drawn from, and of the images. `tests/test_docs.py` compares it.
"""

from __future__ import annotations

import hashlib
import json
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from matplotlib import colormaps
from PIL import Image, ImageDraw, ImageFont
from scipy.ndimage import gaussian_filter

import caflow_cli as caflow
from caflow_cli.assets import ASSETS, WEIGHTS_DIR, example_path
from caflow_cli.fields import read_field
from caflow_cli.images import read_image
from caflow_cli.restoration import spread

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
RECORD = HERE / "drawn_from.json"

# Twice the size that pages show, so that they stay sharp; legible at 400 pixels.
CELL, GAP, MARGIN, CORNER = 224, 20, 20, 20
LETTERS, LINE = 24, 32
CAPTION = 2 * LINE + 10
# A white card with round corners, and nothing outside it: it suits a light and a dark page.
CARD, BORDER, INK, PALE = (255, 255, 255), (208, 213, 219), (31, 35, 40), (89, 99, 110)


@dataclass(frozen=True)
class Scene:
    """An image to draw: a model, its input and, if there is one, what the input was made from."""

    name: str  # of the file, and of the task
    model: str
    input: str
    original: str | None = None
    mask: str | None = None


SCENES = [
    Scene("colorize", "photos-colorize", "cat_192", original="cat_192"),
    Scene("inpaint", "photos-inpaint", "cat_192", original="cat_192", mask="scratch"),
    Scene("sample", "maps-aerial", "map"),
]
# Three subjects, enlarged: a photograph, a face, a drawing. The model, and the original, which is
# shrunk four times.
ENLARGED = [
    ("photos-superres-x4", "cat_192"),
    ("faces-superres-x4", "face_64"),
    ("photos-superres-x4", "map"),
]

RAIN = "rain-superres-x4"

# An old portrait in one go, in bash; `tee` keeps the steps.
OLD = """set -o pipefail
caflow inpaint example:old --mask auto:0.2 -o - | tee repaired.png |
    caflow superres - -o - | tee enlarged.png | caflow colorize - -o colored.png"""


def sources() -> list[Path]:
    """The files that the images depend on."""
    names = ["old", "rain"]
    names += [getattr(scene, part) for scene in SCENES for part in ("input", "original", "mask")]
    names += [name for _, name in ENLARGED]
    examples = {example_path(name) for name in names if name is not None}
    ids = {scene.model for scene in SCENES} | {model for model, _ in ENLARGED} | {RAIN}
    models = {WEIGHTS_DIR / f"{model}.safetensors" for model in ids}
    return sorted({*examples, *models, ASSETS / "damage.safetensors", Path(__file__).resolve()})


def digests(paths: list[Path]) -> dict[str, str]:
    """sha256 by path from the root of the repository."""
    return {
        path.relative_to(ROOT).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in paths
    }


def draw(scene: Scene) -> Image.Image:
    """Two rows of three: input, uncertainty and original; below, the three likeliest candidates."""
    model = caflow.load(scene.model)
    image = read_image(example_path(scene.input))
    mask = None if scene.mask is None else read_image(example_path(scene.mask))[..., 0]
    result = caflow.restore(model, image, mask=mask, keep=3)
    drawn = len(result.ranked)
    shown = image if mask is None else with_hole(image, mask)
    if scene.name == "colorize":
        shown = np.asarray(Image.fromarray(image).convert("L").convert("RGB"))
    height, width = image.shape[:2]

    cells = [cell(enlarged(shown), "input", f"{width} x {height} pixels")]
    cells.append(uncertainty_cell(spread(result.ranked), f"where {drawn} differ"))
    if scene.original is None:
        last = result.ranked[-1]
        cells.append(cell(enlarged(last.image), f"#{last.rank}, the last", nats(last.score)))
    else:
        original = read_image(example_path(scene.original))
        score = caflow.score(model, image, original, mask)
        cells.append(cell(enlarged(original), "original", nats(score)))
    for candidate in result.kept:
        label = f"#{candidate.rank} of {drawn}"
        cells.append(cell(enlarged(candidate.image), label, nats(candidate.score)))
    return card(cells, columns=3)


def draw_enlarged() -> Image.Image:
    """A row for each subject: BICUBIC, the likeliest of ten, where the ten differ, the original."""
    cells = []
    for model, name in ENLARGED:
        original = Image.fromarray(read_image(example_path(name)))
        width, height = original.size
        small = original.resize((width // 4, height // 4), Image.Resampling.BICUBIC)
        plain = np.asarray(small.resize(original.size, Image.Resampling.BICUBIC))
        result = caflow.restore(caflow.load(model), np.asarray(small), candidates=10)
        size = f"{width // 4} to {width} pixels"
        cells += [
            cell(enlarged(plain), "bicubic", size),
            cell(enlarged(result.kept[0].image), "caflow", "likeliest of 10"),
            uncertainty_cell(spread(result.ranked), "where the 10 differ"),
            cell(enlarged(np.asarray(original)), "original", size.partition(" to ")[2]),
        ]
    return card(cells, columns=4)


def draw_old() -> Image.Image:
    """A damaged portrait; repaired, enlarged and colored by the command line; upper parts."""
    before = read_image(example_path("old"))
    height, width = before.shape[:2]
    cells = [cell(enlarged(before[:width]), "old", f"{width} x {height} pixels")]
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(["bash", "-c", OLD], cwd=folder, check=True)
        for label in ("repaired", "enlarged", "colored"):
            image = read_image(Path(folder, f"{label}.png"))
            height, width = image.shape[:2]
            note = f"{width} x {height} pixels" if label == "enlarged" else ""
            if label == "repaired":
                note = f"{100 * (image != before).any(-1).mean():.1f} % filled"
            cells.append(cell(enlarged(image[:width]), label, note))
    return card(cells, columns=4)


def draw_film() -> Image.Image:
    """A part of a scan with simulated grain: damaged, filled by Telea's method and by caflow,
    without and with grain, and the original."""
    part = np.s_[56:112, 72:128]
    clean = read_image(example_path("cat_192"))
    mask = read_image(example_path("scratch"))[..., 0]
    fields = np.random.default_rng(0).standard_normal((3, *mask.shape))
    grain = gaussian_filter(fields, (0, 0.8, 0.8)).transpose(1, 2, 0)
    scan = np.rint(clean + 9 * grain / grain.std()).clip(0, 255).astype(np.uint8)
    damaged = np.where(mask[..., None] >= 128, np.uint8(255), scan)
    model = caflow.load("photos-inpaint")
    smooth = caflow.restore(model, damaged, candidates=1, mask=mask, grain="off").kept[0].image
    result = caflow.restore(model, damaged, candidates=1, mask=mask)
    added = result.request.edits[0].as_json()
    images = {
        "damaged": (damaged, "simulated grain"),
        "Telea": (cv2.inpaint(damaged, mask, 3, cv2.INPAINT_TELEA), "OpenCV"),
        "caflow": (smooth, "--grain off"),
        "caflow, grain": (result.kept[0].image, f"{added['spots']} spots"),
        "original": (scan, "the scan"),
    }
    cells = []
    for label, (image, note) in images.items():
        shown = Image.fromarray(image[part]).resize((CELL, CELL), Image.Resampling.NEAREST)
        cells.append(cell(shown, label, note))
    return card(cells, columns=5)


def draw_rain() -> Image.Image:
    """The wettest 20×20 cells of a field of rain, two of fifty members, and where these differ."""
    coarse = read_field(example_path("rain")).image.values[..., 0]
    members = caflow.restore(caflow.load(RAIN), example_path("rain"), candidates=50).values
    wet = gaussian_filter(coarse, 4)
    row, column = (
        min(max(0, at - 10), side - 20)
        for at, side in zip(np.unravel_index(wet.argmax(), wet.shape), wet.shape, strict=True)
    )
    small = np.s_[row : row + 20, column : column + 20]
    part = np.s_[:, 4 * row : 4 * row + 80, 4 * column : 4 * column + 80]
    fine = members[part]
    cells = [cell(rain(coarse[small]), "rain", "20 x 20 cells")]
    for number in (1, 2):
        most = f"up to {fine[number - 1].max():.0f} mm/h"
        cells.append(cell(rain(fine[number - 1]), f"member {number} of 50", most))
    cells.append(cell(rain(fine.std(0)), "where the 50 differ", "0.1 to 100 mm/h"))
    return card(cells, columns=4)


def rain(values: np.ndarray) -> Image.Image:
    """Rain in mm/h, in colors by its logarithm from 0.1 to 100."""
    shades = colors(np.log10(np.maximum(values, 0.1) / 0.1) / 3)
    return Image.fromarray(shades).resize((CELL, CELL), Image.Resampling.NEAREST)


def with_hole(image: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """The image with a chequered hole where the mask is white."""
    rows, columns = np.indices(mask.shape) // 4
    checks = np.where((rows + columns) % 2, 214, 244).astype(np.uint8)
    return np.where(mask[..., None] >= 128, checks[..., None], image)


def enlarged(image: np.ndarray) -> Image.Image:
    """The image at the size of a cell: small ones by pixels that are seen, others smoothly."""
    smooth = image.shape[0] >= 64 and not is_drawing(image)
    kernel = Image.Resampling.LANCZOS if smooth else Image.Resampling.NEAREST
    return Image.fromarray(image).resize((CELL, CELL), kernel)


def is_drawing(image: np.ndarray) -> bool:
    """Whether it has black and white alone, which a smooth kernel would blur."""
    return bool(np.isin(image, (0, 255)).all())


def nats(score: caflow.Score) -> str:
    return f"{score.log_likelihood:,.1f} nats"


def cell(image: Image.Image, label: str, number: str) -> Image.Image:
    """An image with two lines below: what it is, and a number."""
    canvas = Image.new("RGB", (CELL, CELL + CAPTION), CARD)
    canvas.paste(image, (0, 0))
    pen = ImageDraw.Draw(canvas)
    pen.text((0, CELL + 8), label, font=font(), fill=INK)
    pen.text((0, CELL + 8 + LINE), number, font=font(), fill=PALE)
    return canvas


def uncertainty_cell(values: np.ndarray, label: str) -> Image.Image:
    """The map of standard deviations, with its scale of levels in place of a number."""
    steps = (1, 2, 5, 10, 20, 50, 100, 200)
    top = next(step for step in steps if step >= np.percentile(values, 99.5))
    field = Image.fromarray(colors((values / top).clip(0, 1)))
    canvas = cell(field.resize((CELL, CELL), Image.Resampling.NEAREST), label, "0")
    pen = ImageDraw.Draw(canvas)
    end = f"{top:g} levels"
    room = round(font().getlength(end))
    left, right = 26, CELL - room - 10
    bar = colors(np.linspace(0, 1, right - left))[None].repeat(18, 0)
    canvas.paste(Image.fromarray(bar), (left, CELL + 8 + LINE + 8))
    pen.text((CELL - room, CELL + 8 + LINE), end, font=font(), fill=PALE)
    return canvas


def colors(values: np.ndarray) -> np.ndarray:
    """Values from 0 to 1 as colors, uint8 (..., 3)."""
    return colormaps["magma"](values, bytes=True)[..., :3]


def font() -> ImageFont.FreeTypeFont:
    found = ImageFont.load_default(LETTERS)
    assert isinstance(found, ImageFont.FreeTypeFont), "Pillow was built without FreeType"
    return found


def card(cells: list[Image.Image], columns: int) -> Image.Image:
    """Cells in rows on a card with round corners, transparent outside."""
    width, height = cells[0].size
    rows = -(-len(cells) // columns)
    size = (
        2 * MARGIN + columns * width + (columns - 1) * GAP,
        2 * MARGIN + rows * height + (rows - 1) * GAP - 14,
    )
    canvas = Image.new("RGB", size, CARD)
    for index, part in enumerate(cells):
        row, column = divmod(index, columns)
        canvas.paste(part, (MARGIN + column * (width + GAP), MARGIN + row * (height + GAP)))
    # Drawn four times as large and shrunk: Pillow's corners are jagged.
    large = tuple(4 * side for side in size)
    box = (0, 0, large[0] - 1, large[1] - 1)
    outline = Image.new("L", large, 0)
    ImageDraw.Draw(outline).rounded_rectangle(box, 4 * CORNER, outline=255, width=8)
    inside = Image.new("L", large, 0)
    ImageDraw.Draw(inside).rounded_rectangle(box, 4 * CORNER, fill=255)
    canvas.paste(Image.new("RGB", size, BORDER), mask=outline.resize(size, Image.Resampling.BOX))
    canvas.putalpha(inside.resize(size, Image.Resampling.BOX))
    return canvas


def main() -> None:
    drawn = {"superres": draw_enlarged(), "old": draw_old(), "film": draw_film()}
    drawn["rain"] = draw_rain()
    drawn |= {scene.name: draw(scene) for scene in SCENES}
    images = []
    for name, image in drawn.items():
        path = HERE / f"{name}.webp"
        image.save(path, quality=88, method=6)
        images.append(path)
        print(path.relative_to(ROOT), path.stat().st_size)
    record = {"sources": digests(sources()), "images": digests(images)}
    RECORD.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
