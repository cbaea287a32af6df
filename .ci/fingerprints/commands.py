"""The parts of errors, defaults, evaluation and models."""

from __future__ import annotations

import tarfile

from PIL import Image

from .drawing import drawn, hole
from .restoring import RUNS
from .running import Part


def errors(p: Part) -> None:
    """Wrong commands: their exit codes, what they leave, and that there is no traceback."""
    p.save("a.png", drawn(40, 16, 16))
    p.save("b.png", drawn(41, 16, 16))
    p.save("large.png", drawn(41, 50, 40))
    p.save("taken.png", drawn(42, 8, 8))
    p.save("white.png", Image.new("L", (64, 64), 255))
    p.save("mask.png", hole(30, 30, (3, 3, 9, 9)))
    (p.folder / "broken.png").write_bytes((p.folder / "a.png").read_bytes()[:90])
    (p.folder / "text.png").write_text("no image")
    (p.folder / "model.safetensors").write_bytes(b"\xff" * 500)
    (p.folder / "model.pt").write_bytes(b"\x80\x04K\x01.")
    (p.folder / "empty").mkdir()
    faces = "--model faces-superres-x4 -m 2"
    for words in (
        "superres",
        "superres missing.png",
        "superres empty",
        f"superres a.png {faces} --tau -1",
        f"superres a.png {faces} --tau nan",
        f"superres a.png {faces} --tau 1/2",
        f"superres a.png {faces} -n 3",
        f"superres a.png {faces} --rank nonsense",
        f"superres a.png {faces} --seed -1",
        f"superres a.png {faces} --precision float8",
        f"superres a.png {faces} --format gif",
        f"superres a.png {faces} --quality 0 --format jpg",
        f"superres a.png {faces} --scale 0",
        f"superres a.png {faces} -o taken.png",
        f"superres a.png b.png {faces} -o one.png",
        f"superres a.png {faces} -o out/ --overwrite --skip-existing",
        f"superres a.png {faces} --device nonsense -o out/",
        f"superres a.png {faces} --nonsense",
        f"superres broken.png a.png {faces} -o some/ --json",
        f"superres text.png {faces} -o none/ --json",
        "superres a.png --model nonsense -o out/",
        "superres a.png --model model.safetensors -o out/",
        "superres a.png --model model.pt -o out/",
        "superres a.png --model someone/something -o out/",
        "colorize a.png --model faces-superres-x4 -o out/",
        "inpaint a.png -o out/",
        "inpaint a.png --mask missing.png -o out/",
        "inpaint large.png --mask mask.png -m 1 -o out/ --json",
        "inpaint example:face_64 --mask white.png -m 1 -o out/ --json",
        "sample",
        "score --cond a.png",
        "score --cond a.png --target missing.png",
        "score --cond a.png --target b.png --model faces-superres-x4 --json",
        "score --cond a.png --target b.png --noise-samples 0",
        "evaluate",
        "evaluate missing other",
        "evaluate a.png b.png --metric nonsense",
        "evaluate --data missing --model faces-superres-x4",
        "evaluate --data {data}/faces64.zip --protocol nonsense",
        "evaluate --data {data}/faces64.zip --limit 0",
        "train",
        "train --data missing --out run --images 10",
        "train --data empty --out run --images 10",
        "train --data {data}/faces64.zip --out run",
        "train --data {data}/faces64.zip --out run --images 10 --set nonsense=1",
        "train --data {data}/faces64.zip --out run --images 10 --set optim.lr=abc",
        "train --data {data}/faces64.zip --out run --images 10 --preset nonsense",
        "train --out run --resume",
        "models info nonsense",
        "models verify missing.safetensors",
        "nonsense",
        "--nonsense",
    ):
        p.caflow(words, words)


def defaults(p: Part) -> None:
    """Options from a file and from the environment; typed ones go before both."""
    config = p.folder / "config.toml"
    env = {"CAFLOW_CONFIG": str(config)}
    word = "superres example:face --json"
    both = {"CAFLOW_MODEL_SUPERRES": "faces-superres-x4"}  # once, and now:
    both["CAFLOW_SUPERRES_MODEL"] = both["CAFLOW_MODEL_SUPERRES"]
    p.caflow("model of the environment", f"{word} -m 1 -o a/", env=both)
    p.caflow("device of the environment", f"{word} -m 1 -o b/", env={"CAFLOW_DEVICE": "nonsense"})
    config.write_text('device = "cpu"\n[superres]\ntau = "0.7"\ncandidates = 2\nkeep = 2\n')
    p.caflow("file", f"{word} -o c/", env={**env, **both})
    p.caflow("typed", f"{word} -m 3 --tau 0.6 -n 1 -o d/", env={**env, **both})
    p.caflow("other command", "colorize example:room -m 1 -o e/ --json", env=env)
    config.write_text("[superres]\nnonsense = 2\n")
    p.caflow("unknown key", f"{word} -o f/", env=env)
    config.write_text("[superres]\ncandidates = 'many'\n")
    p.caflow("wrong value", f"{word} -o f/", env=env)
    config.write_text("[superres\n")
    p.caflow("no TOML", f"{word} -o f/", env=env)
    p.caflow("version", "--version", env=env)
    p.caflow("model of the target", f"{word} -m 1 -o g/ --model faces-superres-x4")
    p.caflow("score", "score --cond example:face --target g/face_superres.png --json")


def evaluate(p: Part) -> None:
    """Each protocol on ten images, sweeps, folders. Metrics may move by 1e-4 of their value."""
    faces, rooms = "--data {data}/faces64.zip", "--data {data}/bedrooms64.zip"
    run = p.caflow
    run("table1", f"evaluate {faces} --protocol table1 --limit 10 -m 4 --json")
    run("table2", f"evaluate {rooms} --protocol table2 --limit 6 -m 3 -n 1,2 --metric rmse --json")
    run("table3", f"evaluate {faces} --protocol table3 --limit 6 -m 3 --json")
    metrics = "rmse,psnr,ssim,diversity,bpd,consistency,calibration,likelihood"
    model = "--model faces-superres-x4"
    run("sweep", f"evaluate {faces} {model} --limit 4 --tau 0,0.5,1 -m 3 --metric {metrics} --json")
    run("ranks", f"evaluate {faces} {model} --limit 4 -m 4 --rank likelihood,consensus --json")
    run("hole", f"evaluate {faces} --model faces-inpaint --limit 3 -m 2 --metric rmse,bpd --json")
    distances = "--metric fid,kid,coverage --feature-extractor alexnet"
    run("sets", f"evaluate {faces} {model} --limit 6 -m 2 {distances} --json")
    run("text", f"evaluate {faces} {model} --limit 2 -m 2 --metric rmse,lpips")
    for k in range(4):
        p.save(f"photos/{k}.png", drawn(50 + k, 96, 72))
    p.save("masks/m.png", hole(80, 60, (10, 5, 14, 50), (30, 20, 70, 22)))
    p.save("masks/n.png", hole(80, 60, (5, 50, 60, 53)))
    sr = "lpips,rmse,psnr,psnr_y,ssim_y"
    run("sr4", f"evaluate --data photos --protocol sr4 -m 2 --metric {sr} --json")
    damage = "--protocol repair --masks masks --metric lpips,psnr_hole"
    run("repair", f"evaluate --data photos {damage} -m 1 --limit 2 --json")
    colors = "lpips,rmse,colorfulness"
    run("colour", f"evaluate --data photos --protocol color -m 2 --metric {colors} --json")
    for k in range(4):
        p.save(f"others/{k}.png", drawn(60 + k, 96, 72))
    run("folders", "evaluate others photos --metric rmse,psnr,ssim,lpips,psnr_y,ssim_y --json")
    run("equal folders", "evaluate photos photos --metric rmse,psnr --json")
    run(
        "saved",
        f"evaluate {faces} {model} --limit 2 -m 2 -n 2 --metric rmse --save-images s/ --json",
    )


def models(p: Part) -> None:
    p.caflow("list", "models list --json")
    p.caflow("verify", "models verify --json")
    p.caflow("path", "models path faces-superres-x4")
    with tarfile.open(RUNS / "superres.tar.xz") as archive:
        archive.extractall(p.folder)
    p.caflow("pack", "models pack superres --id mine -o packed/ --license mit --json")
    p.caflow("help", "--help")
    p.caflow("version", "--version")
