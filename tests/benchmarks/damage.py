#!/usr/bin/env python3
"""What `find_damage` marks, on damage drawn by seeds: F1, slides, undamaged photographs, faces.

    python tests/benchmarks/damage.py MASKS PHOTOGRAPHS [--faces FACES] [--portraits PORTRAITS]
        [--weights FILE]

MASKS is a checkout of github.com/daniela997/FilmDamageSimulator (MIT), of which the last 20 masks
of each kind are read; the others train. PHOTOGRAPHS and FACES are folders or zips of lossless
images; faces are aligned as in FFHQ. PORTRAITS is the folder `images` of
github.com/Hainish/congress-images-225x275 (public domain), or a zip of it: of its 879 images in the
order of their names, those at 7, 22, 37, … (from 0) are read, and are kept out of any training
after that of the file whose figures are below. `--weights` measures another file than the bundled
one.

film, hair, drawn, cracks, thick: precision, recall and F1 per pixel, with one pixel of tolerance.
    Damaged is what is changed by at least 8 levels in some channel. Opaque film masks, hairs, and
    drawn cracks, folds, lines, specks and tears, half of them dark, lie over crops of 320×320; half
    of the crops look like old prints. Thick: up to three masks, magnified one to four times, over
    crops of 400×400. Each crop is drawn by a seed of its own.
slides: simulated scans of slides with dark dust, of 1536×1024 pixels, which the photographs are
    enlarged (bicubic) to cover. Grain: a Gaussian field, blurred by σ 0.8, correlation 0.56 between
    channels; its deviation is 2, 5, 9 or 14 levels, times a function of the tone, as in `grain.py`.
    Dust: 60 ellipses with a larger radius of 1.5 to 6 pixels, the smaller 0.6 to 1 of it, and 6
    hairs of 60 to 300 pixels, 1 to 3 wide, that wander; softened by σ 0.7, each with an opacity of
    0.7 to 1 and a level of 0 to 40. Printed are the share of damaged pixels at most one pixel from
    a mark, and the share of the image that is marked and farther than one pixel from damage.
undamaged: the share of the photographs' pixels that is marked, and how many have no marks.
faces: how many of 200 have a mark in the box of the eyes (rows 40 to 73, columns 16 to 111 of 128)
    or of the mouth (rows 84 to 102, columns 45 to 83), at 128, 256 and 512 pixels; then of 100 with
    drawn cracks that stay 3 pixels of 128 away from both boxes.
portraits: squares of 59 portraits at 225, 338 and 450 pixels, half of them like old prints, with
    cracks that cross the face, eyes and mouth included. Tears: white, 2 to 40 pixels wide, and
    flakes beside them, with soft rims and a shadow. Creases: nearly straight, light beside dark,
    12 to 40 levels. Nets: fine cracks around cells, 15 to 80 levels lighter or darker. Cloth: the
    portrait is darkened, and white cracks run beside the face. Printed are the shares of damaged
    pixels that are marked: all over the square, and within the face. Then how many of the same
    squares, undamaged, have a mark in the face.
old: the cracks of `example:old`, as drawn by hand in `old_marks.png` (white: the one over the suit;
    192: the others; 128: specks, which count neither way): the shares of all and of the first that
    are marked, and of the image that is marked and more than two pixels from all that is drawn.

Figures of the bundled file, whose training saw the portraits: tears 59 % (57 % in the face),
creases 0 % (0 %), nets 26 % (18 %), cloth 84 %; undamaged 0 and 1 of 59 at 0.5 and 0.2; old 75 %,
31 % and 0.006 %.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import NamedTuple

import numpy as np
from grain import CORRELATION, TONES, read
from PIL import Image, ImageDraw
from safetensors.torch import load_file
from scipy import ndimage
from scipy.spatial import cKDTree

from caflow_cli.assets import example_path
from caflow_cli.damage import find
from caflow_cli.layers import fold

LUMA = np.array([0.299, 0.587, 0.114], np.float32)
FILM = ("scratches", "dirt", "dirt", "hair-short", "lint", "spots", "sprinkles", "scratches")
FILM = (*FILM, "sprinkles", "lint")
THICK = ("scratches", "dots", "hair-short", "lint")
CROPS = {"film": 200, "hair": 100, "drawn": 100, "cracks": 100, "thick": 60}
LEAST = 8  # levels that damage changes
OVER = 2  # samples a pixel, along each axis, of drawn damage
BOXES = ((40, 74, 16, 112), (84, 103, 45, 84))  # top, bottom, left, right, of 128: eyes, mouth
NEAR = np.ones((3, 3), bool)
FACE = (0.16, 0.67, 0.25, 0.75)  # top, bottom, left, right of a portrait's face
OVER_FACES = ("tears", "creases", "nets", "cloth")
OLD = Path(__file__).with_name("old_marks.png")
SUIT, SPECKS = 255, 128  # of its levels


class Case(NamedTuple):
    name: str
    image: np.ndarray  # uint8 (H, W, 3)
    damage: np.ndarray  # bool (H, W)


def damaged(photos: list[np.ndarray], masks: dict[str, list], seed: int) -> Iterator[Case]:
    """Crops of photographs under damage of five kinds."""
    for k, name in enumerate(name for name, count in CROPS.items() for _ in range(count)):
        rng = np.random.default_rng((seed, k))
        if name == "thick":
            yield thick(rng, photos[k % len(photos)], masks)
            continue
        image = crop(photos[k % len(photos)], 320, rng)
        image = print_look(rng, image) if k % 2 else image
        if name == "film":
            alpha = film_mask(rng, masks[FILM[k % 10]], 320)
        elif name == "hair":
            alpha = film_mask(rng, masks[("hair", "smut")[k // 2 % 2]], 320)
        else:
            draw = (cracks, folds, lines, specks, edges)[k // 2 % 5 if name == "drawn" else 0]
            alpha = draw(rng, 320)
        yield finish(rng, name, image, [alpha], (0.8, 1), 80)


def thick(rng: np.random.Generator, image: np.ndarray, masks: dict[str, list]) -> Case:
    image = crop(image, 400, rng)
    image = np.repeat((image @ LUMA)[..., None], 3, 2) if rng.random() < 0.5 else image
    kinds = rng.choice(THICK, rng.integers(1, 4))
    alphas = [film_mask(rng, masks[kind], 400, rng.uniform(1, 4)) for kind in kinds]
    return finish(rng, "thick", image, alphas, (0.75, 1), 0)


def crop(image: np.ndarray, side: int, rng: np.random.Generator) -> np.ndarray:
    image = enlarged(image, side, side)
    top, left = (rng.integers(length - side + 1) for length in image.shape[:2])
    return image[top : top + side, left : left + side].astype(np.float32)


def enlarged(image: np.ndarray, height: int, width: int) -> np.ndarray:
    """The image, enlarged to cover that size if it does not."""
    factor = max(height / image.shape[0], width / image.shape[1])
    if factor <= 1:
        return image
    size = (round(image.shape[1] * factor), round(image.shape[0] * factor))
    return np.asarray(Image.fromarray(image).resize(size, Image.Resampling.BICUBIC))


def finish(
    rng: np.random.Generator,
    name: str,
    image: np.ndarray,
    alphas: list[np.ndarray],
    opacity: tuple[float, float],
    contrast: float,
) -> Case:
    """Lay damage of one color over the image, where possible at least `contrast` from it."""
    clean = image
    for alpha in alphas:
        if rng.random() < 0.5:
            alpha = ndimage.gaussian_filter(alpha, rng.uniform(0.3, 0.9))
        level = rng.uniform(0, 40) if rng.random() < 0.5 else rng.uniform(215, 255)
        color = np.where(
            level > image,
            np.maximum(level, image + contrast),
            np.minimum(level, image - contrast),
        )
        weight = (alpha.clip(0, 1) * rng.uniform(*opacity))[..., None]
        image = image * (1 - weight) + color.clip(0, 255) * weight
    return Case(name, np.rint(image).clip(0, 255).astype(np.uint8), changed(image, clean))


def changed(image: np.ndarray, clean: np.ndarray) -> np.ndarray:
    return np.abs(image - clean).max(-1) >= LEAST


def print_look(rng: np.random.Generator, image: np.ndarray) -> np.ndarray:
    """An old print: gray or tinted, faded, soft."""
    keep = rng.choice([0, 0, 0, rng.uniform(0.2, 1)])
    image = (image @ LUMA)[..., None] * (1 - keep) + image * keep
    contrast = rng.uniform(0.45, 1)
    image = image * contrast + rng.uniform(0, 1) * 255 * (1 - contrast)
    if rng.random() < 0.6:
        image = image * np.array([1, rng.uniform(0.82, 1), rng.uniform(0.6, 0.95)])
    if rng.random() < 0.35:
        sigma = rng.uniform(0.4, 1.3)
        image = ndimage.gaussian_filter(image, (sigma, sigma, 0))
    return image.clip(0, 255)


def film_masks(checkout: str) -> dict[str, list[np.ndarray]]:
    """The last 20 masks of each kind, uint8 (400, 400), 255 where there is damage."""
    masks = {}
    for kind in sorted({*FILM, *THICK, "hair", "smut"}):
        paths = sorted(Path(checkout, "synthetic", kind).glob("*.png"))[-20:]
        images = [Image.open(path).convert("RGBA").resize((400, 400), 0) for path in paths]
        masks[kind] = [np.where(np.asarray(image)[..., 3] > 40, 255, 0) for image in images]
    return masks


def film_mask(
    rng: np.random.Generator, masks: list[np.ndarray], side: int, magnify: float = 1
) -> np.ndarray:
    """A turned and sheared part of a random mask: float32 (side, side) on [0, 1]."""
    mask = masks[rng.integers(len(masks))].astype(np.uint8)
    angle = rng.uniform(0, 2 * np.pi)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    matrix = turn @ np.array([[1, rng.uniform(-0.2, 0.2)], [0, 1]]) / magnify
    margin = min(side / magnify / 2, 200)
    shift = rng.uniform(margin, 400 - margin, 2) - matrix @ np.array([side / 2, side / 2])
    numbers = np.column_stack([matrix, shift]).ravel().tolist()
    image = Image.fromarray(mask)
    part = image.transform((side, side), Image.Transform.AFFINE, numbers, Image.Resampling.BILINEAR)
    return np.asarray(part, np.float32) / 255


# Drawn damage: opacity, float (side, side) on [0, 1].


def canvas(side: int) -> tuple[Image.Image, ImageDraw.ImageDraw]:
    image = Image.new("L", (side * OVER, side * OVER))
    return image, ImageDraw.Draw(image)


def opacity_of(image: Image.Image) -> np.ndarray:
    return np.asarray(image.reduce(OVER), np.float32) / 255


def stroke(draw: ImageDraw.ImageDraw, points: np.ndarray, widths: np.ndarray) -> None:
    for start, end, width in zip(points[:-1], points[1:], widths, strict=False):
        thick = max(1, round(width * OVER))
        draw.line((*(start * OVER), *(end * OVER)), fill=255, width=thick)
        if thick > 2:
            draw.circle(tuple(end * OVER), thick / 2, fill=255)


def walk(
    rng: np.random.Generator,
    start: np.ndarray,
    angle: float,
    length: float,
    wiggle: float,
    step: float,
) -> np.ndarray:
    """Points of a ragged path."""
    turns = rng.normal(0, wiggle, max(2, int(length / step)))
    angles = angle + 0.3 * np.cumsum(turns) + turns
    return along(start, angles, step)


def along(start: np.ndarray, angles: np.ndarray, step: float) -> np.ndarray:
    moves = step * np.stack([np.cos(angles), np.sin(angles)], 1)
    return np.concatenate([[start], start + np.cumsum(moves, 0)])


def beginning(rng: np.random.Generator, side: int) -> tuple[np.ndarray, float]:
    """A point at the border, or inside, and a direction into the image."""
    if rng.random() < 0.6:
        t = rng.uniform(0, side)
        k = rng.integers(4)
        point = [(t, 0), (t, side), (0, t), (side, t)][k]
        angle = (np.pi / 2, -np.pi / 2, 0, np.pi)[k] + rng.normal(0, 0.5)
        return np.array(point, float), angle
    return rng.uniform(0, side, 2), rng.uniform(0, 2 * np.pi)


def rough(rng: np.random.Generator, count: int, sigma: float) -> np.ndarray:
    return ndimage.gaussian_filter1d(rng.normal(0, 1, count), sigma)


def cracks(rng: np.random.Generator, side: int) -> np.ndarray:
    """Branching cracks."""
    image, draw = canvas(side)
    todo = []
    for _ in range(rng.choice([1, 1, 2, 3, 5])):
        todo.append((*beginning(rng, side), rng.uniform(0.3, 1.6) * side, rng.uniform(0.7, 2.6), 0))
    wiggle = rng.uniform(0.1, 0.5)
    while todo:
        start, angle, length, width, depth = todo.pop()
        points = walk(rng, start, angle, length, wiggle, rng.uniform(2.5, 6))
        count = len(points)
        taper = np.minimum(1, np.linspace(rng.uniform(1, 4), 0.25, count))
        stroke(draw, points, width * taper * np.exp(0.6 * rough(rng, count, 2)))
        for point in points if depth < 2 else ():
            if rng.random() < 2.5 / max(20, count):
                branch = angle + rng.choice([-1, 1]) * rng.uniform(0.4, 1.4)
                shorter, thinner = rng.uniform(0.15, 0.6), rng.uniform(0.5, 0.9)
                todo.append((point, branch, length * shorter, width * thinner, depth + 1))
    return opacity_of(image)


def folds(rng: np.random.Generator, side: int) -> np.ndarray:
    """Nearly straight creases: rough, with gaps."""
    image, draw = canvas(side)
    for _ in range(rng.choice([1, 1, 2])):
        points = walk(rng, *beginning(rng, side), 1.6 * side, 0.05, 3)
        stroke(draw, points, rng.uniform(0.8, 3.5) * np.exp(rough(rng, len(points), 1.5)))
    return opacity_of(image) * (2 * noise(rng, side, 6) + rng.uniform(0.3, 1.5)).clip(0, 1)


def lines(rng: np.random.Generator, side: int) -> np.ndarray:
    """Thin scratches, straight or bent."""
    image, draw = canvas(side)
    for _ in range(rng.integers(1, 5)):
        point, angle = beginning(rng, side)
        count = int(rng.uniform(0.1, 1.5) * side / 4) + 2
        points = along(point, angle + rng.normal(0, 0.01) * np.arange(count), 4)
        stroke(draw, points, np.full(count, rng.uniform(0.5, 1.5)))
    return opacity_of(image)


def specks(rng: np.random.Generator, side: int) -> np.ndarray:
    image, draw = canvas(side)
    big = OVER * rng.uniform(0.6, 2.5)
    for _ in range(rng.integers(3, 40)):
        x, y = rng.uniform(0, side * OVER, 2)
        radius = big * rng.uniform(0.4, 1.5)
        lower = radius * rng.uniform(0.5, 1)
        draw.ellipse((x - radius, y - lower, x + radius, y + lower), fill=255)
    return opacity_of(image)


def edges(rng: np.random.Generator, side: int) -> np.ndarray:
    """A torn edge or corner: what is beyond a ragged line."""
    y, x = np.indices((side, side)) - side / 2
    angle = rng.uniform(0, 2 * np.pi)
    if rng.random() < 0.5:
        angle = rng.integers(4) * np.pi / 2 + rng.normal(0, 0.04)
    reach = (abs(np.cos(angle)) + abs(np.sin(angle))) * side / 2
    beyond = x * np.cos(angle) + y * np.sin(angle) - reach + rng.uniform(0.02, 0.35) * side
    beyond += rng.uniform(1, 7) * noise(rng, side, rng.uniform(3, 14))
    beyond += rng.uniform(0, 2) * noise(rng, side, 1.2)
    return (beyond + 0.5).clip(0, 1)


def noise(rng: np.random.Generator, side: int, sigma: float) -> np.ndarray:
    """Smooth noise of unit variance."""
    field = ndimage.gaussian_filter(rng.normal(0, 1, (side, side)), sigma, mode="wrap")
    return field / field.std()


def slides(photos: list[np.ndarray], count: int, seed: int) -> Iterator[Case]:
    """Scans of slides with dark dust."""
    for k in range(count):
        rng = np.random.default_rng((seed, 2000 + k))
        image = photos[k % len(photos)]
        height, width = (1024, 1536) if image.shape[1] >= image.shape[0] else (1536, 1024)
        image = enlarged(image, height, width)
        top, left = (image.shape[0] - height) // 2, (image.shape[1] - width) // 2
        image = image[top : top + height, left : left + width].astype(np.float32)
        fields = rng.standard_normal((4, height, width), np.float32)
        fields = ndimage.gaussian_filter(fields, (0, 0.8, 0.8), mode="wrap")
        fields /= fields.std()
        mixed = CORRELATION**0.5 * fields[:1] + (1 - CORRELATION) ** 0.5 * fields[1:]
        strength = (2, 5, 9, 14)[k % 4] * np.interp(image @ LUMA, *TONES)[..., None]
        scan = clean = (image + strength * mixed.transpose(1, 2, 0)).clip(0, 255)
        for opacity, (rows, columns) in dust(rng, height, width):
            weight = opacity[..., None] * rng.uniform(0.7, 1)
            part = scan[rows, columns] * (1 - weight) + rng.uniform(0, 40) * weight
            scan = scan.copy() if scan is clean else scan
            scan[rows, columns] = part
        yield Case("slides", np.rint(scan).astype(np.uint8), changed(scan, clean))


def dust(rng: np.random.Generator, height: int, width: int) -> Iterator[tuple]:
    """Opacities of 60 specks and 6 hairs, softened by σ 0.7, and their places."""
    for k in range(66):
        radius = rng.uniform(1.5, 6)
        turn = rng.uniform(0, 2 * np.pi)
        if k < 60:
            t = np.linspace(0, 2 * np.pi, 40)
            shape = np.stack([np.cos(t), rng.uniform(0.6, 1) * np.sin(t)], 1) * radius
            shape = shape @ np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]])
        else:
            count = int(rng.uniform(60, 300) / 3)
            shape = along(np.zeros(2), turn + np.cumsum(rng.normal(0, 0.12, count)), 3)
        points = shape + rng.uniform(0, (width, height))
        low = np.maximum(np.floor(points.min(0)).astype(int) - 5, 0)
        high = np.minimum(np.ceil(points.max(0)).astype(int) + 5, (width, height))
        if (high <= low).any():
            continue
        image = Image.new("L", tuple(4 * (high - low).astype(int)))
        at = [tuple(point) for point in 4 * (points - low)]
        if k < 60:
            ImageDraw.Draw(image).polygon(at, fill=255)
        else:
            thick = max(1, round(4 * rng.uniform(1, 3)))
            ImageDraw.Draw(image).line(at, fill=255, width=thick, joint="curve")
        opacity = ndimage.gaussian_filter(np.asarray(image.reduce(4), np.float32) / 255, 0.7)
        yield opacity, (slice(low[1], high[1]), slice(low[0], high[0]))


def cracked(faces: list[np.ndarray], seed: int) -> Iterator[np.ndarray]:
    """Faces with cracks outside the boxes, and 3 pixels of 128 away from them."""
    for k, image in enumerate(faces):
        rng = np.random.default_rng((seed, 3000 + k))
        side = len(image)
        alpha = cracks(rng, side)
        away = 3 * side // 128
        for top, bottom, left, right in boxes(side):
            alpha[top - away : bottom + away, left - away : right + away] = 0
        yield finish(rng, "faces", image.astype(np.float32), [alpha], (0.8, 1), 80).image


def over_faces(faces: list[np.ndarray], seed: int) -> Iterator[Case]:
    """Portraits under each kind of damage."""
    for k, (image, name) in enumerate(product(faces, OVER_FACES)):
        rng = np.random.default_rng((seed, 4000 + k))
        clean = image.astype(np.float32)
        clean = print_look(rng, clean) if k // 4 % 2 else clean
        if name == "cloth":
            beside = np.ones(clean.shape[:2])
            beside[: face(clean)[0].stop, face(clean)[1]] = 0
            beside = ndimage.gaussian_filter(beside, len(clean) / 16)[..., None]
            clean *= 1 - beside * rng.uniform(0.5, 0.85)
        image = torn(rng, clean, name)
        yield Case(name, np.rint(image).clip(0, 255).astype(np.uint8), changed(image, clean))


def torn(rng: np.random.Generator, image: np.ndarray, name: str) -> np.ndarray:
    """Lay damage of one kind over a portrait, through its face or, on cloth, beside it."""
    side = len(image)
    rows, columns = face(image)
    point = rng.uniform((columns.start, rows.start), (columns.stop, rows.stop))
    if name == "creases":
        line = path(rng, point, side, 0.03, rng.uniform(1.5, 5) * np.exp(rough(rng, 400, 4)))
        line = line * (1.5 * noise(rng, side, 8) + 2).clip(0, 1)
        line = ndimage.gaussian_filter(line, rng.uniform(0.5, 1.2))
        fold = line - rng.uniform(0, 1) * ndimage.shift(line, rng.normal(0, 2, 2))
        return (image + rng.uniform(12, 40) * fold[..., None]).clip(0, 255)
    if name == "nets":
        cell = rng.uniform(14, 45)
        cells = np.indices([int(side / cell) + 1] * 2).reshape(2, -1).T + rng.uniform(size=2)
        cells = cell * (cells + rng.uniform(-0.4, 0.4, cells.shape))
        places = np.indices((side, side)) + 2 * np.stack([noise(rng, side, 5), noise(rng, side, 5)])
        first, second = np.moveaxis(cKDTree(cells).query(places.transpose(1, 2, 0), 2)[0], -1, 0)
        alpha = (rng.uniform(0.6, 1.3) + (first - second) / 2).clip(0, 1)
        alpha *= (2 * noise(rng, side, side / 6) + 1).clip(0, 1)
        level = rng.uniform(15, 80) * rng.choice([-1, 1])
        return (image + level * ndimage.gaussian_filter(alpha, 0.5)[..., None]).clip(0, 255)
    if name == "cloth":
        alpha = cracks(rng, side)
        alpha[: rows.stop, columns] = 0
        alpha = ndimage.maximum_filter(alpha, rng.integers(1, 5))
    else:
        widest = np.exp(rng.uniform(np.log(2), np.log(40)))
        widths = widest * np.exp(0.4 * rough(rng, 400, 3) - rng.uniform(0, 0.01) * np.arange(400))
        alpha = path(rng, point, side, rng.uniform(0.05, 0.3), widths)
        flake = noise(rng, side, rng.uniform(2, 8)) * noise(rng, side, side / 8)
        near = ndimage.gaussian_filter(alpha, 12) > 0.03
        alpha = np.maximum(alpha, near * (3 * flake - rng.uniform(4, 9)).clip(0, 1))
    ragged = 0.15 * noise(rng, side, 1.5) * (ndimage.gaussian_filter(alpha, 2) > 0.05)
    alpha = (ndimage.gaussian_filter(alpha, 1) + ragged - 0.4) * 2 + 0.5
    alpha = ndimage.gaussian_filter(alpha.clip(0, 1), rng.uniform(0.3, 1.6))
    shadow = ndimage.gaussian_filter(alpha, 1.5) * rng.uniform(0, 0.6)
    image = image * (1 - ndimage.shift(shadow, rng.normal(0, 2, 2)))[..., None]
    paper = rng.uniform(195, 255) + rng.uniform(0, 8) * noise(rng, side, 1)
    weight = (alpha * rng.uniform(0.85, 1))[..., None]
    return image * (1 - weight) + weight * paper.clip(0, 255)[..., None]


def path(
    rng: np.random.Generator, point: np.ndarray, side: int, wiggle: float, widths: np.ndarray
) -> np.ndarray:
    """A line through a point, to both sides."""
    image, draw = canvas(side)
    angle = rng.uniform(0, 2 * np.pi)
    for turn in (0, np.pi):
        points = walk(rng, point, angle + turn, rng.uniform(0.2, 1) * side, wiggle, 4)
        stroke(draw, points, widths)
    return opacity_of(image)


def boxes(side: int) -> list[list[int]]:
    return [[edge * side // 128 for edge in box] for box in BOXES]


def at_side(image: np.ndarray, side: int) -> np.ndarray:
    return np.asarray(Image.fromarray(image).resize((side, side), Image.Resampling.BICUBIC))


def touches_face(mask: np.ndarray) -> bool:
    return any(mask[t:b, left:right].any() for t, b, left, right in boxes(len(mask)))


class Counts:
    """Pixels of marks, of damage, and what of both is right within one pixel."""

    def __init__(self) -> None:
        self.sums = np.zeros(5)

    def add(self, mask: np.ndarray, damage: np.ndarray) -> None:
        right = mask & ndimage.binary_dilation(damage, NEAR)
        found = damage & ndimage.binary_dilation(mask, NEAR)
        self.sums += [right.sum(), mask.sum(), found.sum(), damage.sum(), mask.size]

    def f1(self) -> str:
        right, marked, found, damage, _ = self.sums
        precision, recall = right / max(marked, 1), found / damage
        f1 = 2 * precision * recall / max(precision + recall, 1e-9)
        return f"precision {precision:.3f}, recall {recall:.3f}, F1 {f1:.3f}"

    def shares(self) -> str:
        right, marked, found, damage, size = self.sums
        return f"found {found / damage:.1%}, false {(marked - right) / size:.4%}"


def measure_portraits(portraits: list[np.ndarray], seed: int) -> None:
    sides = (225, 338, 450)
    squares = [at_side(image[25:250], sides[k % 3]) for k, image in enumerate(portraits[7::15])]
    counts = {(name, part): Counts() for name in OVER_FACES for part in ("all", "face")}
    for case in over_faces(squares, seed):
        mask = marks(case.image)
        counts[case.name, "all"].add(mask, case.damage)
        if case.name != "cloth":
            counts[case.name, "face"].add(mask[face(mask)], case.damage[face(mask)])
    for (name, part), sums in counts.items():
        if sums.sums.any():
            print(f"portraits, {name}, {part}:", sums.shares(), flush=True)
    levels = [find.confidence(image) for image in squares]
    for threshold in (0.5, 0.2):
        found = [find.marks(level, threshold) > 0 for level in levels]
        touched = sum(mask[face(mask)].any() for mask in found)
        print(f"portraits, undamaged, at {threshold}: {touched} of {len(found)} in the face")


def face(image: np.ndarray) -> tuple[slice, slice]:
    top, bottom, left, right = (round(edge * len(image)) for edge in FACE)
    return np.s_[top:bottom, left:right]


def measure_old() -> None:
    drawn = np.asarray(Image.open(OLD))
    with Image.open(example_path("old")) as image:
        mask = marks(np.asarray(image.convert("RGB")))
    near = ndimage.binary_dilation(mask, NEAR)
    found = [near[part].mean() for part in (drawn > SPECKS, drawn == SUIT)]
    elsewhere = mask & ~ndimage.binary_dilation(drawn > 0, NEAR, 2)
    print("old       found {:.1%}, {:.1%}, elsewhere {:.4%}".format(*found, elsewhere.mean()))


def measure(
    masks: dict[str, list], photos: list[np.ndarray], faces: list[np.ndarray], seed: int
) -> None:
    counts: dict[str, Counts] = {}
    for case in damaged(photos, masks, seed):
        counts.setdefault(case.name, Counts()).add(marks(case.image), case.damage)
    for name, sums in counts.items():
        print(f"{name:9}", sums.f1(), flush=True)
    dusty = Counts()
    for case in slides(photos, 20, seed):
        dusty.add(marks(case.image), case.damage)
    print("slides   ", dusty.shares(), flush=True)
    areas = np.array([marks(image).mean() for image in photos])
    print(f"undamaged {areas.mean():.4%}, {(areas == 0).sum()} of {len(areas)} without", flush=True)
    for side in (128, 256, 512) if faces else ():
        sized = [at_side(face, side) for face in faces[:200]]
        for name, images in (("undamaged", sized), ("cracked", list(cracked(sized[:100], seed)))):
            levels = [find.confidence(image) for image in images]
            for threshold in (0.5, 0.2):
                touched = sum(touches_face(find.marks(level, threshold) > 0) for level in levels)
                print(f"faces of {side}, {name}, at {threshold}: {touched} of {len(levels)}")


def marks(image: np.ndarray) -> np.ndarray:
    return find.find_damage(image) > 0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("masks")
    parser.add_argument("photographs")
    parser.add_argument("--faces")
    parser.add_argument("--portraits")
    parser.add_argument("--weights", help="default: the bundled file")
    parser.add_argument("--seed", type=int, default=100)
    asked = parser.parse_args()
    if asked.weights:
        net = find.DamageNet()
        net.load_state_dict(load_file(asked.weights))
        folded = fold(net)
        find._net = lambda: folded
    photos = list(read(asked.photographs))
    faces = list(read(asked.faces)) if asked.faces else []
    measure_old()
    if asked.portraits:
        measure_portraits(list(read(asked.portraits)), asked.seed)
    measure(film_masks(asked.masks), photos, faces, asked.seed)


if __name__ == "__main__":
    main()
