"""Fit, and check, the rule by which `superres` chooses between two models by an image's pixels.

    python tests/benchmarks/choose.py fit photos.zip/train lossless.zip/train lossless.zip/val \
        general_calibrate.zip/test
    python tests/benchmarks/choose.py check lossless.zip/test general_choose.zip/test [--sheet OUT]

Both take folders, or folders in zips, of photographs, which they reduce to images of 96 to 420
pixels, degrade or leave clean. Which model should enlarge an image follows from how it was made: by
LPIPS, noise around edges costs nothing, but it is what one sees first. `fit` writes the numbers of
`caflow_cli/assets/choice.json`; they do not depend on the models. `check` prints the share of each
kind that goes to the model of web images, and writes what is wrong to OUT at 300 %.
"""

import argparse
import io
import json
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image, ImageFilter

from caflow_cli.assets import ASSETS
from caflow_cli.data.files import open_folder, open_zip
from caflow_cli.hub.choice import is_degraded
from caflow_cli.images.artifacts import traces

KERNELS = ("BICUBIC", "BOX", "BILINEAR", "LANCZOS")
SHOWN = ("JPEG 30 to 74", "JPEG 75 to 89", "WebP 30 to 49", "WebP 50 to 85")  # by table or levels
OTHER = ("noise", "blur", "several")
CLEAN = ("clean", "JPEG 92 to 98", "native", "camera")  # the last two, of large photographs
LARGE = 600  # shorter side of those, in pixels
MISTAKEN = 0.015  # of clean images


def photographs(places: list[Path]) -> Iterator[Image.Image]:
    for place in places:
        if place.parent.suffix == ".zip":
            with open_zip(place.parent) as files:
                for member in sorted(files.members):
                    if member.startswith(f"{place.name}/"):
                        yield Image.open(io.BytesIO(files.read(member))).convert("RGB")
        else:
            files = open_folder(place)
            for member in sorted(files.members):
                yield Image.open(io.BytesIO(files.read(member))).convert("RGB")


def reduced(photo: Image.Image, rng: np.random.Generator, factor: float) -> Image.Image:
    size = round(photo.width * factor), round(photo.height * factor)
    return photo.resize(size, Image.Resampling[KERNELS[rng.integers(4)]])


def saved(image: Image.Image, format: str, quality: int, subsampling: int = 0) -> Image.Image:
    file = io.BytesIO()
    options = {"subsampling": subsampling} if format == "JPEG" else {}
    image.save(file, format, quality=quality, **options)
    return Image.open(file).convert("RGB")


def noisy(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    channels = int(rng.choice([1, 3]))
    deviation = np.exp(rng.uniform(np.log(3), np.log(40)))
    noise = rng.normal(0, deviation, (image.height, image.width, channels))
    return Image.fromarray(np.rint(np.asarray(image) + noise).clip(0, 255).astype(np.uint8))


def made(photo: Image.Image, kind: str, rng: np.random.Generator) -> np.ndarray:
    """An image of a kind of `SHOWN`, `OTHER` or `CLEAN`."""
    if kind in ("camera", "native"):  # a part of at most 640 pixels at the photograph's own scale
        width, height = (min(side, 640) for side in photo.size)
        left = rng.integers(photo.width - width + 1)
        top = rng.integers(photo.height - height + 1)
        image = photo.crop((left, top, left + width, top + height))
    else:
        side = min(photo.size)
        shorter = min(np.exp(rng.uniform(np.log(96), np.log(420))), side / 2)
        image = reduced(photo, rng, shorter / side)
    if kind == "blur" or (kind == "several" and rng.random() < 0.5):
        image = image.filter(ImageFilter.GaussianBlur(rng.uniform(0.7, 2)))
    if kind == "noise" or (kind == "several" and rng.random() < 0.5):
        image = noisy(image, rng)
    if kind in ("camera", "JPEG 92 to 98"):
        image = saved(image, "JPEG", int(rng.integers(92, 99)), int(rng.choice([0, 2])))
    elif kind.startswith(("JPEG", "WebP")):
        format, least, _, most = kind.split()
        quality = int(rng.integers(int(least), int(most) + 1))
        image = saved(image, format.upper(), quality, int(rng.choice([0, 2])))
        if rng.random() < 0.3:
            left, top = rng.integers(0, 8, 2)
            image = image.crop((left, top, *image.size))
    elif kind == "several":
        image = saved(image, str(rng.choice(["JPEG", "WEBP"])), int(rng.integers(30, 90)), 2)
    return np.asarray(image)


def kinds_of(photo: Image.Image) -> tuple[str, ...]:
    return CLEAN if min(photo.size) >= LARGE else CLEAN[:2]


def regression(design: np.ndarray, is_web: np.ndarray, weight: np.ndarray) -> np.ndarray:
    w = np.zeros(design.shape[1])
    for _ in range(50):
        p = 1 / (1 + np.exp(-design @ w))
        slope = design.T @ (weight * (p - is_web)) + 0.1 * w
        curvature = (design.T * (weight * p * (1 - p))) @ design + 0.1 * np.eye(len(w))
        w -= np.linalg.solve(curvature, slope)
    return w


def fit(places: list[Path], seed: int) -> None:
    """Logistic regression on statistics and their products; each kind of a class weighs the same.

    Compression that its table or levels show is left out. The bias is lowered until `MISTAKEN` of
    clean images are degraded by a fit to the other half of the photographs.
    """
    rng = np.random.default_rng(seed)
    statistics = []
    kinds = []
    odd = []
    for number, photo in enumerate(photographs(places)):
        for kind in (str(rng.choice(OTHER)), str(rng.choice(kinds_of(photo)))):
            statistics.append(traces(made(photo, kind, rng)).statistics)
            kinds.append(kind)
            odd.append(number % 2 == 1)
    x = np.array(statistics)
    is_web = np.isin(kinds, OTHER)
    names, which, counts = np.unique(kinds, return_inverse=True, return_counts=True)
    weight = len(x) / 2 / counts[which] / np.where(is_web, len(OTHER), len(names) - len(OTHER))
    mean = x.mean(0)
    deviation = x.std(0)
    z = ((x - mean) / deviation).clip(-3, 3)
    count = x.shape[1]
    rows, columns = np.tril_indices(count)
    design = np.column_stack([np.ones(len(z)), z, z[:, rows] * z[:, columns]])
    odds = np.zeros(len(z))
    for half in (np.array(odd), ~np.array(odd)):
        odds[~half] = design[~half] @ regression(design[half], is_web[half], weight[half])
    w = regression(design, is_web, weight)
    w[0] -= np.quantile(odds[~is_web], 1 - MISTAKEN)
    numbers = {
        "mean": mean,
        "deviation": deviation,
        "bias": w[0],
        "weights": w[1 : count + 1],
        "products": w[count + 1 :],
    }
    rounded = {name: np.round(values, 4).tolist() for name, values in numbers.items()}
    lines = [f" {json.dumps(name)}: {json.dumps(values)}" for name, values in rounded.items()]
    (ASSETS / "choice.json").write_text("{\n" + ",\n".join(lines) + "\n}\n", "utf-8")
    print(f"{len(x)} images")


def check(places: list[Path], seed: int, sheet: Path | None) -> None:
    rng = np.random.default_rng(seed)
    chosen = defaultdict(list)
    for number, photo in enumerate(photographs(places)):
        for kind in (*SHOWN, *OTHER, *kinds_of(photo)):
            image = made(photo, kind, rng)
            is_web = is_degraded(traces(image))
            chosen[kind].append(is_web)
            if sheet is not None and is_web == (kind in CLEAN):
                sheet.mkdir(exist_ok=True)
                part = Image.fromarray(image[:200, :300])
                part = part.resize((3 * part.width, 3 * part.height), Image.Resampling.NEAREST)
                part.save(sheet / f"{kind} {number}.png")
    for kind, found in chosen.items():
        print(f"{kind:14} {np.mean(found):7.1%} of {len(found)} go to the model of web images")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=("fit", "check"))
    parser.add_argument("places", nargs="+", type=Path)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--sheet", type=Path)
    given = parser.parse_args()
    if given.what == "fit":
        fit(given.places, given.seed)
    else:
        check(given.places, given.seed, given.sheet)


if __name__ == "__main__":
    main()
