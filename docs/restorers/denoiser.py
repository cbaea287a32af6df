"""Train a denoiser for Gaussian noise of σ 25, and make the pairs to train flows around it.

    python denoiser.py PHOTOS OUT [MINUTES]

PHOTOS has train/ and val/, as folders of images. Writes OUT/denoiser.safetensors, in the
architecture Compact, and OUT/pairs: 64×64 crops, noisy in A/ and clean in B/. Noisy values are
rounded and clipped to 8 bits, as a file has them.
"""

import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from safetensors.torch import save_file

from caflow_cli.guides import Compact

SIDE = 64
SIGMA = 25.0
BATCH = 16
PAIRS = {"train": 8000, "val": 200, "test": 200}


def crops(folder: Path, rng: np.random.Generator) -> Iterator[np.ndarray]:
    """Random crops of random images in eight orientations, uint8 (64, 64, 3), without end."""
    images = [np.asarray(Image.open(path).convert("RGB")) for path in sorted(folder.iterdir())]
    while True:
        image = images[rng.integers(len(images))]
        top, left = (int(rng.integers(0, side - SIDE + 1)) for side in image.shape[:2])
        crop = np.rot90(image[top : top + SIDE, left : left + SIDE], rng.integers(4))
        yield crop[:, ::-1] if rng.integers(2) else crop


def noisy(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return np.rint(image + rng.normal(0, SIGMA, image.shape)).clip(0, 255).astype(np.uint8)


def as_batch(images: list[np.ndarray]) -> torch.Tensor:
    return torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2).float() / 255


def main() -> None:
    photos, out = map(Path, sys.argv[1:3])
    seconds = 60 * float(sys.argv[3] if len(sys.argv) > 3 else 10)
    rng = np.random.default_rng(0)
    torch.manual_seed(0)
    network = Compact(3, 48, 8, 1)
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-3)
    clean = crops(photos / "train", rng)
    began = time.process_time()
    while (spent := (time.process_time() - began) / seconds) < 1:
        optimizer.param_groups[0]["lr"] = 1e-3 * (1 - spent)
        targets = [next(clean) for _ in range(BATCH)]
        inputs = [noisy(target, rng) for target in targets]
        with torch.autocast("cpu", torch.bfloat16):
            restored = network(as_batch(inputs))
        loss = (restored.float() - as_batch(targets)).abs().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    out.mkdir(parents=True, exist_ok=True)
    save_file(network.state_dict(), out / "denoiser.safetensors")
    for split, count in PAIRS.items():
        clean = crops(photos / ("train" if split == "train" else "val"), rng)
        for side in "AB":
            (out / "pairs" / split / side).mkdir(parents=True, exist_ok=True)
        for k in range(count):
            target = next(clean)
            for side, image in (("A", noisy(target, rng)), ("B", target)):
                Image.fromarray(image).save(out / "pairs" / split / side / f"{k:05d}.png")
    print(f"mean absolute error in the last batch: {255 * loss.item():.2f} levels")


if __name__ == "__main__":
    main()
