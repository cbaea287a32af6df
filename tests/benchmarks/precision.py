"""Draws in bfloat16 beside draws in float32: time and quality, by one command:

    python tests/benchmarks/precision.py --data faces64.zip --pictures 200

Every true picture is restored twice by the same model, seeds and settings, once in each precision.
It prints the means of both, and the paired differences (bf16 - float32) with their standard errors;
how many values are apart, and by how many levels; and processor time of drawing and of scoring.
"""

from __future__ import annotations

import argparse
import json
import time
from collections import defaultdict

import numpy as np
import torch

import caflow_cli as caflow
from caflow_cli.data.examples import open_split
from caflow_cli.evaluation import Weights
from caflow_cli.evaluation.examples import make_example
from caflow_cli.evaluation.metrics.pairs import pair_metrics
from caflow_cli.inference import task_of
from caflow_cli.inference.score import to_batch
from caflow_cli.model import CAFlow

PRECISIONS = ("float32", "bf16")


def synchronize() -> None:
    """Wait until the accelerator, if there is one, has finished its work."""
    if torch.accelerator.is_available():
        torch.accelerator.synchronize()


def seconds(model: CAFlow, cond: torch.Tensor, candidates: int, rounds: int) -> dict[str, float]:
    """Medians of processor time: to draw candidates in each precision, and to score them."""
    condition = model.encode_condition(cond)
    noise = zip(*(model.latent_noise(k, condition.size) for k in range(candidates)), strict=True)
    latents = [0.8 * torch.stack(z) for z in noise]
    found = defaultdict(list)
    for _ in range(rounds + 1):
        for precision in PRECISIONS:
            start = time.process_time()
            points, _ = model.decode(latents, condition, bf16=precision == "bf16")
            synchronize()
            found[precision].append(time.process_time() - start)
        start = time.process_time()
        model.log_prob(points.clamp(0, 255).to(torch.uint8), condition)
        synchronize()
        found["score"].append(time.process_time() - start)
    return {name: float(np.median(values[1:])) for name, values in found.items()}


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.partition(":")[0])
    options.add_argument("--data", required=True)
    options.add_argument("--model", default="faces-superres-x4")
    options.add_argument("--pictures", type=int, default=200)
    options.add_argument("--candidates", type=int, default=3, help="of each picture")
    options.add_argument("--metrics", default="lpips,rmse")
    options.add_argument("--device", default="cpu")
    options.add_argument("--rounds", type=int, default=5)
    given = options.parse_args()
    model = caflow.load(given.model).to(given.device)
    task, metrics = task_of(model), given.metrics.split(",")
    pairs = pair_metrics(metrics, Weights(), model.device)
    values = {precision: defaultdict(list) for precision in PRECISIONS}
    apart, same = [], 0
    paired = not task.derives_condition
    with open_split(
        given.data, None, model.config.task.size, role="pairs" if paired else "images"
    ) as reader:
        names = reader.names[: given.pictures]
        for index in range(len(names)):
            problem = make_example(task, reader, index)
            best, images = [], []
            for precision in PRECISIONS:
                result = caflow.restore(
                    model,
                    problem.input,
                    candidates=given.candidates,
                    mask=problem.mask,
                    precision=precision,
                )
                ranked = sorted(result.ranked, key=lambda candidate: candidate.k)
                best.append(result.ranked[0].k)
                images.append(np.stack([candidate.image for candidate in ranked]))
                truth = to_batch([problem.truth]).expand(len(ranked), -1, -1, -1)
                compared = pairs(to_batch(images[-1]), truth)
                for metric in metrics:
                    mean = np.mean([of_one[metric] for of_one in compared])
                    values[precision][metric].append(mean)
                nats = np.mean([candidate.score.rank_score for candidate in ranked])
                values[precision]["log_likelihood"].append(nats)
            apart.append(np.abs(images[0].astype(int) - images[1]).ravel())
            same += best[0] == best[1]
    levels = np.concatenate(apart)
    figures: dict[str, object] = {
        "pictures": len(names),
        "same_best": same,
        "values_apart": float((levels > 0).mean()),
        "levels_at_most": int(levels.max()),
        "seconds": seconds(
            model,
            to_batch([task.parts(problem.input, problem.mask)[0].condition(problem.input)]),
            10,
            given.rounds,
        ),
    }
    for metric in (*metrics, "log_likelihood"):
        plain, rough = (np.array(values[precision][metric]) for precision in PRECISIONS)
        figures[metric] = {
            "float32": float(plain.mean()),
            "bf16": float(rough.mean()),
            "difference": float((rough - plain).mean()),
            "standard_error": float((rough - plain).std(ddof=1) / len(plain) ** 0.5),
        }
    print(json.dumps(figures, indent=1))


if __name__ == "__main__":
    main()
