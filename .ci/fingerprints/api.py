"""The Python API, in one program."""

from __future__ import annotations

import os
import shutil

from .restoring import RUNS
from .running import Part

API = """
import json
from pathlib import Path
import numpy as np
import torch
import caflow_cli as caflow
from caflow_cli.assets import example_path
from PIL import Image

def mark(value):
    import hashlib
    array = np.ascontiguousarray(np.asarray(value))
    return hashlib.sha256(array.tobytes()).hexdigest()[:20], list(array.shape), str(array.dtype)

found = {}
model = caflow.load("faces-superres-x4")
face = example_path("face")
result = caflow.restore(model, face, tau=0.8, candidates=4, keep=2, seed=3)
found["restore"] = [
    [c.seed, c.rank, c.score.log_likelihood, c.score.bits_per_dim, c.score.rank_score,
     c.score.score_domain, mark(c.image)] for c in result.ranked]
found["kept"] = len(result.kept)
found["notes"] = result.notes
found["saved"] = [p.name for p in result.save("saved.png")]
found["grid"] = mark(result.grid())
array = np.asarray(Image.open(face).convert("RGB"))
other = caflow.restore(model, array, candidates=2, rank="consensus", consistent=True)
found["consensus"] = [
    [c.seed, c.rank_value, c.consistency_max, mark(c.image)] for c in other.ranked]
score = caflow.score(model, face, example_path("face_64"))
found["score"] = [score.log_likelihood, score.bits_per_dim, score.score_domain]
target = torch.from_numpy(np.array(Image.open(example_path("face_64")).convert("RGB")))
target = target.permute(2, 0, 1)[None]
small = Image.open(face).convert("RGB")
cond = np.array(small.resize((64, 64), Image.Resampling.BICUBIC))
cond = torch.from_numpy(cond).permute(2, 0, 1)[None]
with torch.no_grad():
    latents, log_prob = model.encode(target, cond)
    back, backward = model.decode(latents, cond)
found["encode"] = [mark(z) for z in latents] + [log_prob.tolist(), mark(back), backward.tolist()]
found["log_prob"] = model.log_prob(target, cond, noise_samples=2).tolist()
found["sample"] = mark(model.sample(cond, 0.7, 2, 5))
model.save_pretrained("pretrained")
again = caflow.load("pretrained")
found["pretrained"] = [again.log_prob(target, cond).tolist(), again.config == model.config]
config = caflow.Config()
found["config"] = [config.flow.multiple, config.task.name]
fill = caflow.load("faces-inpaint")
filled = caflow.restore(fill, example_path("face_64"), candidates=2, mask=example_path("hole"))
found["fill"] = [[c.seed, c.score.log_likelihood, mark(c.image)] for c in filled.ranked]
colour = caflow.load("photos-colorize")
painted = caflow.restore(colour, example_path("room"), candidates=2)
found["colour"] = [[c.seed, c.score.log_likelihood, mark(c.image)] for c in painted.ranked]
photo = caflow.restore(caflow.load("photos-superres-x4"), example_path("cat"), candidates=1)
found["photo"] = [[c.seed, c.score.log_likelihood, mark(c.image)] for c in photo.ranked]
try:
    caflow.load("nonsense")
except caflow.CaflowError as error:
    found["error"] = error.exit_code
measured = caflow.evaluate(
    model, DATA + "/faces64.zip", ["rmse", "bpd"], limit=2, candidates=2, seed=1)
found["evaluate"] = [
    [r.what, {k: [v.mean, v.standard_error, v.count] for k, v in r.values.items()}]
    for r in measured.results]
from caflow_cli.config import FlowConfig, TaskConfig
flow = FlowConfig(scales=2, r_steps=1, t_steps=1, f_steps=1, hidden=8, f_hidden=8)
run = caflow.RunConfig(
    "images.zip", "run", caflow.OptimConfig(images=16, batch_size=8), flow, TaskConfig(size=16))
summary = caflow.train(run)
found["train"] = [summary.steps, summary.images, summary.val_bits_per_dim]
print(json.dumps(found))
"""


def api(p: Part) -> None:
    shutil.copy(RUNS / "images.zip", p.folder)
    p.python("api", f"DATA = {os.environ['CAFLOW_TEST_DATA']!r}\n{API}")
