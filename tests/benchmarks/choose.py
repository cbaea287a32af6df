"""Fit, and check, the rule by which `superres` chooses between two models by an image's pixels.

    python tests/benchmarks/choose.py label PHOTOS CASES.jsonl [--count 500] [--seed 1]
    python tests/benchmarks/choose.py fit CASES.jsonl CLEAN [CLEAN ...]
    python tests/benchmarks/choose.py check CASES.jsonl CLEAN [CLEAN ...]

PHOTOS is a folder of photographs. `label` reduces each four times, degrades it (JPEG and WebP 30 to
95, noise 0 to 8, blur 0 to 2), and measures the LPIPS of both models on its center. CLEAN are
folders of images that the model of photographs should enlarge. `fit` prints the rule's numbers for
`caflow_cli/hub/choice.py`; `check` states how good the rule is on other cases.
"""

import argparse
import io
import json
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageFilter

import caflow_cli as caflow
from caflow_cli.evaluation import Weights
from caflow_cli.evaluation.metrics.pairs import load_lpips
from caflow_cli.hub.choice import log_odds
from caflow_cli.images.artifacts import artifacts

MODELS = ("photos-superres-x4", "web-superres-x4")
KERNELS = ("BICUBIC", "BOX", "BILINEAR", "LANCZOS")
SIDE = 56  # of the center that is enlarged


def compressed(image: np.ndarray, format: str, quality: int, corner: np.ndarray) -> np.ndarray:
    """Through a file whose 8×8 grid begins at a corner outside of the image."""
    top, left = corner
    padded = np.pad(image, ((top, 0), (left, 0), (0, 0)), "edge")
    stream = io.BytesIO()
    Image.fromarray(padded).save(stream, format, quality=quality)
    return np.asarray(Image.open(stream).convert("RGB"))[top:, left:]


def degraded(photo: Image.Image, rng: np.random.Generator) -> tuple[np.ndarray, dict[str, float]]:
    """A quarter of a photograph, degraded in one way, in several or not at all; and how."""
    kind = rng.choice(["clean", "jpeg", "webp", "noise", "blur", "several"])
    what: dict[str, float] = {}
    if kind == "blur" or (kind == "several" and rng.random() < 0.7):
        what["blur"] = rng.uniform(0, 2)
        photo = photo.filter(ImageFilter.GaussianBlur(4 * what["blur"]))
    size = photo.width // 4, photo.height // 4
    image = np.asarray(photo.resize(size, Image.Resampling[rng.choice(KERNELS)]))
    if kind == "noise" or (kind == "several" and rng.random() < 0.7):
        what["noise"] = rng.uniform(0, 8)
        noise = rng.normal(0, what["noise"], image.shape)
        image = np.rint(image + noise).clip(0, 255).astype(np.uint8)
    for format in ("jpeg", "webp"):
        if kind == format or (kind == "several" and rng.random() < 0.5):
            what[format] = int(rng.integers(30, 96))
            image = compressed(image, format, int(what[format]), rng.integers(0, 8, 2))
    return image, what


def as_batch(image: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(image).movedim(2, 0)[None]


def label(photos: Path, out: Path, count: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    files = sorted(photos.iterdir())
    models = [caflow.load(name) for name in MODELS]
    lpips = load_lpips(Weights())
    with out.open("w") as file:
        for case in range(count):
            photo = Image.open(files[case % len(files)]).convert("RGB")
            photo = photo.crop((0, 0, photo.width // 4 * 4, photo.height // 4 * 4))
            image, what = degraded(photo, rng)
            height, width = (min(SIDE, side) for side in image.shape[:2])
            top, left = (image.shape[0] - height) // 2, (image.shape[1] - width) // 2
            box = (4 * left, 4 * top, 4 * (left + width), 4 * (top + height))
            pair = [np.asarray(photo.crop(box))]
            values = []
            for model in models:
                small = image[top : top + height, left : left + width]
                pair[1:] = [caflow.restore(model, small, candidates=1).ranked[0].image]
                values.append(
                    float(lpips(*(torch.from_numpy(x).movedim(2, 0)[None] for x in pair)))
                )
            row = {"what": what, "statistics": artifacts(image).tolist(), "lpips": values}
            print(json.dumps(row), file=file, flush=True)


def read(cases: Path, clean: list[Path]) -> tuple[np.ndarray, np.ndarray, list[np.ndarray]]:
    """Statistics and LPIPS of the cases, and the statistics of each folder of clean images."""
    rows = [json.loads(line) for line in cases.open()]
    folders = []
    for folder in clean:
        images = (np.asarray(Image.open(path).convert("RGB")) for path in sorted(folder.iterdir()))
        folders.append(np.array([artifacts(image) for image in images]))
    return (
        np.array([row["statistics"] for row in rows]),
        np.array([row["lpips"] for row in rows]),
        folders,
    )


def fit(statistics: np.ndarray, lpips: np.ndarray, folders: list[np.ndarray]) -> None:
    """Logistic regression on statistics and their products, weighted by what is at stake."""
    gain = np.log(lpips[:, 0] / lpips[:, 1])  # positive where the second model is better
    x = np.concatenate([statistics, *folders])
    better = np.concatenate([gain > 0, np.zeros(sum(map(len, folders)), bool)])
    stake = [np.minimum(np.abs(gain), 0.3) + 0.01]
    stake += [np.full(len(folder), 0.07 * len(gain) / len(folder)) for folder in folders]
    weight = np.concatenate(stake)
    mean, deviation = x.mean(0), x.std(0)
    z = ((x - mean) / deviation).clip(-3, 3)
    count = x.shape[1]
    rows, columns = np.tril_indices(count)
    design = np.column_stack([np.ones(len(z)), z, z[:, rows] * z[:, columns]])
    w = np.zeros(design.shape[1])
    for _ in range(50):
        p = 1 / (1 + np.exp(-design @ w))
        slope = design.T @ (weight * (p - better)) + 0.1 * w
        curvature = (design.T * (weight * p * (1 - p))) @ design + 0.1 * np.eye(len(w))
        w -= np.linalg.solve(curvature, slope)
    print(f"_BIAS = {w[0]:.3f}\n_ODDS = (")
    for row in np.transpose([mean, deviation, w[1 : count + 1]]):
        print("    ({}),".format(", ".join(f"{value:.3f}" for value in row)))
    products = np.zeros((count, count))
    products[rows, columns] = w[count + 1 :]
    print(")\n_PRODUCTS = (")
    for row in products:
        print("    ({}),".format(", ".join(f"{value:.3f}" for value in row)))
    print(")")


def check(statistics: np.ndarray, lpips: np.ndarray, folders: list[np.ndarray]) -> None:
    chosen = np.array([log_odds(values) > 0 for values in statistics])
    best = lpips.min(1)
    differ = np.abs(np.log(lpips[:, 0] / lpips[:, 1])) > 0.05
    right = (chosen == (lpips[:, 1] < lpips[:, 0]))[differ].mean()
    loss = lpips[np.arange(len(lpips)), chosen.astype(int)].mean() / best.mean() - 1
    print(f"{len(lpips)} cases: LPIPS {loss:+.2%} against the better model; where the two differ")
    print(f"by more than 5 % ({differ.sum()} cases), the better one is chosen in {right:.1%}")
    for folder in folders:
        share = np.mean([log_odds(values) > 0 for values in folder])
        print(f"{len(folder)} clean images: {share:.1%} for {MODELS[1]}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=("label", "fit", "check"))
    parser.add_argument("paths", nargs="+", type=Path)
    parser.add_argument("--count", type=int, default=500)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    first, *others = given.paths
    if given.what == "label":
        label(first, *others, given.count, given.seed)
    else:
        {"fit": fit, "check": check}[given.what](*read(first, others))


if __name__ == "__main__":
    main()
