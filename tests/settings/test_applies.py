"""Which option applies to which input: `applies.json`, by command and option, as runs show it.

A cell has a letter for one input, or three: for one file, for a folder, and for standard input.

    u  used: the record, the outputs or an error about its value state it
    r  refused: an error names the option
    -  without effect, for the reason that `reasons` gives
    x  the command takes no such input, and says so

`python -m tests.settings.test_applies` writes the cells; look at the difference.
"""

from __future__ import annotations

import inspect
import json
import re
import shutil
import tempfile
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import helpers
import numpy as np
import tifffile
from PIL import Image
from small_fields import save_model

import caflow_cli as caflow
from caflow_cli.checkpoint import Calibration
from caflow_cli.errors import CaflowError
from caflow_cli.evaluation import Weights
from caflow_cli.evaluation.settings import EvaluateOptions
from caflow_cli.hub.publish import store_calibration
from caflow_cli.hub.resolve import resolve
from caflow_cli.restoration.restore import RestoreOptions

from ..cli.inprocess import Result, captured

FILE = Path(__file__).with_name("applies.json")
OPTIONS = Path(__file__).with_name("options.json")
FORMS = ("file", "folder", "stdin")
KINDS = ("image", "field")
SUFFIX = {"image": "png", "field": "tif"}
MASKS = ("--mask", "--grow", "--snap", "--invert-mask", "--mask-as-is")
Cells = dict[str, dict[str, dict[str, str]]]  # letters by command, option and kind


# --- inputs ---------------------------------------------------------------------------------------


def photo(path: Path, side: tuple[int, int] = (6, 5), seed: int = 0) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    values = np.random.default_rng(seed).integers(0, 255, (*side[::-1], 3), dtype=np.uint8)
    exif = Image.Exif()
    exif[315] = "Somebody"
    exif.get_ifd(0x8825).update({1: "N", 2: (52.0, 0.0, 0.0)})  # its place
    Image.fromarray(values).save(path, exif=exif)


def field(path: Path, side: tuple[int, int] = (6, 5), seed: int = 0) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    values = np.random.default_rng(seed).uniform(1, 9, side[::-1]).astype(np.float32)
    values[0, 0] = np.nan if side == (6, 5) else 1
    tifffile.imwrite(path, values, description='{"unit": "mm/h"}')


def prepare(root: Path) -> None:
    """Images and fields, sets of both, masks, and a small model of each task."""
    for kind, save, size, sets in (("image", photo, (6, 5), 9), ("field", field, (24, 20), 4)):
        suffix = SUFFIX[kind]
        save(root / f"{kind}.{suffix}")
        save(root / f"{kind}_target.{suffix}", size)
        for name in ("a", "sub/b"):
            save(root / f"{kind}s/{name}.{suffix}")
            save(root / f"{kind}_targets/{name}_superres.{suffix}", size)
        for k in range(sets):
            save(root / f"{kind}set/day{k}/{k}.{suffix}", (16, 16), k)
    spot = np.zeros((5, 6), np.uint8)
    spot[2, 3] = 255
    Image.fromarray(spot).save(root / "spot.png")
    Image.fromarray(255 - spot).save(root / "most.png")
    Image.fromarray(np.dstack([spot] * 4)).save(root / "hints.png")
    four = np.full((5, 6, 4), 90, np.uint8)
    tifffile.imwrite(root / "four.tif", four, photometric="rgb", extrasamples=(0,))
    for task in ("superres", "colorize", "inpaint"):
        config = helpers.task_config(task, 16, conditional="dual-glow", scales=1, t_steps=1)
        helpers.data_like_model(config, 2, size=16).save(
            root / f"{task}.safetensors", {"images": 0}
        )
    calibration = Calibration(
        *((0.8,), 3, False, "float32"), level=0.9, lambd=1.5, images=120, width=20.5, data="photos"
    )
    start = resolve(str(root / "superres.safetensors"))
    store_calibration(calibration, start, root / "calibrated.safetensors")
    save_model(root / "rain.safetensors")


# --- what is typed, and what shows that it is used ------------------------------------------------


@dataclass
class Seen:
    """What a run left."""

    done: Result
    folder: Path

    @property
    def said(self) -> str:
        return self.done.stderr.decode()

    @property
    def ok(self) -> bool:
        return self.done.returncode == 0

    @property
    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.done.stdout.splitlines()]

    @property
    def record(self) -> dict[str, Any]:
        return self.lines[-1]

    @property
    def outputs(self) -> list[Path]:
        return [self.folder / each["path"] for each in self.record["outputs"]]

    def stored(self, text: bytes) -> bool:
        """Whether an output holds a text."""
        return any(text in path.read_bytes() for path in self.outputs)


Check = Callable[[Seen], object]
Probe = tuple[Iterable[object], Mapping[str, Check]]  # what is typed; what shows each option's use


def param(name: str, value: object) -> Check:
    return lambda seen: seen.record["params"][name] == value


def states(key: str, value: object = ...) -> Check:
    return lambda seen: key in seen.record and value in (..., seen.record[key])


def said(text: str) -> Check:
    return lambda seen: text in seen.said


def wrote(name: str) -> Check:
    return lambda seen: (seen.folder / name).exists()


NO_VARIABLE: dict[str, Check] = {"--variable": said("no variable 'none'")}


def letter(option: str, check: Check, seen: Seen) -> str:
    try:
        used = check(seen)
    except (LookupError, ValueError, OSError):
        used = False
    if used or seen.ok:
        return "u" if used else "-"
    return "r" if option in seen.said else "x"


def unlike(*names: str) -> dict[str, Check]:
    """Options whose use nothing shows: they are refused."""
    return dict.fromkeys(names, lambda seen: False)


def told_twice(seen: Seen) -> bool:
    """Whether there is a note on both inputs."""
    lines = [line.partition(": ") for line in seen.said.splitlines()]
    return any("b" in a[0] and a[2] == b[2] for a in lines for b in lines if a[0] != b[0])


def filled(pixels: int) -> Check:
    return lambda seen: sum(part["pixels"] for part in seen.record["parts"]) == pixels


def drawing(command: str, kind: str, form: str) -> Iterator[Probe]:
    """Of the commands that draw, `sample` with a model that fills holes."""
    of_field = kind == "field"
    task = "rain" if of_field else "inpaint" if command == "sample" else command
    spot = ["--mask", "spot.png"] if task == "inpaint" else []
    model: list[object] = ["--model", f"{task}.safetensors", "--json"]
    base = [*model, *spot, *(["--nodata", "nan"] if of_field else [])]
    format = "npy" if of_field else "webp"
    first = ["--tau", 0.7, "-m", 3, "-n", 2, "--seed", 5, "--rank", "none", "-o", "new/", "-r"]
    checks: dict[str, Check] = {
        "--tau": param("tau", [0.7]),
        "--candidates": param("candidates", 3),
        "--keep": param("keep", 2),
        "--seed": lambda seen: seen.lines[0]["params"]["seed"] == 5,
        "--rank": param("rank", "none"),
        "--model": lambda seen: seen.record["model"]["id"] == f"{task}.safetensors",
        "--output": lambda seen: "new" in seen.outputs[0].parts,
        "--json": lambda seen: seen.lines,
        "--format": lambda seen: seen.outputs[0].suffix == f".{format}",
        "--recursive": lambda seen: len(seen.lines) == 2,
        "--crop": states("crop", [1, 1, 4, 4]),
        "--quiet": lambda seen: seen.ok and not seen.said,
    }
    more = {"--cond": command == "sample", "--mask": spot, "--nodata": of_field}
    checks |= {name: lambda seen: seen.ok for name, value in more.items() if value}
    yield [*base, *first, "--format", format, "--crop", "1,1,4x4", "-q"], checks
    skip = ["--skip-existing", "-n", 2, "-m", 3, "--format", format, "--crop", "1,1,4x4", "-o"]
    yield [*base, *skip, "new/"], {"--skip-existing": states("status", "skipped")}
    share = ["--shard", "2/2", "-r", "-o", "shard/", "--dry-run"]
    yield [*base, *share], {"--shard": lambda seen: len(seen.lines) == (form == "folder")}
    if not of_field and command in ("superres", "sample"):
        no_field = ["--nodata", 3, "--variable", "none", "-o", "no/"]
        yield [*model, *spot, *no_field], unlike("--nodata", "--variable")
    if of_field:
        yield [*base, "--variable", "none", "-o", "no/"], NO_VARIABLE
    if form == "folder":
        yield [*base, "-v", "-r", "-o", "told/", "--dry-run"], {"--verbose": told_twice}
    if form != "file":
        return
    over = ["--overwrite", "-n", 2, "-m", 3, "--format", format, "--crop", "1,1,4x4", "-o", "new/"]
    sheets = ["--grid", "grid.png", "--uncertainty", "spread.png"]
    yield (
        [*base, *over, *sheets],
        {
            "--overwrite": lambda seen: seen.ok,
            "--grid": wrote("grid.png"),
            "--uncertainty": wrote("spread.png"),
        },
    )
    plain = ["-m", 1, "-o", "plain/", "--no-provenance"]
    yield [*base, *plain], {"--no-provenance": lambda seen: not seen.stored(b"safetensors")}
    yield [*base, "-o", "dry/", "--dry-run"], {"--dry-run": states("status", "planned")}
    yield [*base, "-o", "far/", "--device", "far"], {"--device": said("unknown device 'far'")}
    bf16 = ["--precision", "bf16", "-o", "bf16/"]
    yield [*base, *bf16], {"--precision": lambda seen: seen.ok or "leave --precision" in seen.said}
    yield from changing(command, of_field, task, base, model)


def changing(
    command: str, of_field: bool, task: str, base: list[object], model: list[object]
) -> Iterator[Probe]:
    """Of what changes the images that are drawn, and of masks, `base` and `model` being typed."""
    words: list[object] = ["--quality", 1, "-m", 1, "--keep-metadata", "--keep-place"]
    shown: dict[str, Check] = {
        "--quality": lambda seen: Image.open(seen.outputs[0]).quantization[0][0] > 90,
        "--keep-metadata": lambda seen: Image.open(seen.outputs[0]).getexif()[315] == "Somebody",
        "--keep-place": lambda seen: 0x8825 in Image.open(seen.outputs[0]).getexif(),
    }
    if of_field:
        words += ["--alpha", "--value-range", "0,9"]
        shown |= unlike("--alpha", "--value-range")
    else:
        words += ["--format", "jpg"]
    if command == "superres":
        words += ["--scale", 2, "--consistent"]
        shown |= {"--scale": states("resized"), "--consistent": param("consistent", True)}
    if command == "colorize":
        words += ["--saturation", 1.5]
        shown |= {"--saturation": states("saturation", 1.5)}
    if command == "sample" and of_field:
        words += [*spot_words(), "--marks", "m.png"]
        shown |= unlike(*MASKS, "--marks")
    if task == "inpaint":
        words += ["--marks", "marks/", "--grow", 1]
        shown |= {"--marks": wrote("marks"), "--grow": filled(9)}
    if command == "inpaint":
        words += ["--grain", 9]
        shown |= {"--grain": lambda seen: "grain" in json.dumps(seen.record)}
    yield [*base, *words, "-o", "words/"], shown
    if not of_field:
        four = [*["--cond"] * (command == "sample"), "four.tif", "--alpha", "-o", "alpha/"]
        yield [*base, *four], {"--alpha": lambda seen: seen.ok}
        ranged = ["--value-range", "0,300", "-m", 1, "-o", "range/"]
        yield [*base, *ranged], {"--value-range": states("value_range", [0, 300])}
    if task == "inpaint":
        invert = ["--mask", "most.png", "--invert-mask", "-m", 1, "-o", "invert/"]
        yield [*model, *invert], {"--invert-mask": lambda seen: seen.ok}
        most = ["--mask", "most.png", "--mask-as-is", "--snap", "-o", "most/", "--dry-run"]
        marked = {"--mask-as-is": lambda seen: seen.ok, "--snap": said("is marked")}
        yield [*model, *most], marked
    if command == "colorize":
        hints = ["--hints", "hints.png", "-o", "hints/"]
        yield [*base, *hints], {"--hints": states("hinted_pixels", 1)}
        yield [*base, "--hint", "2,2=#5a8c50", "-o", "hint/"], {"--hint": states("hinted_pixels")}
    if command in ("superres", "colorize"):
        name = "rain" if of_field else "calibrated" if command == "superres" else task
        interval = [*base[2:], "--model", f"{name}.safetensors", "--interval", "-o", "interval/"]
        has = {"--interval": lambda seen: seen.ok or "has no calibration" in seen.said}
        yield interval, has


def spot_words() -> list[object]:
    return ["--mask", "spot.png", "--grow", 1, "--snap", "--invert-mask", "--mask-as-is"]


def scoring(command: str, kind: str, form: str) -> Iterator[Probe]:
    of_field = kind == "field"
    model = ["--model", f"{'rain' if of_field else 'inpaint'}.safetensors", "--json"]
    nodata = ["--nodata", "nan"] if of_field else []
    base = [*model, *nodata, *([] if of_field else ["--mask", "spot.png"])]
    checks: dict[str, Check] = {
        "--noise-samples": lambda seen: seen.record["estimator"]["noise_samples"] == 2,
        "--model": lambda seen: seen.record["model"]["id"] == model[1],
        "--json": lambda seen: seen.lines,
        "--recursive": lambda seen: len(seen.lines) == 2,
        "--quiet": lambda seen: seen.ok and not seen.said,
        **{name: lambda seen: seen.ok for name in ("--cond", "--target", *nodata[:1])},
    }
    checks |= {} if of_field else {"--mask": states("mask", "spot.png")}
    yield [*base, "--noise-samples", 2, "-r", "-q"], checks
    share = {"--shard": lambda seen: len(seen.lines) == (form == "folder")}
    yield [*base, "--shard", "2/2", "-r"], share
    if of_field:
        more = ["--alpha", "--value-range", "0,9"]
        yield [*base, *spot_words(), *more], unlike(*MASKS, *more[:2])
        yield [*base, "--variable", "none"], NO_VARIABLE
    else:
        yield [*base, "--nodata", 3, "--variable", "none"], unlike("--nodata", "--variable")
    if form == "folder":
        text = [word for word in base if word != "--json"]
        yield [*text, "-v", "-r"], {"--verbose": told_twice}
    if form != "file":
        return
    yield [*base, "--device", "far"], {"--device": said("unknown device 'far'")}
    if not of_field:
        yield [*base, "--grow", 1], {"--grow": filled(9)}
        four = ["--cond", "four.tif", "--target", "four.tif", "--alpha"]
        yield [*base, *four], {"--alpha": lambda seen: seen.ok}
        yield [*base, "--value-range", "0,9"], {"--value-range": said("outside 0 to 9")}
        invert = ["--mask", "most.png", "--invert-mask"]
        yield [*model, *invert], {"--invert-mask": lambda seen: seen.ok}
        most = ["--mask", "most.png", "--mask-as-is", "--snap"]
        yield (
            [*model, *most],
            {"--mask-as-is": lambda seen: seen.ok, "--snap": lambda seen: seen.ok},
        )


def masking(command: str, kind: str, form: str) -> Iterator[Probe]:
    first = ["--threshold", 0.01, "-o", "new/", "-r", "--json", "-q", "--marks", "marks/"]
    yield (
        first,
        {
            "--threshold": lambda seen: seen.record["share"] >= 0,
            "--output": lambda seen: "new" in seen.outputs[0].parts,
            "--recursive": lambda seen: len(seen.lines) == 2,
            "--json": lambda seen: seen.lines,
            "--quiet": lambda seen: seen.ok and not seen.said,
            "--marks": wrote("marks"),
        },
    )
    skip = ["-o", "new/", "--skip-existing", "--json"]
    yield skip, {"--skip-existing": states("status", "skipped")}
    if form == "folder":
        yield ["-v", "-r", "--dry-run", "-o", "v/"], {"--verbose": told_twice}
    if form == "file":
        yield ["-o", "new/"], {"--overwrite": said("--overwrite")}
        yield ["-o", "dry/", "--dry-run", "--json"], {"--dry-run": states("status", "planned")}
        yield ["-o", "ir/", "--ir"], {"--ir": said("infrared")}
        yield ["four.tif", "--alpha", "-o", "alpha/"], {"--alpha": lambda seen: seen.ok}
        ranged = ["-o", "range/", "--value-range", "0,9"]
        yield ranged, {"--value-range": said("outside 0 to 9")}
    share = {"--shard": lambda seen: len(seen.lines) == (form == "folder")}
    yield ["-o", "shard/", "--shard", "2/2", "-r", "--json"], share


def evaluating(command: str, kind: str, form: str) -> Iterator[Probe]:
    of_field = kind == "field"
    base = ["--data", f"{kind}set", "--model", f"{'rain' if of_field else 'superres'}.safetensors"]
    base += ["--json"]
    metrics = "crps,rank" if of_field else "rmse,crps"
    first = ["--tau", 0.7, "-m", 4, "--seed", 3, "--limit", 1, "--metric", metrics, "-q"]
    yield (
        [*base, *first, "--task", "superres"],
        {
            "--tau": param("taus", [[0.7]]),
            "--candidates": param("candidates", 4),
            "--seed": param("seed", 3),
            "--limit": states("images", 1),
            "--metric": lambda seen: [*seen.record["metrics"]] == metrics.split(","),
            "--model": lambda seen: seen.record["model"]["id"] == base[3],
            "--json": lambda seen: seen.lines,
            "--quiet": lambda seen: "note" not in seen.said,
            "--data": states("data"),
        },
    )
    quick = ["--metric", "crps" if of_field else "rmse", "-m", 4, "--limit", 1]
    for option, value in (("--device", "far"), ("--split", "none"), ("--task", "none")):
        yield [*base, *quick, option, value], {option: said(f"'{value}'")}
    more = ["-n", 2, "--rank", "none", "--noise-samples", 2, "--consistent", "--batch-size", 1]
    saved = ["--save-images", "saved/", "--skip-existing"]
    networks = ["--lpips-weights", "no", "--fid-weights", "no", "--feature-extractor", "alexnet"]
    checks: dict[str, Check] = {
        "--keep": param("keep", [2]),
        "--rank": param("ranks", ["none"]),
        "--noise-samples": param("noise_samples", 2),
        "--consistent": param("consistent", True),
        "--save-images": wrote("saved"),
        "--skip-existing": wrote("saved/evaluate.jsonl"),
        "--batch-size": lambda seen: False,
    }
    if of_field:
        yield [*base, *quick, "-v"], {"--verbose": told_twice}
        others = [*more, *saved, *networks, "--protocol", "sr4"]
        yield [*base, *others], {**checks, **unlike("--protocol", *networks[::2])}
        yield [*base, "--masks", "imageset"], unlike("--masks")
        return
    yield [*base, *quick, *more, *saved, "-v"], {**checks, "--verbose": told_twice}
    weights = {"--lpips-weights": said("'no'"), "--fid-weights": said("'no'")}
    for name, metric in (("--lpips-weights", "lpips"), ("--fid-weights", "fid")):
        yield [*base, "-m", 2, "--limit", 2, name, "no", "--metric", metric], {name: weights[name]}
    extractor = ["--feature-extractor", "none", "--metric", "fid", "-m", 2]
    yield [*base, *extractor], {"--feature-extractor": said("'none'")}
    named_protocol = ["--protocol", "none", "--masks", "imageset"]
    yield [*base, *named_protocol], {"--protocol": said("'none'")}
    yield [*base, "--masks", "imageset"], {"--masks": said("--masks is for --protocol repair")}


def calibrating(command: str, kind: str, form: str) -> Iterator[Probe]:
    base = ["--data", f"{kind}set", "--json"]
    first = ["--model", "superres.safetensors", "--level", 0.5, "--tau", 0.7, "-m", 3]
    more = ["--consistent", "--limit", 9, "-o", "new.safetensors", "-q", "--crop", 8]
    yield (
        [*base, *first, *more],
        {
            "--level": states("level", 0.5),
            "--tau": states("tau", [0.7]),
            "--candidates": states("candidates", 3),
            "--consistent": states("consistent", True),
            "--limit": states("images", 9),
            "--output": wrote("new.safetensors"),
            "--json": lambda seen: seen.lines,
            "--quiet": lambda seen: seen.ok and not seen.said,
            **dict.fromkeys(("--data", "--model"), lambda seen: seen.ok),
        },
    )
    again = ["--limit", 3, "-m", 3, "-o", "new.safetensors"]
    yield [*base, *first[:2], *again], {"--overwrite": said("--overwrite")}
    of_model = ["--model", "calibrated.safetensors", "--limit", 3]
    told = {"--check": states("coverage"), "--verbose": told_twice}
    yield [*base, *of_model, "--check", "-v"], told
    for option, value in (("--split", "none"), ("--inputs", "none"), ("--device", "far")):
        yield [*base, *of_model, "--check", option, value], {option: said(f"'{value}'")}
    yield [*base, *of_model, "--check", "--crop", 0], {"--crop": said("--crop is 0")}
    bf16 = [*base, *first[:2], "-m", 2, "-o", "b.safetensors", "--precision", "bf16"]
    yield bf16, {"--precision": lambda seen: seen.ok or "--precision" in seen.said}


def training(command: str, kind: str, form: str) -> Iterator[Probe]:
    of_field = kind == "field"
    base = ["--data", f"{kind}set", "--out", "run", "--images", 9, "--dry-run", "--json"]
    base += ["--set", "task.size=16"]
    base += ["--unit", "mm/h", "--transform", "db", "--zero", 0.1] if of_field else []
    checks: dict[str, Check] = {
        "--json": lambda seen: seen.lines,
        "--dry-run": states("status", "dry-run"),
        **dict.fromkeys(("--data", "--out", "--quiet", "--verbose"), lambda seen: seen.ok),
    }
    yield [*base, "-q"], checks | {"--verbose": lambda seen: False}
    for option, value, text in (
        *((name, "none", "'none'") for name in ("--crop", "--task", "--preset", "--init-from")),
        *((name, "none", "'none'") for name in ("--config", "--guide", "--transform")),
        *((name, -1, " -1") for name in ("--minutes", "--images", "--batch-size", "--lr")),
        *((name, -1, " -1") for name in ("--seed", "--zero", "--resolution")),
        ("--set", "none=1", "'none'"),
        ("--guide-license", "x", "--guide-license is"),
        ("--unit", "m", "not m" if of_field else "task.values.transform"),
    ):
        yield [*base, option, value], {option: said(text)}
    yield [*base, "--resume"], {"--resume": said("no run to resume")}
    perceptual = ["--perceptual-weights", "none", "--set", "samples.share=0.5"]
    for words, option in ((["--device", "far"], "--device"), (perceptual, "--perceptual-weights")):
        yield [word for word in [*base, *words] if word != "--dry-run"], {option: said(words[1])}


PROBES: dict[str, tuple[Callable[[str, str, str], Iterator[Probe]], tuple[str, ...]]] = {
    **dict.fromkeys(("superres", "sample"), (drawing, FORMS)),
    **dict.fromkeys(("colorize", "inpaint"), (drawing, FORMS)),
    "score": (scoring, FORMS),
    "mask": (masking, FORMS),
    "evaluate": (evaluating, ("folder",)),
    "calibrate": (calibrating, ("folder",)),
    "train": (training, ("folder",)),
}


# Commands that take no fields; no option changes that.
REFUSED = {(command, "field") for command in ("colorize", "inpaint", "mask", "calibrate")}


def typed(command: str, kind: str, form: str) -> list[str]:
    """The words that name the input."""
    suffix = SUFFIX[kind]
    word = {"file": f"{kind}.{suffix}", "folder": f"{kind}s", "stdin": "-"}[form]
    if command in ("evaluate", "calibrate", "train"):
        return []
    if command == "sample":
        return ["--cond", word]
    if command != "score":
        return [word]
    target = f"{kind}_target.{suffix}"
    return ["--cond", word, "--target", f"{kind}_targets" if form == "folder" else target]


def cells_of(root: Path, command: str) -> dict[str, dict[str, str]]:
    """The letters of a command, by option and kind."""
    found: dict[str, dict[str, str]] = defaultdict(dict)
    probes, forms = PROBES[command]
    for kind in KINDS:
        for form in forms[:1] if (command, kind) in REFUSED else forms:
            place = root / f"{command}-{kind}-{form}"
            shutil.copytree(root, place, ignore=shutil.ignore_patterns("*-*"))
            data = (root / f"{kind}.{SUFFIX[kind]}").read_bytes() if form == "stdin" else b""
            for words, checks in probes(command, kind, form):
                done = captured(place, command, *typed(command, kind, form), *words, stdin=data)
                seen = Seen(done, place)
                if (command, kind) in REFUSED:
                    assert not seen.ok, words
                    for option in listed(command):
                        found[option][kind] = "x"
                    break
                for option, check in checks.items():
                    found[option].setdefault(kind, "")
                    found[option][kind] += letter(option, check, seen)
    return dict(found)


def listed(command: str) -> list[str]:
    """The long names of a command's options."""
    parameters = json.loads(OPTIONS.read_text(encoding="utf-8"))[command]["parameters"]
    names = [name for one in parameters.values() for name in one["names"][:1]]
    return [name for name in names if name.startswith("--")]


# --- keywords of Python ---------------------------------------------------------------------------

SHARED = {"tau": 0.9, "candidates": 5, "keep": 2, "seed": 4, "rank": "none", "consistent": True}
KEYWORDS: dict[str, dict[str, Any]] = {
    "restore()": {
        **SHARED,
        **{
            "precision": "bf16",
            "mask": "most.png",
            "hints": "hints.png",
            "grain": 900,
            "snap": True,
        },
        **{"value_range": (0, 2), "alpha": False, "crop": (1, 1, 4, 4)},
    },
    "score()": {"mask": "most.png", "noise_samples": 2, "value_range": (0, 2), "alpha": False},
    "evaluate()": {
        **SHARED,
        **{"split": "none", "limit": 1, "protocol": "none", "masks": "spot.png"},
        **{"noise_samples": 2, "batch_size": 1, "inputs": "web", "save_images": "saved"},
        **{"skip_existing": True, "weights": Weights(lpips="none")},
    },
}


def keywords(root: Path, function: str) -> dict[str, dict[str, str]]:
    """The letters of a function's keywords, by kind."""
    found: dict[str, dict[str, str]] = defaultdict(dict)
    for kind in KINDS:
        call = called(root, function, kind)
        plain = call()
        for name, value in KEYWORDS[function].items():
            if (function, name, kind) == ("restore()", "rank", "field"):
                value = "likelihood"  # by default, fields are not ranked
            value = root / value if name in ("mask", "hints", "masks", "save_images") else value
            try:
                found[name][kind] = "-" if call(**{name: value}) == plain else "u"
            except CaflowError as error:
                text = f"{error.message} {error.hint}".replace("-", "_")
                assert name in text or str(value) in text, text
                found[name][kind] = "r" if re.search("fields|takes no", text) else "u"
    return dict(found)


def called(root: Path, function: str, kind: str) -> Callable[..., object]:
    """What a function makes of keywords for a small input, as values that can be compared."""
    task = "rain" if kind == "field" else "superres" if function == "evaluate()" else "inpaint"
    model = caflow.load(str(root / f"{task}.safetensors"))
    floats = np.random.default_rng(0).random((5, 6, 4), np.float32)
    image: Any = floats if kind == "image" else floats[..., 0] + 1
    fine: Any = image if kind == "image" else image.repeat(4, 0).repeat(4, 1)
    base: Any = {"value_range": (0, 1), "alpha": True, "mask": root / "spot.png"}
    base = base if kind == "image" else {}

    def restored(**words: Any) -> object:
        result = caflow.restore(model, image, **{"candidates": 3, **base, **words})
        drawn = [
            (each.seed, each.rank_value, each.output.image.values.tobytes())
            for each in result.ranked
        ]
        return drawn, len(result.kept)

    def scored(**words: Any) -> object:
        return caflow.score(model, image, fine, **{**base, **words}).as_json()

    def evaluated(**words: Any) -> object:
        metrics = ["crps"] if kind == "field" else ["rmse", "bpd"]
        words = {"candidates": 4, "tau": 0.7, **words}
        record = caflow.evaluate(model, root / f"{kind}set", metrics, **words).as_json()
        saved = (root / "saved").exists()
        shutil.rmtree(root / "saved", ignore_errors=True)
        return record, saved

    return {"restore()": restored, "score()": scored, "evaluate()": evaluated}[function]


# --- the table ------------------------------------------------------------------------------------


def table(root: Path) -> Cells:
    """All cells."""
    prepare(root)
    found = {command: cells_of(root, command) for command in PROBES}
    return found | {function: keywords(root, function) for function in KEYWORDS}


def test_every_option_is_used_or_refused_or_has_a_reason(tmp_path):
    stored = json.loads(FILE.read_text(encoding="utf-8"))
    reasons = stored.pop("reasons")
    found = table(tmp_path)
    assert found.keys() == stored.keys()
    for name, options in found.items():
        assert options == stored[name], name
        expected = {*listed(name)} if name in PROBES else {*KEYWORDS[name]}
        assert options.keys() == expected, name
        for option, letters in options.items():
            for kind, letter in letters.items():
                assert "-" not in letter or reasons[option], (name, option, kind)


def test_keywords_are_those_of_the_functions():
    assert {*KEYWORDS["evaluate()"]} == {*EvaluateOptions.__annotations__}
    for function, name in ((caflow.restore, "restore()"), (caflow.score, "score()")):
        own = {*inspect.signature(function).parameters} - {"model", "image", "condition", "target"}
        more = RestoreOptions.__annotations__ if name == "restore()" else ()
        assert {*KEYWORDS[name]} == (own - {"options"}) | {*more}


def test_options_of_masks_need_a_model_that_fills_holes(tmp_path):
    """`sample` and `score` have models of any task."""
    prepare(tmp_path)
    model = ["--model", "superres.safetensors"]
    for words in (["sample", "--cond", "image.png"], ["score", *typed("score", "image", "file")]):
        done = captured(tmp_path, *words, *model, "--grow", 1, "--snap")
        assert b"--grow: for a model that fills holes" in done.stderr or b"--snap" in done.stderr
        assert done.returncode == 2
        done = captured(tmp_path, *words, *model, "--grow", 1)
        assert b"--grow: for a model that fills holes" in done.stderr


if __name__ == "__main__":
    reasons = json.loads(FILE.read_text(encoding="utf-8"))["reasons"] if FILE.exists() else {}
    with tempfile.TemporaryDirectory() as folder:
        cells = table(Path(folder))
    parts = [f' "reasons": {json.dumps(reasons, indent=1)}']
    for name, options in cells.items():
        rows = (f"  {json.dumps(option)}: {json.dumps(cell)}" for option, cell in options.items())
        parts.append(f' "{name}": {{\n' + ",\n".join(rows) + "}")
    FILE.write_text("{\n" + ",\n".join(parts) + "}\n", encoding="utf-8")
