"""Which model is chosen when, and why; and which model an image says it was made by."""

import hashlib
import io
import json
import time

import forked
import numpy as np
import pytest
import torch
from cli.process import ANEW
from PIL import Image, ImageFilter, ImageOps
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from caflow_cli.assets import ASSETS, WEIGHTS_DIR, example_path, manifest_path
from caflow_cli.errors import CaflowError
from caflow_cli.hub.choice import choose_model, hint_at_model, is_chosen, log_odds
from caflow_cli.hub.manifest import load_manifest
from caflow_cli.hub.resolve import load, maker_of, resolve
from caflow_cli.images import encode_png, write_png
from caflow_cli.tasks import TASKS
from caflow_cli.tasks.arguments import as_input

ID = "faces-superres-x4"


WEB = "web-superres-x4"


def photo(factor=1):
    image = Image.open(example_path("cat_192"))
    return image.resize((image.width // factor, image.height // factor), Image.Resampling.BICUBIC)


def through(image, format, quality, corner=0):
    """Through a file, from a grid of blocks that begins at another corner."""
    stream = io.BytesIO()
    padded = ImageOps.expand(image, (corner, corner, 0, 0))
    padded.save(stream, format, quality=quality)
    return np.asarray(Image.open(stream).convert("RGB"))[corner:, corner:]


BY_PIXELS = (WEB, "for compressed, noisy or blurred images (its pixels)")
BY_TABLE = (WEB, "for compressed images (its JPEG table)")


@pytest.mark.parametrize("factor", [1, 2])
def test_degraded_pixels_are_enlarged_by_the_model_of_web_images(factor, tmp_path):
    clean = photo(factor)
    noise = np.random.default_rng(0).normal(0, 8, (*clean.size[::-1], 3))
    degraded = {
        "JPEG": through(clean, "JPEG", 50),
        "ordinary JPEG": through(clean, "JPEG", 85),
        "cut JPEG": through(clean, "JPEG", 80, corner=3),
        "gray JPEG": through(clean.convert("L"), "JPEG", 80),
        "WebP": through(clean, "WEBP", 40),
        "ordinary WebP": through(clean, "WEBP", 85),
        "noise": (np.asarray(clean) + noise).clip(0, 255).astype(np.uint8),
        "blur": np.asarray(clean.filter(ImageFilter.GaussianBlur(1.2))),
    }
    for what, image in degraded.items():
        assert choose_model(image) == BY_PIXELS, what
        assert choose_model(image, "colorize").model == "photos-colorize"
    write_png(tmp_path / "a.png", degraded["JPEG"])
    assert choose_model(tmp_path / "a.png") == BY_PIXELS
    for what, image in {
        "clean": np.asarray(clean),
        "a camera's JPEG": through(clean, "JPEG", 95),
        "black on white": np.where(np.asarray(clean) < 128, np.uint8(0), np.uint8(255)),
    }.items():
        assert choose_model(image) == choose_model(), what


@pytest.mark.parametrize("side", [16, 40, 72, 192])
def test_a_coarse_table_means_a_web_image_and_a_fine_one_nothing(side, tmp_path):
    image = photo().resize((side, side), Image.Resampling.BICUBIC)
    for quality in (50, 75, 89):
        image.save(tmp_path / "x.jpg", quality=quality)
        assert choose_model(tmp_path / "x.jpg") == BY_TABLE
        assert choose_model(Image.open(tmp_path / "x.jpg")) == BY_TABLE
    image.save(tmp_path / "x.jpg", quality=95)
    assert choose_model(tmp_path / "x.jpg") == choose_model()
    image.crop((0, 0, side, 15)).save(tmp_path / "x.jpg", quality=50)
    assert choose_model(tmp_path / "x.jpg") == choose_model()
    Image.fromarray(through(image, "JPEG", 30)).save(tmp_path / "x.jpg", quality=97)
    assert choose_model(tmp_path / "x.jpg") == (BY_PIXELS if side >= 64 else choose_model())


def test_the_inputs_are_those_of_restore():
    image = through(photo(), "JPEG", 75).copy()
    floats = image.astype(np.float32) / 255
    tensor = torch.from_numpy(floats).permute(2, 0, 1)
    assert choose_model(image[..., 0]) == BY_PIXELS
    assert choose_model(Image.fromarray(image)) == BY_PIXELS
    assert choose_model(torch.from_numpy(image).permute(2, 0, 1)) == BY_PIXELS
    assert choose_model(floats, value_range=(0, 1)) == BY_PIXELS
    assert choose_model(2 * tensor - 1, value_range=(-1, 1)) == BY_PIXELS
    for unclear in (floats, tensor):
        with pytest.raises(CaflowError, match="without a stated range"):
            choose_model(unclear)
    with pytest.raises(CaflowError, match="cannot have shape"):
        choose_model(tensor[:, :2, :2].reshape(-1, 1, 2), value_range=(0, 1))


def test_only_the_chosen_model_is_loaded(tmp_path):
    """An installation in which the default ends after its header enlarges a web image."""
    package = tmp_path / "caflow_cli"
    weights = package / "assets" / "weights"
    weights.mkdir(parents=True)
    for folder, copy in ((ASSETS.parent, package), (ASSETS, package / "assets")):
        for path in folder.iterdir():
            if not (copy / path.name).exists():
                (copy / path.name).symlink_to(path)
    (weights / f"{WEB}.safetensors").symlink_to(WEIGHTS_DIR / f"{WEB}.safetensors")
    name = f"{choose_model().model}.safetensors"
    whole = (WEIGHTS_DIR / name).read_bytes()
    header = 8 + int.from_bytes(whole[:8], "little")
    (weights / name).write_bytes(whole[:header])
    digests = (hashlib.sha256(data).hexdigest() for data in (whole, whole[:header]))
    manifest = manifest_path().read_text("utf-8").replace(*digests)
    (tmp_path / "weights_manifest.json").write_text(manifest, "utf-8")
    image = photo().resize((16, 16), Image.Resampling.BICUBIC)
    image.save(tmp_path / "web.jpg", quality=50)
    image.save(tmp_path / "clean.png")
    done = {}
    for name in ("web.jpg", "clean.png"):
        command = ["superres", name, "-m", 1, "--json"]
        done[name] = forked.run(ANEW, *command, cwd=tmp_path)
    assert WEB.encode() in done["web.jpg"].stdout, done["web.jpg"].stderr
    assert done["clean.png"].returncode, done["clean.png"].stdout


def test_small_images_get_the_default():
    assert choose_model(through(photo(4), "JPEG", 30)[:40, :40]).model == "photos-superres-x4"


def test_the_choice_takes_less_than_half_of_writing_the_image():
    image = np.random.default_rng(0).integers(0, 256, (1000, 1000, 3), np.uint8)
    seconds = {}
    for work in (choose_model, encode_png):
        work(image)
        begun = time.process_time()
        for _ in range(5):
            work(image)
        seconds[work] = time.process_time() - begun
    choosing, writing = seconds.values()
    assert choosing < writing / 2


def test_a_choice_is_a_model_of_its_task():
    entries = load_manifest()
    for task in TASKS:
        chosen = choose_model(task=task)
        assert entries[chosen.model].task == task
        assert chosen.reason == f"the default for {task}"
        assert is_chosen(task, chosen.model)
    assert choose_model() == choose_model(task="superres")
    assert is_chosen("superres", WEB)
    assert not is_chosen("superres", ID)


@pytest.mark.parametrize(
    ("task", "height", "width", "hinted"),
    [
        ("superres", 11, 11, False),
        ("superres", 12, 12, True),
        ("superres", 32, 32, True),
        ("superres", 33, 33, False),
        ("superres", 16, 20, False),
        ("colorize", 16, 16, False),
    ],
)
def test_inputs_of_the_size_of_faces_get_a_hint(task, height, width, hinted):
    hint = hint_at_model(task, as_input(np.zeros((height, width, 3), np.uint8)))
    assert hint == (f"if this is an aligned face, try --model {ID}" if hinted else None)


def test_the_model_of_an_image_is_known_by_its_digest(gray_file):
    entry = load_manifest()[ID]
    assert maker_of("x.png", {"model": {"id": ID, "sha256": entry.sha256}}, None) == ID
    with pytest.raises(CaflowError, match=f"was made with model '{ID}'") as caught:
        maker_of("x.png", {"model": {"id": ID, "sha256": "0" * 64}}, None)
    assert caught.value.exit_code == 2
    own = {"model": {"id": "model.safetensors", "sha256": resolve(str(gray_file)).sha256}}
    assert maker_of("x.png", own, str(gray_file)) == str(gray_file)
    with pytest.raises(CaflowError, match="cannot be found"):
        maker_of("x.png", own, ID)
    pushed = {"model": own["model"] | {"id": "someone/gray"}}  # the Hub is not asked
    assert maker_of("x.png", pushed, str(gray_file)) == str(gray_file)
    for nothing in ({}, {"model": None}, {"model": {"id": ID}}):
        assert maker_of("x.png", nothing, str(gray_file)) is None


def test_a_model_with_a_calibration_that_is_none_has_no_intervals(tmp_path, model_files):
    with safe_open(model_files["superres"], "pt") as file:
        header = json.loads(file.metadata()["caflow"])
    header["training"]["calibration"] = {"tau": "x"}
    path = tmp_path / "m.safetensors"
    save_file(load_file(model_files["superres"]), path, {"caflow": json.dumps(header)})
    model = load(path)
    with pytest.raises(CaflowError, match=r"'calibration\.level' is missing") as caught:
        _ = model.calibration
    assert caught.value.exit_code == 3  # as for all that is wrong with weights


@pytest.mark.parametrize("sign", [-1, 1])
def test_a_statistic_counts_up_to_three_standard_deviations(sign):
    """A single extreme one, such as of a flat image, does not decide alone."""
    fit = json.loads((ASSETS / "choice.json").read_text(encoding="utf-8"))
    mean, deviation = np.array(fit["mean"]), np.array(fit["deviation"])
    for index in range(len(mean)):
        far = np.zeros(len(mean))
        far[index] = sign
        odds = [log_odds(mean + times * far * deviation) for times in (2, 3, 30)]
        assert odds[1] == pytest.approx(odds[2])
        assert odds[0] != pytest.approx(odds[1])
