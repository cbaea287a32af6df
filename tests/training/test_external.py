"""Networks of other projects as guides: what is stored, computed, trained, and refused."""

import json
import shutil
import sys
from dataclasses import replace
from pathlib import Path

import forked
import helpers
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from safetensors.torch import load_file, save_file

from caflow_cli.checkpoint import read_info
from caflow_cli.config import Temperature
from caflow_cli.errors import CaflowError
from caflow_cli.guides import External
from caflow_cli.hub.publish import pack, prepare
from caflow_cli.images import write_png
from caflow_cli.model import CAFlow
from caflow_cli.restoration.tiled import Tiled
from caflow_cli.restoration.whole import Whole
from caflow_cli.tasks.tiles import plan_tiles
from caflow_cli.training import train
from caflow_cli.training.external import read_external
from caflow_cli.training.resolve import build_config

spandrel = pytest.importorskip("spandrel")
pytestmark = pytest.mark.usefixtures("without_curves")

TINY = [
    *("flow.scales=1", "flow.hidden=8", "flow.f_hidden=8", "flow.trunk=0", "flow.spread=8"),
    *("flow.r_steps=1", "flow.t_steps=1", "flow.f_steps=1", "task.size=32", "task.factor=2"),
    *("optim.batch_size=4", "optim.images=16", "optim.warmup=5", "validation_images=8"),
]


def compact(scale: int, convolutions: int = 3, seed: int = 0) -> torch.nn.Module:
    from spandrel.architectures.Compact import Compact

    return helpers.seeded(lambda: Compact(num_feat=8, num_conv=convolutions, upscale=scale), seed)


def written(path: Path, net: torch.nn.Module, dtype: torch.dtype = torch.float32) -> Path:
    save_file({k: v.to(dtype).contiguous() for k, v in net.state_dict().items()}, path)
    return path


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Images with edges, 48×48: 24 to train on, 8 to validate."""
    folder = tmp_path_factory.mktemp("photos")
    generator = np.random.default_rng(0)
    for split, count in (("train", 24), ("val", 8), ("test", 1)):
        (folder / split).mkdir()
        for index in range(count):
            corners = generator.uniform(0, 255, (4, 4, 3)).astype(np.uint8)
            image = np.array(Image.fromarray(corners).resize((48, 48), Image.Resampling.BICUBIC))
            x, y = generator.integers(8, 40, 2)
            image[:y, x:] //= 2
            write_png(folder / split / f"{index:02}.png", image)
    return folder


@pytest.fixture(scope="module")
def trained(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file of a small network for ×2, trained on these images by L1."""
    net = compact(2)
    torch.nn.init.zeros_(net.body[8].weight)
    images = [np.array(Image.open(path)) for path in sorted((photos / "train").iterdir())[:8]]
    small = [np.array(Image.fromarray(one).resize((24, 24), 3)) for one in images]  # bicubic
    w, x = (torch.from_numpy(np.stack(some)).permute(0, 3, 1, 2) / 255 for some in (images, small))
    optimizer = torch.optim.Adam(net.parameters(), 3e-3)
    for _ in range(60):
        optimizer.zero_grad()
        F.l1_loss(net(x), w).backward()
        optimizer.step()
    return written(tmp_path_factory.mktemp("guide") / "small.safetensors", net)


def config(photos: Path, out: Path, guide: Path | None, *settings: str, **options):
    values = {"data": str(photos), "out": str(out), "optim": {}}
    described = None if guide is None else read_external(guide)
    return build_config(values, [*TINY, *settings], guide=described, **options)


_FRESH = """
import json, sys
import numpy as np, torch
from PIL import Image
from safetensors.torch import load_file
import caflow_cli as caflow
from caflow_cli.guides import recover_small
from caflow_cli.images import read_image
from caflow_cli.tasks import get_task
import spandrel

path, kept, photo, folder = sys.argv[1:]
model, tensors = caflow.load(path), load_file(kept)
stored = {n.removeprefix("A.guide.net."): t for n, t in model.state_dict().items()
          if n.startswith("A.guide.")}
original = spandrel.ModelLoader("cpu").load_from_state_dict(load_file(kept))
image = np.array(Image.open(photo))
small = np.array(Image.fromarray(image).resize((24, 24), Image.Resampling.BICUBIC))
x = torch.from_numpy(small).permute(2, 0, 1)[None] / 255
guide = model.density.A.guide
result = caflow.restore(model, small, 0.5, 3)
[path] = result.save(folder + "/image.png")
again = caflow.score(model, small, read_image(path))
(part,) = get_task(model.config).parts(small)
y = torch.from_numpy(part.condition(small)).permute(2, 0, 1)[None]
back = recover_small(y + 0.5, 2)
w = torch.from_numpy(image).permute(2, 0, 1)[None]
latents, _ = model.encode(w, y)
print(json.dumps({
    "equal": stored.keys() == tensors.keys()
    and all(stored[n].dtype == t.dtype and torch.equal(stored[n], t) for n, t in tensors.items()),
    "network": 255 * float((guide(x) - original(x)).abs().max()),
    "from_y": 255 * float((model.expect(y) / 255 - 0.5 / 255 - original(back / 255)).abs().max()),
    "values": float((back != 255 * x).float().mean()),
    "levels": float((back - 255 * x).abs().max()),
    "bits": bool(torch.equal(model.decode(latents, y)[0].floor(), w.double())),
    "rank": result.kept[0].score.log_likelihood,
    "again": again.log_likelihood,
    "provenance": json.loads(Image.open(path).text["caflow"])["model"]["guide"],
}))
"""


def test_a_published_network_is_the_guide_of_a_model_that_needs_its_file_no_more(
    photos, trained, tmp_path
):
    """The smallest run of all: a network for ×2, four steps of likelihood, a packed file.

    From y the network's image differs only where the recovered small image does: in at most a
    tenth of the values, by one level.
    """
    file = Path(shutil.copy(trained, tmp_path / "guide.safetensors"))
    summary = train(config(photos, tmp_path / "run", file))
    assert summary.steps == 4
    assert summary.val_bits_per_dim < 8
    entry = pack(tmp_path / "run", "mine", tmp_path / "packed")
    file.unlink()
    info = read_info(tmp_path / "packed" / "mine.safetensors")
    assert (info.guide["file"], info.guide["license"]) == ("guide.safetensors", "not stated")
    assert info.guide["architecture"] == "RealESRGAN Compact"
    assert {t.dtype for n, t in info.tensors.items() if n.startswith("A.guide.net.")} == {"F32"}
    photo = photos / "val" / "00.png"
    words = [tmp_path / "packed" / "mine.safetensors", trained, photo, tmp_path]
    done = forked.run(_FRESH, *words, cwd=tmp_path)
    assert done.returncode == 0, done.stderr[-2000:]
    found = json.loads(done.stdout)
    assert found["equal"]
    assert found["network"] < 0.001
    assert found["from_y"] < 0.001
    assert found["values"] < 0.1
    assert found["levels"] == 1
    assert found["bits"]
    assert found["again"] == pytest.approx(found["rank"], abs=1e-6)
    assert found["provenance"] == {"name": "guide.safetensors", "sha256": info.guide["sha256"]}
    assert entry.bytes < 2_000_000


def test_runs_resume_and_continue_without_the_file(photos, trained, tmp_path):
    file = Path(shutil.copy(trained, tmp_path / "guide.safetensors"))
    first = config(photos, tmp_path / "first", file)
    train(first)
    file.unlink()
    longer = replace(first, optim=replace(first.optim, images=24))
    assert train(longer, resume=True).steps == 6
    path = tmp_path / "first" / "best.safetensors"
    values = {"data": str(photos), "out": str(tmp_path / "next"), "init_from": str(path)}
    values |= {"guide": read_info(path).guide, "optim": {}}
    next_run = build_config(values, ["optim.images=8"], start=read_info(path).config)
    assert next_run.optim.guide_first == 0
    train(next_run)
    assert read_info(tmp_path / "next" / "best.safetensors").guide == read_info(path).guide
    # Another network in its place.
    other = written(tmp_path / "other.safetensors", compact(2, seed=1))
    start = read_info(path).config
    third = config(photos, tmp_path / "third", other, f"init_from={path}", start=start)
    train(third)
    final = load_file(tmp_path / "third" / "best.safetensors")
    for name, tensor in load_file(other).items():
        assert torch.equal(final[f"A.guide.net.{name}"], tensor)


def test_half_precision_is_stored_as_it_is_and_a_network_that_changes_itself_is_not(tmp_path):
    from spandrel.architectures.SPAN import SPAN

    net = SPAN(num_in_ch=3, num_out_ch=3, feature_channels=8, upscale=2)
    half = load_file(written(tmp_path / "span.safetensors", net, torch.float16))
    guide = External(2)
    guide.set_tensors(half)
    for _ in range(2):
        enlarged = guide(torch.rand(2, 3, 12, 16))
    assert enlarged.shape == (2, 3, 24, 32)
    assert not enlarged.is_inference()
    stored = guide.state_dict()
    assert stored.keys() == {f"net.{name}" for name in half}
    for name, tensor in half.items():
        assert stored[f"net.{name}"].dtype == tensor.dtype
        assert torch.equal(stored[f"net.{name}"], tensor)
    assert list(guide.parameters()) == []


@pytest.mark.parametrize(("convolutions", "reach"), [(1, 3), (12, 14)])
def test_the_reach_is_that_of_the_convolutions(tmp_path, convolutions, reach):
    file = written(tmp_path / "a.safetensors", compact(2, convolutions))
    described, flow = read_external(file, "mit")
    assert flow["guide_reach"] == reach
    assert (flow["guide_factor"], described.license) == (2, "mit")
    guide = External(2)
    guide.set_tensors(load_file(file))
    assert guide.reach(2) == 2


def model_with(net: torch.nn.Module, reach: int) -> CAFlow:
    """A model whose flows are the identity at τ 0, so that it draws the guide's image."""
    flow = {"anchor": "enlarged", "guide": 1, "guide_net": "external", "guide_factor": 2}
    settings = helpers.small_config(scales=1, guide_reach=reach, **flow)
    model = CAFlow(settings).eval()
    model.density.A.guide.set_tensors(net.state_dict())
    return model


def test_a_guide_that_reads_beyond_the_margin_of_tiles_reads_windows_of_its_own():
    """With windows the image is that of one pass, to 0 levels; without, it is not."""
    net = compact(2, 12)
    with torch.no_grad():
        for layer in net.body:
            if isinstance(layer, torch.nn.Conv2d):  # each moves the image by a pixel
                layer.weight.zero_()
                layer.bias.zero_()
                for channel, kernels in enumerate(layer.weight):
                    kernels[channel % len(kernels), 1, 0] = 0.9
    cond = torch.randint(0, 120, (1, 3, 160, 160), generator=helpers.generator(1)).byte()
    images = {}
    for reach in (0, 14):
        model = model_with(net, reach)
        tiles = plan_tiles((160, 160), 4, side=64)
        assert tiles.margin == 20 < model.config.flow.guide_margin or reach == 0
        assert len(tiles) > 4
        for conditions in (Tiled(model, cond, tiles), Whole(model, cond)):
            generators = [helpers.generator(0)]
            (sample,) = conditions.draw(Temperature.of(0), generators)
            images[type(conditions), reach] = sample.image.astype(int)
    one_pass = images[Whole, 14]
    assert np.abs(images[Tiled, 14] - one_pass).max() == 0
    assert np.abs(images[Tiled, 0] - one_pass).max() > 0


def test_a_denoiser_is_the_guide_of_pairs(photos, tmp_path):
    pairs = tmp_path / "pairs"
    generator = np.random.default_rng(0)
    for path in sorted((photos / "train").iterdir()):
        image = np.array(Image.open(path))
        noisy = (image + generator.normal(0, 20, image.shape)).clip(0, 255).astype(np.uint8)
        for side, pixels in (("A", noisy), ("B", image)):
            (pairs / side).mkdir(parents=True, exist_ok=True)
            write_png(pairs / side / path.name, pixels)
    file = written(tmp_path / "one.safetensors", compact(1))
    summary = train(config(pairs, tmp_path / "run", file, task="paired"))
    assert summary.steps == 4
    model = CAFlow.load(tmp_path / "run" / "best.safetensors")
    assert (model.config.flow.guide_factor, model.config.flow.spread) == (1, 8)
    y = helpers.smooth_image(1, 3, 32, seed=3)
    expected = 255 * model.density.A.guide(y / 255) + 0.5
    torch.testing.assert_close(model.expect(y), expected)


@pytest.mark.parametrize(
    ("content", "message", "code"),
    [
        ("unknown", "spandrel knows no architecture", 2),
        ("scale", "the guide enlarges 4 times, superres 2 times", 2),
        ("gray", "reads 1 channels", 2),
        ("truncated", "not a readable safetensors file", 3),
        ("pickle", "is not safetensors", 3),
        ("parts", "do not fit an architecture", 3),
        ("missing", "no model file", 3),
        ("not finite", "holds values that are not finite in 'body.2.bias'", 3),
        ("control characters", r"body.2.bia\x1b[2J", 3),
    ],
)
def test_what_is_no_guide_is_refused_before_anything_is_written(
    photos, tmp_path, content, message, code
):
    from spandrel.architectures.Compact import Compact

    file = tmp_path / "guide.safetensors"
    if content == "unknown":
        save_file({"a": torch.zeros(3)}, file)
    elif content == "scale":
        written(file, compact(4))
    elif content == "gray":
        written(file, Compact(num_in_ch=1, num_out_ch=1, num_feat=8, num_conv=1, upscale=2))
    elif content == "truncated":
        written(file, compact(2))
        file.write_bytes(file.read_bytes()[:-100])
    elif content == "pickle":
        torch.save(compact(2).state_dict(), file)
    elif content == "not finite":
        net = compact(2)
        torch.nn.init.constant_(net.body[2].bias, torch.nan)
        written(file, net)
    elif content == "control characters":
        tensors = compact(2).state_dict()
        tensors["body.2.bia\x1b[2J"] = tensors.pop("body.2.bias")
        save_file(tensors, file)
    elif content == "parts":
        tensors = compact(2).state_dict()
        del tensors["body.2.bias"]
        save_file(tensors, file)
    with pytest.raises(CaflowError) as caught:
        train(config(photos, tmp_path / "run", file))
    assert message in caught.value.message
    assert caught.value.message.isprintable()
    assert caught.value.exit_code == code
    assert not (tmp_path / "run").exists()


def test_a_missing_extra_is_named(trained, monkeypatch):
    monkeypatch.setitem(sys.modules, "spandrel", None)
    with pytest.raises(CaflowError, match="needs spandrel") as caught:
        read_external(trained)
    assert caught.value.exit_code == 3
    assert "restorer" in caught.value.hint


def test_a_license_must_be_stated_to_publish(photos, trained, tmp_path):
    train(config(photos, tmp_path / "run", trained))
    with pytest.raises(CaflowError, match=r"license of the guide, 'small.safetensors'") as caught:
        prepare(str(tmp_path / "run"), "user/name", "mit")
    assert caught.value.hint == "--guide-license TEXT"
    _, card = prepare(str(tmp_path / "run"), "user/name", "mit", guide_license="apache-2.0")
    assert "license apache-2.0" in card.text
    assert "sha256" in card.text
    pack(tmp_path / "run", "mine", tmp_path / "packed", guide_license="apache-2.0")
    path = tmp_path / "packed" / "mine.safetensors"
    assert read_info(path).guide["license"] == "apache-2.0"
    prepare(str(path), "user/name", "mit")
