from __future__ import annotations

import json

import numpy as np
import pytest

from caflow_cli.data import open_split
from caflow_cli.evaluation import evaluate
from caflow_cli.images import read_image


def test_saved_pictures_are_what_was_measured(models_32, true_pictures, tmp_path):
    out = tmp_path / "out"
    evaluate(models_32["superres"], true_pictures, "rmse", keep=2, candidates=3, save_images=out)
    names = [
        f"{stem}_0{rank}.png" for stem in ("p0", "p1", "p2", "p3", "sub/p4") for rank in (1, 2)
    ]
    assert sorted(str(p.relative_to(out)) for p in out.rglob("*") if p.is_file()) == sorted(
        ["evaluate.jsonl", *names]
    )
    rows = [json.loads(line) for line in (out / "evaluate.jsonl").read_text().splitlines()][1:]
    with open_split(true_pictures, "test", 32) as source:
        (truth,) = source.read(4)
    saved = read_image(out / "sub" / "p4_01.png")
    best = max(rows[4]["draws"][0]["candidates"], key=lambda c: c["log_likelihood"])
    assert np.sqrt(np.mean((saved.astype(float) - truth) ** 2)) == pytest.approx(best["rmse"])
