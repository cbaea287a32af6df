#!/usr/bin/env python3
"""Whether an enlarged face is still the same person, by a network that recognizes faces.

    npm install --prefix FACE_API @vladmandic/face-api@1.7.15 @tensorflow/tfjs@4
    python tests/benchmarks/identity.py check FACE_API faces128.zip
    python tests/benchmarks/identity.py measure FACE_API faces128.zip [--images 50] [--draws 2]

The network is FaceRecognitionNet of `@vladmandic/face-api` (MIT), a ResNet that maps a face to 128
numbers; its weights are read from the package. `check` compares them with those of its JavaScript
for five faces. `measure` prints the mean cosine of truth and draw, of two draws, and of two true
faces, for inputs of 16, 24 and 32 pixels, aligned as in FFHQ, and shifted by up to 8 % of the
side in both directions, with mirrored edges. The temperatures of the model of photographs are
multiplied until its draws differ as much as those of the model of faces.
"""

from __future__ import annotations

import argparse
import io
import json
import subprocess
from itertools import combinations
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

import caflow_cli as caflow
from caflow_cli.data.files import open_zip
from caflow_cli.restoration import spread

FACES, PHOTOS = MODELS = ("faces-superres-x4", "photos-superres-x4")
SIDE = 150  # of the network's input
MEAN = torch.tensor([122.782, 117.001, 104.298]).view(3, 1, 1)
# What the package would cut out around the eyes and the mouth of a face framed as in FFHQ: left,
# top and side, relative to the image's side.
BOX = (0.19, 0.30, 0.62)
SHIFT = 0.08
SCRIPT = """
const [, root, faces] = process.argv;
const Module = require('module');
const find = Module._resolveFilename;
Module._resolveFilename = (name, ...rest) =>
  find(name === '@tensorflow/tfjs-node' ? '@tensorflow/tfjs' : name, ...rest);
const api = Module.createRequire(root + '/')('@vladmandic/face-api');
(async () => {
  await api.tf.setBackend('cpu');
  const net = api.nets.faceRecognitionNet;
  await net.loadFromDisk(root + '/node_modules/@vladmandic/face-api/model');
  const found = [];
  for (const face of JSON.parse(require('fs').readFileSync(faces)))
    found.push(Array.from(await net.computeFaceDescriptor(api.tf.tensor3d(face))));
  console.log(JSON.stringify(found));
})();
"""


class Recognition:
    """The network, with its weights by name."""

    def __init__(self, package: Path) -> None:
        folder = package / "node_modules" / "@vladmandic" / "face-api" / "model"
        manifest = folder / "face_recognition_model-weights_manifest.json"
        (group,) = json.loads(manifest.read_text("utf-8"))
        data = b"".join((folder / path).read_bytes() for path in group["paths"])
        self.weights = {}
        begin = 0
        for entry in group["weights"]:
            kind = np.dtype(entry.get("quantization", entry)["dtype"])
            size = int(np.prod(entry["shape"]))
            values = np.frombuffer(data, kind, size, begin).astype(np.float64)
            begin += kind.itemsize * size
            if scale := entry.get("quantization"):
                values = values * scale["scale"] + scale["min"]
            weight = torch.tensor(values.reshape(entry["shape"]), dtype=torch.float32)
            self.weights[entry["name"]] = weight

    def descriptor(self, face: np.ndarray) -> Tensor:
        """128 numbers for a square image, uint8 (H, W, 3)."""
        x = (enlarged(face) - MEAN) / 255
        x = self.convolution(x[None], "conv32_down", 2, 0).relu()
        x = F.max_pool2d(x, 3, 2)
        for name in ("32_1", "32_2", "32_3", "64_down", "64_1", "64_2", "64_3", "128_down"):
            x = self.block(x, name)
        for name in ("128_1", "128_2", "256_down", "256_1", "256_2", "256_down_out"):
            x = self.block(x, name)
        return x.mean((2, 3))[0] @ self.weights["fc"]

    def block(self, x: Tensor, name: str) -> Tensor:
        is_down = "down" in name
        stride, padding = (2, 0) if is_down else (1, 1)
        y = self.convolution(x, f"conv{name}/conv1", stride, padding).relu()
        y = self.convolution(y, f"conv{name}/conv2", 1, 1)
        if is_down:
            x = F.avg_pool2d(x, 2)
            lacking = x.shape[2] - y.shape[2]
            y = F.pad(y, (0, lacking, 0, lacking))
            x = F.pad(x, (0, 0, 0, 0, 0, y.shape[1] - x.shape[1]))
        return (x + y).relu()

    def convolution(self, x: Tensor, name: str, stride: int, padding: int) -> Tensor:
        kernel = self.weights[f"{name}/conv/filters"].permute(3, 2, 0, 1)
        x = F.conv2d(x, kernel, self.weights[f"{name}/conv/bias"], stride, padding)
        scale, bias = (self.weights[f"{name}/scale/{part}"] for part in ("weights", "biases"))
        return x * scale[:, None, None] + bias[:, None, None]


def enlarged(face: np.ndarray) -> Tensor:
    """Bilinear, as TensorFlow.js resizes by default: the first pixel stays in place."""
    x = torch.tensor(face, dtype=torch.float32).permute(2, 0, 1)
    for axis in (1, 2):
        side = x.shape[axis]
        at = torch.arange(SIDE) * (side / SIDE)
        low = at.floor().long()
        share = (at - low).view(-1, 1) if axis == 1 else at - low
        high = (low + 1).clamp(max=side - 1)
        x = torch.lerp(x.index_select(axis, low), x.index_select(axis, high), share)
    return x


def cut(face: np.ndarray, shift: tuple[float, float]) -> np.ndarray:
    side = face.shape[0]
    left, top, width = (round(side * part) for part in BOX)
    left += round(side * shift[0])
    top += round(side * shift[1])
    padded = np.pad(face, ((side, side), (side, side), (0, 0)), "reflect")
    return padded[side + top :, side + left :][:width, :width]


def faces_of(data: Path, count: int) -> list[Image.Image]:
    with open_zip(data) as files:
        names = sorted(name for name in files.members if name.startswith("test/ffhq"))
        return [Image.open(io.BytesIO(files.read(name))).convert("RGB") for name in names[:count]]


def shifted(face: Image.Image, shift: tuple[float, float]) -> Image.Image:
    side = face.width
    padded = np.pad(np.asarray(face), ((side, side), (side, side), (0, 0)), "reflect")
    left, top = (side - round(side * part) for part in shift)
    return Image.fromarray(padded[top : top + side, left : left + side])


def cosine(a: Tensor, b: Tensor) -> float:
    return float(F.cosine_similarity(a, b, 0))


def check(package: Path, data: Path) -> None:
    faces = [cut(np.asarray(face), (0, 0)) for face in faces_of(data, 5)]
    file = package / "faces.json"
    file.write_text(json.dumps([face.tolist() for face in faces]), "utf-8")
    command = ["node", "-e", SCRIPT, "--", str(package.resolve()), str(file.resolve())]
    done = subprocess.run(command, capture_output=True, check=True)
    theirs = torch.tensor(json.loads(done.stdout.splitlines()[-1]))
    net = Recognition(package)
    ours = torch.stack([net.descriptor(face) for face in faces])
    print(f"largest difference: {(ours - theirs).abs().max():.2g} of {theirs.abs().max():.2g}")


def draws_of(
    model: caflow.CAFlow, small: Image.Image, factor: float, count: int
) -> tuple[list[np.ndarray], float]:
    """Draws at the default temperature times a factor, and their standard deviation in levels."""
    tau = tuple(factor * value for value in np.atleast_1d(model.config.task.tau))
    result = caflow.restore(model, small, tau, count, count)
    deviation = np.sqrt(np.square(spread(result.ranked)).mean())
    return [candidate.image for candidate in result.ranked], float(deviation)


def equal_factor(model: caflow.CAFlow, smalls: list[Image.Image], wanted: float) -> float:
    """The factor of the temperature at which draws differ by so many levels, by bisection."""
    low, high = 0.0, 2.0
    for _ in range(6):
        factor = (low + high) / 2
        found = np.mean([draws_of(model, small, factor, 2)[1] for small in smalls])
        low, high = (factor, high) if found < wanted else (low, factor)
    return (low + high) / 2


def measure(package: Path, data: Path, images: int, count: int) -> None:
    net = Recognition(package)
    models = {name: caflow.load(name) for name in MODELS}
    faces = faces_of(data, images)
    rng = np.random.default_rng(0)
    shifts = [tuple(pair) for pair in rng.uniform(-SHIFT, SHIFT, (images, 2))]
    for side in (16, 24, 32):
        for framing, moves in (("aligned", [(0.0, 0.0)] * images), ("shifted", shifts)):
            truths = []
            for face, move in zip(faces, moves, strict=True):
                size = 4 * side, 4 * side
                truths.append(shifted(face, move).resize(size, Image.Resampling.BICUBIC))
            smalls = [truth.resize((side, side), Image.Resampling.BICUBIC) for truth in truths]
            known = []
            for truth, move in zip(truths, moves, strict=True):
                known.append(net.descriptor(cut(np.asarray(truth), move)))
            others = [cosine(a, b) for a, b in combinations(known, 2)]
            print(f"{side} pixels, {framing}: two persons {np.mean(others):.3f}")
            wanted = np.mean([draws_of(models[FACES], small, 1, 2)[1] for small in smalls[:12]])
            factors = {FACES: 1.0, PHOTOS: equal_factor(models[PHOTOS], smalls[:12], float(wanted))}
            for name in ("bicubic", *MODELS):
                to_truth, between, deviations = [], [], []
                for small, truth, own, move in zip(smalls, truths, known, moves, strict=True):
                    drawn = [np.asarray(small.resize(truth.size, Image.Resampling.BICUBIC))]
                    if name != "bicubic":
                        drawn, deviation = draws_of(models[name], small, factors[name], count)
                        deviations.append(deviation)
                    found = [net.descriptor(cut(image, move)) for image in drawn]
                    to_truth += [cosine(own, one) for one in found]
                    between += [cosine(a, b) for a, b in combinations(found, 2)]
                line = f"  {name:20} truth and draw {np.mean(to_truth):.3f}"
                if between:
                    line += f", two draws {np.mean(between):.3f}"
                    line += f", {np.mean(deviations):.1f} levels at {factors[name]:.2f} of τ"
                print(line, flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=("check", "measure"))
    parser.add_argument("package", type=Path)
    parser.add_argument("data", type=Path)
    parser.add_argument("--images", type=int, default=50)
    parser.add_argument("--draws", type=int, default=2)
    given = parser.parse_args()
    with torch.no_grad():
        if given.what == "check":
            check(given.package, given.data)
        else:
            measure(given.package, given.data, given.images, given.draws)


if __name__ == "__main__":
    main()
