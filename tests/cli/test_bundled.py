"""Commands on bundled weights."""

import json

import numpy as np
import pytest
from PIL import Image

from caflow_cli.assets import example_path
from caflow_cli.fields import read_field, read_members
from caflow_cli.fields.project import means_of

from .scenes import pixels


@pytest.mark.parametrize(
    ("arguments", "model"),
    [
        (("superres", "example:face"), "photos-superres-x4"),
        (("colorize", "example:room"), "photos-colorize"),
        (("inpaint", "example:face_64", "--mask", "example:hole"), "photos-inpaint"),
        (("sample", "--cond", "example:map", "--model", "maps-aerial"), "maps-aerial"),
    ],
)
def test_every_task_works_offline_with_its_bundled_model(
    run, tmp_path, monkeypatch, arguments, model
):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "none"))
    result = run(*arguments, "-m", 2, "-n", 2, "-o", "out/", "--json")
    assert result.returncode == 0, result.stderr
    record = json.loads(result.stdout)
    assert record["model"]["id"] == model
    named = "named by --model, the environment or the config file"
    default = f"the default for {arguments[0]}"
    assert record["model_reason"] == (named if arguments[0] == "sample" else default)
    best, second = record["outputs"]
    assert best["log_likelihood"] >= second["log_likelihood"]
    source = next(one for one in arguments if one.startswith("example:"))
    mask = arguments[2:] if arguments[0] == "inpaint" else ()
    image = pixels(tmp_path / best["path"])
    given = pixels(example_path(source.removeprefix("example:")))
    if arguments[0] == "colorize":
        gray = np.asarray(Image.fromarray(image).convert("L")).astype(int)
        assert np.abs(gray - given[..., 0]).max() <= 1
        assert image.std(axis=-1).max() > 2  # it has color
    if mask:
        known = pixels(example_path("hole"))[..., 0] == 0
        assert np.array_equal(image[known], given[known])
        assert not np.array_equal(image[~known], given[~known])
    again = run("score", "--cond", source, "--target", best["path"], *mask, "--json")
    expected = pytest.approx(best["log_likelihood"], abs=1e-2)
    scored = json.loads(again.stdout)
    assert scored["log_likelihood"] == expected
    assert scored["model_reason"] == "it made the target, according to its metadata"


def test_degraded_images_get_the_model_of_web_images_with_one_note(run, tmp_path):
    cat = Image.open(example_path("cat_192"))
    names = {"a.jpg": 40, "b.png": None, "c.webp": 30}
    for name, quality in names.items():
        side = 64 if name == "c.webp" else 16  # the least that their choice needs
        photo = cat.resize((side, side), Image.Resampling.BICUBIC)
        photo.save(tmp_path / name, **({} if quality is None else {"quality": quality}))

    web = "web-superres-x4"
    photos = "photos-superres-x4"

    def models(*options):
        done = run("superres", *names, "-m", 1, "-o", "out/", "--overwrite", "--json", *options)
        assert done.returncode == 0, done.stderr
        found = [json.loads(line) for line in done.stdout.splitlines()]
        assert [one["input"] for one in found] == list(names)
        lines = done.stderr.decode().splitlines()
        for one in found:
            line = "{}: {}, {}".format(one["input"], one["model"]["id"], one["model_reason"])
            assert (line in lines) == ("--model" not in options)
        return [one["model"]["id"] for one in found], lines.count(
            f"--model {photos} overrides {web}"
        )

    assert models() == ([web, photos, web], 1)
    assert models("--model", photos) == ([photos] * 3, 0)


def test_the_example_of_rain_is_refined_by_the_model_of_its_unit(run, tmp_path, monkeypatch):
    """Offline, without --model, at the model's own temperature, with exactly the coarse means."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "none"))
    result = run("superres", "example:rain", "-m", 2, "-o", "members.tif", "--json")
    assert result.returncode == 0, result.stderr
    record = json.loads(result.stdout)
    assert record["model"]["id"] == "rain-superres-x4"
    assert record["params"]["tau"] == [1.05]
    coarse = read_field(example_path("rain")).image.values[..., 0]
    members = [each.image for each in read_members(tmp_path / "members.tif")]
    assert len(members) == 2
    for member in members:
        assert (member.unit.name, member.size) == ("mm/h", (256, 256))
        values = member.values[..., 0]
        assert (np.abs(means_of(values, 4) - coarse) <= 2**-22 * coarse).all()
        assert values[values > 0].min() >= np.float32(0.1)
    assert not np.array_equal(members[0].values, members[1].values)
