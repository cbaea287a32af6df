"""The parts that restore images, and score them."""

from __future__ import annotations

import tarfile
from pathlib import Path

import numpy as np
from PIL import Image, ImageCms

from .drawing import drawn, hole
from .running import Part

RUNS = Path(__file__).resolve().parents[2] / "tests" / "small_runs"


def superres(p: Part) -> None:
    faces = "--model faces-superres-x4"
    run = p.caflow
    run("face", f"superres example:face {faces} -m 6 -n 6 -o a/ --json")
    run("consensus", f"superres example:face {faces} -m 5 -n 2 --rank consensus -o b/ --json")
    run("none", f"superres example:face {faces} -m 3 -n 2 --rank none --seed 7 -o c/ --json")
    run("shape", f"superres example:face {faces} -m 2 --tau 1/0.8/0.6 -o d/ --json")
    run("hot", f"superres example:face {faces} -m 2 --tau 1.1 -o e/ --json")
    run("consistent", f"superres example:face {faces} -m 3 --consistent --tau 0.9 -o f/ --json")
    run("scale", f"superres example:face {faces} -m 2 --scale 2.5 -o g/ --json")
    run("sheets", f"superres example:face {faces} -m 4 --grid g.png --uncertainty u.png -o h/")
    run("bf16", f"superres example:face {faces} -m 2 --precision bf16 -o i/ --json")
    p.save("in/odd.png", drawn(1, 45, 31))
    p.save("in/sub/small.png", drawn(2, 20, 24))
    run("photos", "superres in/ -r -m 2 -n 2 --tau 0.7 -o j/ --json")
    run("again", "superres in/ -r -m 2 -n 2 -o j/ --json --skip-existing")
    run("dry", "superres in/ -r -m 2 -n 2 -o k/ --dry-run")
    run("default temperature", "superres in/odd.png -m 1 -o l/ --json")
    p.save("wide.png", drawn(3, 366, 360))
    run("tiles", "superres wide.png -m 1 -o m/ --json")
    with tarfile.open(RUNS / "superres.tar.xz") as archive:
        archive.extractall(p.folder)
    own = "--model superres --tau 0.5 -m 2 -n 2"
    run("tiles of a small model", f"superres wide.png {own} -o n/ --json")


def colorize(p: Part) -> None:
    run = p.caflow
    run("room", "colorize example:room --model bedrooms-colorize -m 4 -n 4 -o a/ --json")
    run("photos", "colorize example:cat_192 -m 2 -n 2 -o b/ --json")
    run("hot", "colorize example:room --model bedrooms-colorize -m 2 --tau 1 -o c/ --json")
    p.save("grey.png", drawn(4, 150, 97).convert("L"))
    run("grey", "colorize grey.png -m 3 --rank consensus -o d/ --json")
    p.save("large.png", drawn(5, 1500, 1100).convert("L"))
    run("large", "colorize large.png -m 1 -o e/ --json")
    run("sheets", "colorize grey.png -m 3 --grid g.png --uncertainty u.png -o f/ --json")


def inpaint(p: Part) -> None:
    run = p.caflow
    faces = "--model faces-inpaint --mask example:hole"
    run("face", f"inpaint example:face_64 {faces} -m 4 -n 4 -o a/ --json")
    run("hot", f"inpaint example:face_64 {faces} -m 2 --tau 1 -o b/ --json")
    p.save("photo.png", drawn(6, 300, 220))
    p.save("thin.png", hole(300, 220, (20, 30, 280, 34), (150, 10, 154, 200)))
    run("thin", "inpaint photo.png --mask thin.png -m 1 -o c/ --json")
    p.save("thick.png", hole(300, 220, (60, 40, 240, 190)))
    run("rim", "inpaint photo.png --mask thick.png -m 1 -o d/ --json")
    shrunk = "--mask thick.png --model faces-inpaint"
    run("shrunk", f"inpaint photo.png {shrunk} -m 2 -n 2 -o e/ --json")
    run("inverted", "inpaint photo.png --mask thick.png --mask-as-is -m 1 --tau 0 -o f/ --json")
    clear = drawn(7, 96, 80)
    clear.putalpha(Image.eval(hole(96, 80, (30, 30, 40, 44)), lambda value: 255 - value))
    p.save("clear.png", clear)
    run("from alpha", "inpaint clear.png -m 2 -o g/ --json")
    run("sheets", "inpaint clear.png -m 2 --grid g.png --uncertainty u.png -o h/ --json")


def sample(p: Part) -> None:
    maps = "--cond example:map --model maps-aerial"
    p.caflow("likelihood", f"sample {maps} --rank likelihood -m 3 -n 3 -o a/ --json")
    p.caflow("consensus", f"sample {maps} --rank consensus -m 4 -n 2 --tau 0.8 -o b/ --json")
    p.caflow("face", "sample --cond example:face --model faces-superres-x4 -m 2 -o c/ --json")
    p.save("map.png", drawn(8, 70, 50))
    p.caflow("odd", "sample --cond map.png --model maps-aerial --rank none -m 1 -o d/ --json")


def score(p: Part) -> None:
    faces = "--cond example:face --target example:face_64"
    run, pixels = p.caflow, drawn(9, 160, 120)
    run("face", f"score {faces} --model faces-superres-x4 --json")
    run("text", f"score {faces} --model faces-superres-x4")
    run("noise", f"score {faces} --model faces-superres-x4 --noise-samples 3 --json")
    run("photos", "score --cond example:cat --target example:cat_192 --json")
    colours = "--model photos-colorize --json"
    run("colour", f"score --cond example:cat_192 --target example:cat_192 {colours}")
    run("room", "score --cond example:room --target example:room_64 --model bedrooms-colorize")
    run(
        "hole",
        "score --cond example:face_64 --target example:face_64 --mask example:hole "
        "--model faces-inpaint --json",
    )
    p.save("a/x.png", drawn(10, 16, 16))
    p.save("a/y.png", drawn(11, 16, 16))
    p.save("b/x.png", drawn(10, 64, 64))
    p.save("b/y.png", drawn(11, 64, 64))
    run("folders", "score --cond a --target b --model faces-superres-x4 --json")
    p.save("whole.png", pixels)
    p.save("mask.png", hole(160, 120, (30, 30, 60, 70)))
    run("draw", "inpaint whole.png --mask mask.png -m 1 -o filled/ --json")
    run(
        "windows", "score --cond whole.png --mask mask.png --target filled/whole_inpaint.png --json"
    )
    p.save("large.png", drawn(12, 1600, 1400))
    p.save("small.png", drawn(12, 400, 350))
    run("tiles", "score --cond small.png --target large.png --json")


def files(p: Part) -> None:
    """Kinds of files: what is read, and what is written."""
    faces, base = "--model faces-superres-x4 -m 1 --tau 0.5 --json", drawn(20, 22, 18)
    alpha = base.copy()
    alpha.putalpha(Image.linear_gradient("L").resize(base.size))
    p.save("alpha.png", alpha)
    p.save("grey_alpha.png", alpha.convert("LA"))
    p.save("palette.png", base.quantize(16))
    clear = base.quantize(16)
    p.save("clear.png", clear, transparency=3)
    p.save("grey.png", base.convert("L"))
    p.save("bit.png", base.convert("1"))
    wide = np.asarray(base.convert("L")).astype(np.uint16) * 257 + 100
    p.save("deep.png", Image.fromarray(wide))
    p.save("deep.tif", Image.fromarray(wide))
    p.save("float.tif", Image.fromarray(np.asarray(base.convert("L")).astype(np.float32) / 255))
    p.save("cmyk.jpg", base.convert("CMYK"), quality=95)
    for name, space in (("profile.png", "sRGB"), ("other.png", "LAB")):
        profile = ImageCms.ImageCmsProfile(ImageCms.createProfile(space)).tobytes()
        undated = profile[:24] + bytes(12) + profile[36:]  # these bytes are the present time
        p.save(name, base, icc_profile=undated)
    turned = Image.Exif()
    turned[0x0112] = 6
    turned[0x010E] = "a description"
    p.save("turned.jpg", base, exif=turned, quality=95)
    p.save("turned.png", base, exif=turned)
    p.save("moving.gif", base, save_all=True, append_images=[drawn(21, 22, 18)])
    p.save("photo.webp", base, lossless=True)
    p.save("image.bmp", base)
    for path in sorted(p.folder.glob("*.*")):
        p.caflow(path.name, f"superres {path.name} {faces} -o out/{path.name}.png")
    for kind in ("png", "webp", "jpg", "tiff"):
        words = f"superres alpha.png {faces} --format {kind} --no-provenance -o {kind}/"
        p.caflow(f"to {kind}", words)
    p.caflow("quality", f"superres alpha.png {faces} --format jpg --quality 60 -o q/")
    p.caflow("lossy webp", f"superres alpha.png {faces} --format webp --quality 60 -o q/")
    p.caflow("provenance", f"superres deep.png {faces} --format webp -o q/")
    p.caflow("grey out", "colorize grey_alpha.png -m 1 --tau 0.5 -o c/ --json")
    p.save("hole.png", hole(22, 18, (5, 5, 9, 9)))
    p.caflow("16 bits", "inpaint deep.png --mask hole.png -m 1 -o i/ --json")


def streams(p: Part) -> None:
    faces = "--model faces-superres-x4 -m 2"
    p.save("a.png", drawn(30, 16, 16))
    p.save("b.png", drawn(31, 16, 16))
    data = (p.folder / "a.png").read_bytes()
    p.caflow("image to image", f"superres - {faces} -o -", stdin=data)
    p.caflow("to jpg", f"superres a.png {faces} -o - --format jpg --quality 80")
    p.caflow("to file", f"superres - {faces} -o out.png --json", stdin=data)
    p.caflow("paths", f"superres a.png b.png {faces} -n 2 -o out/")
    p.caflow("quiet", f"superres a.png {faces} -q -o quiet/")
    p.caflow("glob", ["superres", "*.png", *faces.split(), "-o", "glob/", "--json"])
    p.caflow("lines", f"superres a.png b.png {faces} -o lines/ --json")
    truths = [p.save(f"truth/{name}.png", drawn(30 + k, 64, 64)) for k, name in enumerate("ab")]
    assert truths
    p.caflow("compare", "evaluate lines truth --metric rmse,psnr --json")
    p.caflow("hole of stdin", "inpaint - -m 1 --tau 0.5 -o -", stdin=_clear(p))


def _clear(p: Part) -> bytes:
    image = drawn(32, 64, 64)
    image.putalpha(Image.eval(hole(64, 64, (10, 10, 20, 20)), lambda value: 255 - value))
    return p.save("clear.png", image).read_bytes()
