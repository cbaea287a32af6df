"""Cards, manifest and tables say what was measured of the bundled files (`.ci/models`)."""

from __future__ import annotations

import copy
import math
import os
import shutil
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

import caflow_cli as caflow
from caflow_cli.config import FlowConfig
from caflow_cli.errors import CaflowError
from caflow_cli.evaluation import Weights
from caflow_cli.evaluation.protocols import PROTOCOLS
from caflow_cli.hub.manifest import Entry, load_manifest
from caflow_cli.hub.publish import pack, prepare
from caflow_cli.images import write_png

ROOT = Path(__file__).resolve().parents[1]
sys.path.append(str(ROOT / ".ci"))

from model_cards import far  # noqa: E402  (found by the line above)
from model_cards import measure as measuring  # noqa: E402
from model_cards.blotches import blotches  # noqa: E402
from model_cards.command import main  # noqa: E402
from model_cards.pages import Place, check, write  # noqa: E402
from model_cards.record import (  # noqa: E402
    FarDraws,
    Figure,
    Latent,
    Point,
    Protocol,
    Record,
)
from model_cards.whole import OfSet, Row, Whole  # noqa: E402

WORDS = """
does = "enlarges tiny pictures"
data = "tiny.zip"
pictures = 5
truths = "noise, ids 0-4"
tau = "it is the first that was tried"
fails = "All **faces**."
"""
PAGE = "# Page\n\n<!-- models: .ci/models write -->\n\n{}\n\n<!-- end of models -->\n\nMore.\n"

needs_lpips = pytest.mark.skipif(
    "CAFLOW_LPIPS_WEIGHTS" not in os.environ, reason="LPIPS's trunk is not here"
)


def test_cards_manifest_and_tables_agree_with_the_records():
    assert check(Place(ROOT)) == []


# --- a checkout with one small model --------------------------------------------------------------


def figures(**means: float) -> dict[str, Figure]:
    return {
        name.replace("kid_", "kid:"): Figure(mean, float(f"{mean / 10:.6g}"), 5)
        for name, mean in means.items()
    }


@pytest.fixture
def record(model_file) -> Record:
    """Of no model yet."""
    flow = caflow.load(str(model_file)).config.to_dict()["flow"]
    pairs = {"lpips": 0.2, "rmse": 12.0, "psnr": 25.0, "ssim": 0.8, "kid_alexnet": 1.5}
    single = figures(**{name: 1.125 * value for name, value in pairs.items()})
    return Record(
        id="tiny-x4",
        sha256="",
        bytes=1,
        version="0",
        task="superres",
        parameters=2_345_678,
        flow=flow,
        training={"steps": 9, "images": 1234, "optim": {"cond_weight": 0.01}},
        protocol=Protocol("tiny.zip", "test", 5, 32, "0.7", 10, "consensus", 0, 8, 2),
        baseline="bicubic",
        baseline_values=figures(lpips=0.4, rmse=14.5),
        likeliest=figures(**pairs),
        best=figures(lpips=0.19, rmse=11.75),
        first=single,
        all={**single, **figures(diversity=6.25, calibration=0.5)},
        own_coverage=0.6,
        central_50=Figure(0.25, 0.01, 5),
        bits_per_dim=Figure(3.25, 0.125, 5),
        noise_error=0.001,
        curve=[
            Point("0", figures(lpips=0.3, rmse=11), 0),
            Point("1", figures(lpips=0.1, rmse=17), 2),
        ],
        returned=5,
        far=[FarDraws(1.2, 4, 10, redrawn=3, lost=1, farthest=7.5, within_20=39, returned=38)],
        latents=[Latent("z_0^0", 0.01, 0.95, -0.02)],
        core_seconds=1.0,
    )


@pytest.fixture(scope="module")
def packed(model_file, tmp_path_factory) -> tuple[Path, Entry]:
    """The folder of the model and its manifest, and the entry of it."""
    folder = tmp_path_factory.mktemp("packed")
    return folder, pack(model_file, "tiny-x4", output=folder, data_terms="ours")


@pytest.fixture
def place(tmp_path, packed, record) -> Place:
    """A checkout with the model, its record and words, and pages that lack them."""
    place = Place(tmp_path)
    place.record("tiny-x4").parent.mkdir(parents=True)
    folder, entry = packed
    shutil.copytree(folder, place.card("tiny-x4").parent)
    (place.card("x").parent / "weights_manifest.json").rename(place.manifest)
    save(place, replace(record, sha256=entry.sha256))
    place.words("tiny-x4").write_text(WORDS, "utf-8")
    for name in ("README.md", "docs/models.md"):
        (tmp_path / name).write_text(PAGE.format("nothing yet"), "utf-8")
    return place


def save(place: Place, record: Record) -> None:
    place.record(record.id).write_text(record.to_json(), "utf-8")


def test_a_record_comes_back_from_its_file(place, record):
    path = place.record("tiny-x4")
    again = Record.read(path)
    assert replace(again, sha256="") == record
    assert again.to_json() == path.read_text("utf-8")
    path.write_text(path.read_text("utf-8").replace('"schema": 1', '"schema": 9'), "utf-8")
    with pytest.raises(CaflowError, match="another schema"):
        Record.read(path)


def test_what_write_wrote_check_accepts(place):
    assert check(place) != []
    names = ("weights_manifest.json", "README.md", "docs/models.md")
    wanted = {place.card("tiny-x4"), *(place.root / name for name in names)}
    assert set(write(place)) == wanted
    assert check(place) == []
    assert write(place) == []


def test_all_texts_have_the_same_figures(place, monkeypatch):
    table1 = replace(PROTOCOLS["table1"], model="tiny-x4")
    monkeypatch.setitem(PROTOCOLS, "table1", table1)
    write(place)
    card = place.card("tiny-x4").read_text("utf-8")
    assert card.startswith("# tiny-x4\n\nEnlarges tiny pictures.\n\n<!-- figures")
    for text in (
        "| | bicubic | likeliest of 10 | best by consensus | single draws |",
        "| RMSE, levels | 14.50 ± 1.45 | 12.00 ± 1.20 | 11.75 ± 1.18 | 13.50 ± 1.35 |",
        "| KID, AlexNet's features | | 1.50 ± 0.15 | | 1.69 ± 0.17 |",
        "The paper: RMSE 17.56, LPIPS 0.08.",
        "**Learned from**: ours.",
        "**Objective**: likelihood, and 0.01 × log p(y). AlexNet",
        "τ 0.7, the likeliest of 10; `--rank best` takes consensus. it is the first",
        "Diversity of the 10 draws: 6.25 ± 0.62 levels. 60 % of the truths",
        "central half of the 10 draws: 25 %; in the central 90 %: 50 %",
        "Bits/dim: 3.250 ± 0.125 (K = 8",
        "| 1 | 17.00 | 0.100 |",
        "all latents at one τ. At τ 1, 2 pictures are left out: a draw and its ten redraws ran "
        "away.\n",
        "| 1.2 | 4 × 10 | 4 (10 %) | 1 | 7.5 | 39 of 39 | 38 of 39 |",
        "| `z_0^0` | +0.010 | 0.950 | -0.020 |",
        "## What fails\n\nAll **faces**.\n",
        "2.3 million parameters",
    ):
        assert text in card, text
    metrics = load_manifest(place.manifest)["tiny-x4"].metrics
    assert metrics["likeliest of 10"]["rmse"] == 12.0
    assert metrics["single draws"]["kid:alexnet"] == 1.688
    assert metrics["bits_per_dim"]["value"] == 3.25
    row = (
        "RMSE 12.00, LPIPS 0.200 at τ 0.7 | bicubic: RMSE 14.50, LPIPS 0.400; the paper: RMSE 17.56"
    )
    for name, card_path in (
        ("README.md", "caflow_cli/assets/weights/tiny-x4.md"),
        ("docs/models.md", "../caflow_cli/assets/weights/tiny-x4.md"),
    ):
        page = (place.root / name).read_text("utf-8")
        assert f"| [`tiny-x4`]({card_path}) |" in page
        assert row in page
        assert page.endswith("<!-- end of models -->\n\nMore.\n")
    # A card for the Hub is of the manifest, so of the same record.
    place.manifest.rename(place.card("x").parent / "weights_manifest.json")
    pushed = prepare(str(place.weights("tiny-x4")), "user/tiny").card.text
    assert "- likeliest of 10: rmse 12, psnr 25" in pushed


def test_only_the_models_of_the_papers_tables_stand_beside_the_paper(place):
    write(place)
    pages = (place.card("tiny-x4"), place.root / "README.md", place.root / "docs" / "models.md")
    assert not any("paper" in page.read_text("utf-8") for page in pages)


def test_figures_of_whole_pictures_stand_in_the_card(place):
    digest = Record.read(place.record("tiny-x4")).sha256
    one = OfSet(
        "Set5", 5, [Row("bicubic", figures(psnr_y=28.43)), Row("model", figures(lpips=0.1))]
    )
    whole = Whole(digest, "sr4", []).with_set(
        OfSet("Urban", 2, [], failed=["img_67.png: 11 draws ran away"])
    )
    whole = whole.with_set(OfSet("Set5", 1, [])).with_set(one)
    place.whole("tiny-x4").write_text(whole.to_json(), "utf-8")
    assert Whole.read(place.whole("tiny-x4")) == whole
    write(place)
    card = place.card("tiny-x4").read_text("utf-8")
    assert "--protocol sr4" in card
    assert "Of Urban all but the published figures leave out img_67.png: 11 draws ran away." in card
    assert "| Set5, 5 | bicubic | | 28.43 |\n| | model | 0.100 | |" in card
    assert check(place) == []

    place.whole("tiny-x4").write_text(replace(whole, sha256="0" * 64).to_json(), "utf-8")
    assert any("is of another file" in line for line in check(place))
    place.whole("tiny-x4").rename(place.whole("other"))
    assert any("other.whole.json is of no bundled model" in line for line in check(place))


@needs_lpips
def test_whole_pictures_are_measured_at_zero_and_at_the_default(place, tmp_path, model_file):
    (tmp_path / "set").mkdir()
    for name in ("a", "b"):
        picture = np.random.default_rng(1).integers(0, 256, (40, 36, 3), np.uint8)
        write_png(tmp_path / "set" / f"{name}.png", picture)
    arguments = ["--protocol", "sr4", "--file", str(model_file), "--data", str(tmp_path / "set")]
    assert main(["whole", "tiny-x4", *arguments, "--limit", "1"], place.root) == 0
    (one,) = Whole.read(place.whole("tiny-x4")).sets
    assert (one.name, one.pictures, one.failed) == ("set", 1, [])
    assert [row.what for row in one.rows][:2] == ["bicubic", "model, τ 0, one draw"]
    assert len(one.rows) == 3
    assert one.rows[1].values["psnr_y"].count == 1

    damaged = tmp_path / "set" / "b.png"
    damaged.write_bytes(damaged.read_bytes()[:200])
    assert main(["whole", "tiny-x4", *arguments], place.root) == 0
    (one,) = Whole.read(place.whole("tiny-x4")).sets
    assert one.pictures == 1
    assert [failure.split(":")[0] for failure in one.failed] == ["b.png"]


@pytest.mark.parametrize(
    ("optim", "words", "text"),
    [
        ({}, "", "learned with the flows by likelihood. "),
        ({"guide_first": 0.9, "guide_lr_share": 0.1}, "", "learned alone first, by likelihood. "),
        (
            {"guide_first": 0.5, "guide_loss": "picture", "guide_lr_share": 0.0}
            | {"guide_perceptual": 2.0, "guide_perceptual_from": 0.4},
            "",
            "learned alone first, by L1, and by 2 × LPIPS with VGG16 as well after 40 % of that "
            "time, and was fixed then. ",
        ),
        (
            {"guide_first": 0.5, "guide_loss": "picture", "guide_perceptual": 2.0}
            | {"guide_perceptual_from": 0.5, "guide_lattice": 3.0},
            "",
            "learned alone first, by L1, and by 2 × LPIPS with VGG16 as well after 50 % of that "
            "time (and 3 × what repeats every four pixels). ",
        ),
        (
            {"guide_first": 0.5, "guide_loss": "picture", "guide_perceptual": 0.0},
            "",
            "learned alone first, by L1. ",
        ),
        ({}, 'guide = "learned in another run."', "learned in another run. "),
    ],
)
def test_a_card_says_what_the_guide_learned_from(place, optim, words, text):
    record = Record.read(place.record("tiny-x4"))
    flow = {**record.flow, "anchor": "enlarged", "guide": 64, "guide_net": "enlarge"}
    save(place, replace(record, flow=flow, training={"optim": optim}))
    place.words("tiny-x4").write_text(WORDS + words, "utf-8")
    write(place)
    card = place.card("tiny-x4").read_text("utf-8")
    assert f"**Objective**: likelihood alone, behind a guide that {text}AlexNet" in card
    assert "anchor `enlarged`; guide `enlarge`, 64 kernels" in card


def test_words_around_the_figures_stay(place):
    write(place)
    card = place.card("tiny-x4")
    card.write_text("# Mine\n\n" + card.read_text("utf-8") + "\n## Curve\n", "utf-8")
    assert check(place) == []
    card.write_text(card.read_text("utf-8").replace("± 1.20", "± 0.20"), "utf-8")
    assert check(place) == [
        "caflow_cli/assets/weights/tiny-x4.md differs from the records (.ci/models write)"
    ]
    assert write(place) == [card]
    text = card.read_text("utf-8")
    assert text.startswith("# Mine\n")
    assert text.endswith("\n## Curve\n")
    card.write_text("# tiny-x4\n\n12.00, by hand\n", "utf-8")
    assert "has no place for its figures" in check(place)[0]


@pytest.mark.parametrize("name", ["weights_manifest.json", "README.md", "docs/models.md"])
def test_a_figure_that_was_changed_by_hand_is_found(place, name):
    write(place)
    page = place.root / name
    text = page.read_text("utf-8")
    changed = text.replace("12.0", "11.9", 1)
    assert changed != text
    page.write_text(changed, "utf-8")
    assert check(place) == [f"{name} differs from the records (.ci/models write)"]


def test_a_record_is_of_the_bundled_file_and_of_all_pictures(place):
    write(place)
    record = Record.read(place.record("tiny-x4"))
    save(place, replace(record, sha256="0" * 64))
    assert "is of a file with sha256 000000000000…, its manifest entry has" in check(place)[0]
    save(place, replace(record, protocol=replace(record.protocol, pictures=3)))
    assert "the record of tiny-x4 is of 3 pictures, not 5" in check(place)[0]
    save(place, record)
    assert check(place) == []
    with place.weights("tiny-x4").open("ab") as file:
        file.write(b"\0")
    assert "its file has" in check(place)[0]


def test_a_bundled_model_without_a_record_is_named(place):
    place.record("tiny-x4").unlink()
    assert "tiny-x4 has no record" in check(place)[0]


def test_nothing_stays_of_models_that_have_left(place):
    write(place)
    left = place.words("gone")
    left.write_text(WORDS, "utf-8")
    assert "docs/models/gone.toml is of no bundled model" in check(place)[0]
    left.unlink()
    assert check(place) == []


def test_no_card_is_silent_about_what_fails(place):
    words = place.words("tiny-x4")
    words.write_text(WORDS.replace("All **faces**.", ""), "utf-8")
    assert "says nothing of 'fails'" in check(place)[0]
    words.unlink()
    assert "no words for the card" in check(place)[0]


# --- measuring ------------------------------------------------------------------------------------


def test_latents_are_named_in_the_order_of_encode(models_32):
    names = ["z_2^2", "z_1^2", "z_0^2", "z_1^1", "z_0^1", "z_0^0"]
    assert measuring.latent_names(FlowConfig()) == names
    assert len(models_32["superres"].latent_shapes((32, 32))) == len(names)
    glow = FlowConfig(conditional="dual-glow")
    assert measuring.latent_names(glow) == ["z_2^2", "z_1^1", "z_0^0"]


def test_moments_of_a_chain_are_its_own():
    """x_{t+1} = ρ x_t + sqrt(1 - ρ²) ε has variance 1 and correlation ρ along rows alone."""
    rho, gen = 0.6, torch.Generator().manual_seed(1)
    noise = torch.randn(40, 3, 32, 64, generator=gen, dtype=torch.float64)
    x = [noise[..., 0]]
    for t in range(1, 64):
        x.append(rho * x[-1] + math.sqrt(1 - rho**2) * noise[..., t])
    along = torch.stack(x, -1)
    assert measuring.moments(2 * along + 3) == pytest.approx((3, 4, rho), abs=0.05)
    assert measuring.moments(along.mT.contiguous())[2] == pytest.approx(0, abs=0.01)


def test_blotches_are_chroma_that_varies_where_the_truth_is_even():
    rng = np.random.default_rng(0)
    wall = np.full((64, 64, 3), 128.0)
    # Two colours of luminance 0 by BT.601, so that the ground stays even.
    tints = np.array([[1, -0.299 / 0.587, 0], [0, -0.114 / 0.587, 1]])
    tint = rng.normal(0, 4, (64, 64, 2)) @ tints
    truth, twice = (np.rint(wall + k * tint).clip(0, 255).astype(np.uint8) for k in (1, 2))
    assert blotches([(truth, truth)]) == 1
    assert blotches([(twice, truth)]) == pytest.approx(4, rel=0.05)
    edges = truth.copy()
    edges[::2] = 0  # nothing is even there, whatever colours are
    assert blotches([(twice, truth), (255 - edges, edges)]) == blotches([(twice, truth)])
    assert blotches([(truth, edges)]) is None
    grey = np.full((64, 64, 3), 90, np.uint8)
    assert blotches([(grey, truth)]) == pytest.approx(0, abs=1e-9)
    assert blotches([(truth, grey)]) is None


def test_distances_are_in_deviations_from_the_median():
    # Deviations from 3 are 2, 1, 0, 1, 97: their median is 1.
    found = far.distances_in_deviations([1, 2, 3, 4, 100])
    assert found == pytest.approx([x / 1.4826 for x in (2, 1, 0, 1, 97)])
    assert far.distances_in_deviations([5.0, 5.0, 5.0]) == [0, 0, 0]
    assert far.distances_in_deviations([]) == []


@pytest.mark.parametrize("task", ["superres", "inpaint"])
def test_draws_of_a_high_temperature_are_those_of_restore(
    models_32, true_pictures, monkeypatch, task
):
    """What runs away is drawn again together: the same pictures, but for rounding."""
    model = models_32[task]
    plan = measuring.Plan(true_pictures, pictures=1, draws=5)
    (problem,) = measuring.problems_of(model, plan)

    def away(points):
        return (points.mean((1, 2, 3)) * 300).long() % 3 > 0  # about two of three

    def cells(_model, _condition, points, _logdet):
        rows, columns = (side // model.config.flow.multiple for side in points.shape[-2:])
        return away(points)[:, None, None].expand(-1, rows, columns)

    monkeypatch.setattr("caflow_cli.inference.redraw.runaway_cells", cells)
    found = far.single_draws(model, problem, 1.0, 0, 5)
    kept = caflow.restore(
        model, problem.input, tau=1.0, candidates=5, keep=5, mask=problem.mask, rank="none"
    ).kept
    assert [one.redraws for one in found] == [c.redraws for c in kept]
    assert any(one.redraws for one in found)
    for one, candidate in zip(found, kept, strict=True):
        assert np.abs(one.image.astype(int) - candidate.image).max() <= 1
        assert one.log_prob == pytest.approx(candidate.score.rank_score, rel=0.02)


def test_a_draw_that_cannot_be_had_takes_no_other_along(models_32, true_pictures, monkeypatch):
    model = models_32["superres"]
    plan = measuring.Plan(true_pictures, pictures=2, draws=4)
    problems = list(measuring.problems_of(model, plan))
    assert [p.name for p in problems] == ["p0.png", "p1.png"]
    brightest: list[float] = []

    def cells(_model, _condition, points, _logdet):
        means = points.mean((1, 2, 3))
        if not brightest:
            brightest.append(float(means.max()))
        lost = means >= brightest[0] - 1e-4  # the first picture's brightest draw, and brighter ones
        rows, columns = (side // model.config.flow.multiple for side in points.shape[-2:])
        return lost[:, None, None].expand(-1, rows, columns)

    monkeypatch.setattr(far, "REDRAWS", 0)
    monkeypatch.setattr("caflow_cli.inference.redraw.runaway_cells", cells)
    one = far.far_draws(model, problems[:1], plan.draws, plan.seed)[0]
    assert (one.conditions, one.draws, one.lost) == (1, 4, 1)
    assert one.returned == 3
    both = far.far_draws(model, problems, plan.draws, plan.seed)[0]
    assert both.lost >= 1
    assert both.within_20 + both.lost == 8


def test_far_draws_are_measured_anew_in_a_record(place, tmp_path, capsys):
    data = tmp_path / "data"
    (data / "test").mkdir(parents=True)
    write_png(data / "test" / "p.png", np.full((64, 64, 3), 128, np.uint8))
    before = Record.read(place.record("tiny-x4"))
    arguments = ["far", "tiny-x4", "--data", str(data)]
    assert main([*arguments, "--conditions", "1", "--draws", "2"], place.root) == 0
    after = Record.read(place.record("tiny-x4"))
    assert [(f.tau, f.conditions, f.draws) for f in after.far] == [(1.0, 1, 2), (1.2, 1, 2)]
    assert replace(after, far=before.far) == before
    save(place, replace(before, sha256="0" * 64))
    assert main(arguments, place.root) == 1
    assert ".ci/models measure tiny-x4" in capsys.readouterr().err


def test_a_picture_that_fails_at_one_temperature_is_left_out_there(models_32, true_pictures):
    fails = ["p1.png"]

    def evaluate(_name, _metrics, *, tau, candidates, keep):
        result = caflow.evaluate(
            models_32["superres"], true_pictures, "rmse", tau=tau, candidates=candidates, keep=keep
        )
        if tau == 1.2:
            raise CaflowError("no picture could be measured", "a lower --tau")
        result.failed += [(name, CaflowError("it runs away", "")) for name in fails if tau == 1]
        return result

    plan = measuring.Plan(true_pictures, pictures=5, curve_draws=1)
    points = [measuring._point(evaluate, tau, plan) for tau in (0.5, 1.0, 1.2)]
    assert [(point.tau, point.failed) for point in points] == [("0.5", 0), ("1", 1), ("1.2", 5)]
    assert [sorted(point.values) for point in points] == [["rmse"], ["rmse"], []]


@needs_lpips
@pytest.mark.parametrize(
    ("task", "rule"),
    [("superres", "consensus"), ("inpaint", "likelihood"), ("colorize", "consensus")],
)
def test_a_measurement_is_what_the_package_says(
    models_32, true_pictures, tmp_path, monkeypatch, capsys, task, rule
):
    model, path = copy.copy(models_32[task]), tmp_path / "x.safetensors"
    own = replace(model.config.task, candidates=4, tau=(0.9, 0.7, 0.5), rank=rule)
    model.config = replace(model.config, task=own)
    model.save(path, {"images": 3, "domain": {"pictures": 1}})
    (tmp_path / "docs" / "models").mkdir(parents=True)
    arguments = f"measure x --file {path} --data {true_pictures} --pictures 4"
    small = "--conditions 1 --draws 3 --noise-samples 2 --curve-draws 1"
    monkeypatch.setattr(measuring, "TAUS", (0.0, 0.8))
    assert main([*arguments.split(), *small.split()], tmp_path) == 0
    assert "4 of 4" in capsys.readouterr().err
    record = Record.read(tmp_path / "docs" / "models" / "x.json")
    assert record.training == {"images": 3}
    assert (record.protocol.tau, record.protocol.candidates) == ("0.9/0.7/0.5", 4)

    settings = {"limit": 4, "weights": Weights(extractor="alexnet"), "rank": ("likelihood", "best")}
    assert [point.failed for point in record.curve] == [0, 0]
    model = caflow.load(str(path))
    found = caflow.evaluate(model, true_pictures, ["rmse", "coverage", "diversity"], **settings)
    base, kept, *others = found.results

    def same(ours, theirs, names=("rmse", "coverage:alexnet")):
        for name in names:
            assert ours[name].mean == pytest.approx(theirs[name].mean, rel=1e-4), name
            ours_error, error = ours[name].standard_error, theirs[name].standard_error
            assert ours_error == (None if error is None else pytest.approx(error, rel=1e-3)), name

    assert record.baseline == base.what
    same(record.baseline_values, base.values)
    same(record.likeliest, kept.values)
    same(record.all, others[0].values, ["rmse"])
    same(record.all, kept.values, ["diversity"])
    assert bool(record.best) == (rule != "likelihood")
    if record.best:
        same(record.best, next(r for r in others if r.what == "model").values)
    bits = caflow.evaluate(model, true_pictures, ["bpd"], noise_samples=2, limit=4).results
    same({"bpd": record.bits_per_dim}, bits[-1].values, ["bpd"])
    assert record.noise_error == pytest.approx(bits[-1].extra["noise_standard_error"], rel=1e-4)
    ten = caflow.evaluate(model, true_pictures, ["coverage"], keep=4, **settings).results[1]
    assert record.own_coverage == pytest.approx(ten.extra["coverage:alexnet_own"])

    one = caflow.evaluate(model, true_pictures, ["rmse"], tau=0.8, candidates=1, limit=4)
    assert [point.tau for point in record.curve] == ["0", "0.8"]
    same(record.curve[1].values, one.results[1].values, ["rmse"])
    assert record.returned == 4
    assert [(far.tau, far.conditions, far.draws) for far in record.far] == [(1, 1, 3), (1.2, 1, 3)]
    assert len(record.latents) == 6
    assert ("seam" in record.likeliest) == (task == "inpaint")
    assert (record.blotches is not None) == (task == "colorize")
