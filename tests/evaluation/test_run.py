"""A model on data: its figures, files, and what is left out or refused."""

import copy
import json
import shutil
from dataclasses import replace

import helpers
import numpy as np
import pytest
import torch
from evaluation.random_features import LABEL, QUICK

from caflow_cli.data.examples import open_split
from caflow_cli.errors import CaflowError
from caflow_cli.evaluation import Weights, evaluate
from caflow_cli.images import read_image, write_png
from caflow_cli.model import CAFlow
from caflow_cli.restoration import restore, score as score_pair, task_of

EVERYTHING = ("rmse", "psnr", "ssim", "bpd", "diversity", "consistency", "calibration")
EVERYTHING += ("crps", "rank")


def by_what(evaluation, what="model"):
    return [result for result in evaluation.results if result.what == what]


def truths(data):
    with open_split(data, "test", 32) as source:
        return [source.read(r)[0] for r in range(len(source.names))]


def rmse(image, truth):
    return np.sqrt(np.mean((image.astype(float) - truth) ** 2))


def assert_mean(estimate, values, **tolerance):
    assert estimate.mean == pytest.approx(np.mean(values), **tolerance)
    error = np.std(values, ddof=1) / len(values) ** 0.5
    assert estimate.standard_error == pytest.approx(error, **tolerance)


def test_the_figures_are_those_of_restore_one_by_one(models_32, true_images, tmp_path):
    """Of several batches of candidates, and of seeds beyond 32 bits."""
    model, saved, rules = models_32["superres"], tmp_path, ("likelihood", "consensus", "none")
    settings = {"tau": "0.9/0.7/0.5", "candidates": 4, "seed": 2**32 - 5, "batch_size": 3}
    settings |= {"rank": rules, "save_images": saved}
    found = evaluate(model, true_images, ("rmse", "bpd"), **settings)
    assert (found.images, found.settings["data"]["split"]) == (5, "test")
    assert found.settings["data"]["split_seed"] is None
    task, all_errors, bicubic, bits = task_of(model), [], [], []
    errors = {rule: [] for rule in rules}
    for r, truth in enumerate(truths(true_images)):
        given = task.degrade(truth)
        for rule, chosen in errors.items():
            seed = (2**32 - 5 + 1_000_003 * r) % 2**32
            ranked = restore(model, given, (0.9, 0.7, 0.5), 4, seed=seed, rank=rule).ranked
            chosen.append(rmse(ranked[0].image, truth))
        all_errors.append(np.mean([rmse(candidate.image, truth) for candidate in ranked]))
        bicubic.append(rmse(task.condition(given), truth))
        bits.append(score_pair(model, given, truth).bits_per_dim)
    assert len({tuple(np.round(values, 3)) for values in errors.values()}) == 3
    for row in by_what(found):
        rule = row.cell.rank
        assert_mean(row.values["rmse"], errors[rule], abs=0.02)
        for to, values in (("bicubic", bicubic), ("likeliest", errors["likelihood"])):
            if to in row.differences:
                apart = np.subtract(errors[rule], values)
                assert_mean(row.differences[to]["rmse"], apart, abs=0.02)
        assert ("likeliest" in row.differences) is (rule != "likelihood")
        assert (row.as_json()["rank"], row.as_json()["tau"]) == (rule, [0.9, 0.7, 0.5])
        assert len(list((saved / f"tau0.9-0.7-0.5_m4_n1_{rule}").rglob("*.png"))) == 5
    assert_mean(by_what(found, "all candidates")[0].values["rmse"], all_errors, abs=0.02)
    assert_mean(by_what(found, "bicubic")[0].values["rmse"], bicubic)
    assert_mean(by_what(found, "truth")[0].values["bpd"], bits, abs=1e-5)


@pytest.mark.parametrize("task", ["colorize", "inpaint", "paired"])
def test_every_task_has_its_metrics_and_baseline(models_32, true_images, tmp_path, task):
    data = true_images
    if task == "paired":
        data = tmp_path / "pairs"
        for side in ("A", "B"):
            shutil.copytree(true_images / "test", data / "test" / side)
    found = evaluate(models_32[task], data, EVERYTHING, candidates=3, tau=0.5)
    (ours,) = by_what(found)
    baselines = {"colorize": "gray copy", "inpaint": "mean fill", "paired": "mismatched target"}
    assert found.results[0].what == baselines[task]
    wanted = set(EVERYTHING) - {"bpd"} - ({"consistency"} if task == "paired" else set())
    assert ours.values.keys() == wanted
    if task != "paired":
        # Color keeps the luminance within a level, a filled hole all known pixels.
        assert ours.values["consistency"].mean <= (1 if task == "colorize" else 0)
    assert sum(ours.extra["rank_histogram"]) == pytest.approx(1)
    json.dumps(found.as_json(), allow_nan=False)


def test_a_native_model_is_measured_on_whole_pairs_of_one_size(models_32, tmp_path):
    model = copy.copy(models_32["paired"])
    model.config = replace(model.config, task=replace(model.config.task, native=True))
    conditions, targets = [(40, 52), (33, 64), (32, 64)], [(40, 52), (33, 64), (16, 32)]
    for side, sizes in (("A", conditions), ("B", targets)):
        (tmp_path / "pairs" / side).mkdir(parents=True)
        for index, size in enumerate(sizes):
            image = helpers.smooth_image(1, 3, size, seed=index)[0].permute(1, 2, 0).numpy()
            write_png(tmp_path / "pairs" / side / f"{index}.png", image)
    saved = tmp_path / "out"
    found = evaluate(model, tmp_path / "pairs", ("rmse",), candidates=1, save_images=saved)
    assert by_what(found)[0].values["rmse"].count == 2
    drawn = [read_image(file).shape[:2] for file in sorted(saved.glob("[0-9].png"))]
    assert drawn == targets[:2]
    [(name, error)] = found.failed.items()
    assert error.message == f"the images of the pair {name!r} are 64x32 and 32x16"
    assert found.settings["data"]["size"] is None


def test_a_damaged_image_is_left_out_by_name(models_32, true_images, tmp_path):
    data = tmp_path / "data"
    shutil.copytree(true_images / "test", data)
    (data / "p2.png").write_bytes(b"no image")
    write_png(data / "p3.png", np.zeros((16, 16, 3), np.uint8))  # smaller than the model's
    found = evaluate(models_32["superres"], data, ("rmse", "bpd"), candidates=2)
    assert found.images == 3
    assert list(found.failed) == ["p2.png", "p3.png"]
    assert found.settings["data"]["split"] == "all"
    # The others are what they are without it: seeds go by place.
    whole = evaluate(models_32["superres"], true_images, "rmse", candidates=2, limit=2)
    two = evaluate(models_32["superres"], data, "rmse", candidates=2, limit=2)
    assert by_what(two)[0].values == by_what(whole)[0].values
    only = tmp_path / "only"
    only.mkdir()
    (only / "x.png").write_bytes(b"no image")
    with pytest.raises(CaflowError, match=r"nothing could be measured: .*x\.png"):
        evaluate(models_32["superres"], only, "rmse", candidates=2)


def test_one_image_without_a_finite_score_does_not_take_its_batch_along(models_32, true_images):
    second = torch.from_numpy(truths(true_images)[1]).permute(2, 0, 1)

    class Failing(CAFlow):
        def log_prob_samples(self, target, *rest):
            found = super().log_prob_samples(target, *rest)
            bad = (target == second).flatten(1).all(1)
            return torch.where(bad[:, None], torch.nan, found)

    model = copy.copy(models_32["superres"])
    model.__class__ = Failing
    found = evaluate(model, true_images, "bpd")
    assert list(found.failed) == ["p1.png"]
    assert found.images == 4


def test_a_diverged_sample_is_the_guides_prediction_and_counted(true_images, tmp_path):
    model = helpers.guided_model()
    settings = {"candidates": 3, "keep": 3, "tau": 1, "weights": QUICK, "limit": 3}
    metrics = ("rmse", "diversity", "calibration", "likelihood", "coverage")
    whole = evaluate(model, true_images, metrics, save_images=tmp_path / "whole", **settings)
    line = (tmp_path / "whole" / "evaluate.jsonl").read_text().splitlines()[2]
    [draws] = json.loads(line)["draws"]
    ranked = sorted(draws["candidates"], key=lambda one: -one["log_likelihood"])
    place = [one["k"] for one in ranked].index(1)
    second = read_image(tmp_path / "whole" / f"p1_{place + 1:02}.png")
    pixels = torch.from_numpy(second).permute(2, 0, 1)

    class Failing(CAFlow):
        def log_prob_samples(self, target, *rest):
            terms = super().log_prob_samples(target, *rest)
            bad = (target == pixels).flatten(1).all(1)
            return torch.where(bad, torch.nan, terms)

    model.__class__ = Failing
    found = evaluate(model, true_images, metrics, save_images=tmp_path / "part", **settings)
    assert (found.images, found.failed) == (3, {})
    assert [path.name for path in sorted((tmp_path / "part").glob("p1*"))] == [
        "p1_01.png",
        "p1_02.png",
        "p1_03.png",
    ]
    note = (
        "at tau 1: 0 redraws in 9 windows (0 per 1,000), 1 of them the guide's prediction; "
        "calibration, rank and likelihood skip images with these"
    )
    assert note in found.notes
    [before], [after] = by_what(whole), by_what(found)
    counts = {"windows": 9, "redraws": 0, "predicted": 1, "redraws_per_1000": 0}
    assert counts.items() <= after.extra.items()
    assert before.extra["predicted"] == 0
    line = (tmp_path / "part" / "evaluate.jsonl").read_text().splitlines()[2]
    [changed] = json.loads(line)["draws"]
    assert (changed["windows"], changed["predicted"]) == (3, 1)
    assert changed["candidates"][1]["rank_score"] is None
    lost = changed["candidates"][1]["rmse"] - draws["candidates"][1]["rmse"]
    assert abs(lost) > 1e-3
    change = after.values["rmse"].mean - before.values["rmse"].mean
    assert change == pytest.approx(lost / 9)
    for name, count in (("rmse", 3), ("diversity", 3), ("calibration", 2), ("likelihood", 2)):
        assert after.values[name].count == count
    assert after.values[f"coverage:{LABEL}"].count == 9
    again = evaluate(
        model, true_images, metrics, save_images=tmp_path / "part", **settings, skip_existing=True
    )
    assert again.as_json() == found.as_json()


def test_where_all_samples_diverged_only_the_baseline_is_measured(models_32, true_images):
    class Failing(CAFlow):
        def log_prob_samples(self, target, *rest):
            return torch.full_like(super().log_prob_samples(target, *rest), torch.nan)

    model = copy.copy(models_32["superres"])
    model.__class__ = Failing
    found = evaluate(model, true_images, "rmse", candidates=2, limit=3)
    assert (found.images, found.failed) == (3, {})
    assert [result.what for result in found.results] == ["bicubic"]
    assert "at tau 0.5: 3 images diverged, and no guide predicts them" in found.notes


def test_wrong_data_is_refused_before_anything_is_written(models_32, true_images, tmp_path):
    empty, model = tmp_path / "empty", models_32["superres"]
    empty.mkdir()
    twice = tmp_path / "twice"
    twice.mkdir()
    for name in ("a.png", "a.webp"):
        (twice / name).write_bytes(b"")
    out = tmp_path / "out"
    for data, options, message in (
        (empty, {}, "no images in"),
        (tmp_path / "none", {}, "no data at"),
        (twice, {}, "2 images would be saved as 'a.png'"),
        (true_images, {"metrics": "fid", "limit": 1}, "needs two images"),
        (true_images, {"split": "val"}, "to split into train and val"),
    ):
        with pytest.raises(CaflowError, match=message):
            evaluate(model, data, **{"metrics": "rmse", "save_images": out, **options})
    assert not out.exists()


def test_an_unknown_keyword_is_answered_with_the_nearest_one(models_32, true_images):
    with pytest.raises(CaflowError, match="unknown keyword 'taus'") as caught:
        evaluate(models_32["superres"], true_images, "rmse", taus=(0, 1))
    assert caught.value.hint == "did you mean 'tau'?"


def test_a_metric_without_its_network_leaves_the_others(models_32, true_images, tmp_path):
    gone, shared = Weights(lpips=tmp_path / "gone.safetensors"), {"candidates": 1, "limit": 2}
    found = evaluate(models_32["superres"], true_images, "lpips,rmse", weights=gone, **shared)
    assert found.metrics == ["rmse"]
    assert found.missing["lpips"].exit_code == 3
    assert "gone.safetensors" in found.missing["lpips"].message
    record = found.as_json()
    assert (record["status"], record["missing"]["lpips"]["code"]) == ("error", 3)
    with pytest.raises(CaflowError, match=r"gone\.safetensors"):
        evaluate(models_32["superres"], true_images, "lpips", weights=gone, **shared)


def test_what_is_held_out_is_what_the_models_training_held_out(models_32, tmp_path):
    model, data = copy.copy(models_32["superres"]), tmp_path / "data"
    data.mkdir()
    images = helpers.smooth_image(60, 3, 32, seed=9).permute(0, 2, 3, 1).numpy()
    for index, image in enumerate(images):
        write_png(data / f"{index:02}.png", image)
    model.record = {"seed": 1, "hold_out": "2%"}
    shared = {"split": "val", "candidates": 1, "save_images": tmp_path / "out"}
    found = evaluate(model, data, "rmse", **shared)
    assert found.settings["data"]["split_seed"] == 1
    measured = [file.name for file in (tmp_path / "out").glob("[0-9]*.png")]
    assert measured == helpers.split_of(data, "val", 32, seed=1)[0]
    assert not set(measured) & set(helpers.split_of(data, "train", 32, seed=1)[0])
    model.record = {"seed": 0, "hold_out": "2%"}
    with pytest.raises(CaflowError, match="to another run: split_seed differ"):
        evaluate(model, data, "rmse", **shared, skip_existing=True)
    model.record = {"seed": 1}
    with pytest.raises(CaflowError, match="does not state how images were held out"):
        evaluate(model, data, "rmse", split="val", candidates=1)


def test_a_run_with_other_settings_is_another_run(models_32, true_images, tmp_path):
    shared = {"candidates": 1, "save_images": tmp_path / "out"}
    evaluate(models_32["superres"], true_images, "rmse", **shared, consistent=True)
    with pytest.raises(CaflowError, match="to another run: consistent differ"):
        evaluate(models_32["superres"], true_images, "rmse", **shared, skip_existing=True)


def test_names_of_pairs_may_have_dots(models_32, tmp_path):
    for side in ("A", "B"):
        (tmp_path / "pairs" / side).mkdir(parents=True)
        for number in (1, 2):
            write_png(tmp_path / "pairs" / side / f"shot.{number}.png", helpers.noise(32, 32))
    saved = tmp_path / "out"
    model = models_32["paired"]
    evaluate(model, tmp_path / "pairs", "rmse", candidates=1, save_images=saved)
    assert {path.name for path in saved.glob("shot*")} == {"shot.1.png", "shot.2.png"}


def test_an_interrupted_run_goes_on_to_the_same_end(models_32, true_images, tmp_path):
    def run(folder, **options):
        return evaluate(
            models_32["superres"],
            true_images,
            ("rmse", "likelihood"),
            candidates=2,
            batch_size=2,
            save_images=tmp_path / folder,
            **options,
        )

    def stop(done, total):
        if done == 3:
            raise KeyboardInterrupt

    whole = run("whole")
    with pytest.raises(KeyboardInterrupt):
        run("broken", progress=stop)
    log = tmp_path / "broken" / "evaluate.jsonl"
    assert len(log.read_text().splitlines()) == 1 + 3
    with log.open("a") as file:
        file.write('{"index": 3, "na')  # a write that the break cut short
    with pytest.raises(CaflowError, match=r"exists") as caught:
        run("broken")
    assert "--skip-existing" in caught.value.hint
    told = []
    resumed = run("broken", skip_existing=True, progress=lambda done, total: told.append(done))
    assert told == [3, 4, 5]
    assert resumed.as_json() == whole.as_json()
    files = [
        {str(p.relative_to(tmp_path / name)) for p in (tmp_path / name).rglob("*")}
        for name in ("whole", "broken")
    ]
    assert files[0] == files[1]
    assert log.read_text() == (tmp_path / "whole" / "evaluate.jsonl").read_text()
    (tmp_path / "broken" / "p0.png").unlink()  # the sheet goes without it
    assert run("broken", skip_existing=True).as_json() == whole.as_json()
    with pytest.raises(CaflowError, match="to another run: seed differ"):
        run("broken", skip_existing=True, seed=1)
    log.write_text("{")
    with pytest.raises(CaflowError, match="to another run"):
        run("broken", skip_existing=True)


def test_resuming_with_a_metric_of_sets_writes_no_row_twice(models_32, true_images, tmp_path):
    model, shared = models_32["superres"], {"candidates": 1, "weights": QUICK}
    folder = tmp_path / "out"
    whole = evaluate(model, true_images, "kid", save_images=folder, limit=3, **shared)
    log = folder / "evaluate.jsonl"
    text = log.read_text()
    assert len(text.splitlines()) == 1 + 3
    log.write_text("".join(text.splitlines(True)[:3]))  # it ended before the last row
    shared |= {"save_images": folder, "skip_existing": True, "limit": 3}
    for _ in range(2):
        resumed = evaluate(model, true_images, "kid", **shared)
        assert resumed.as_json() == whole.as_json()
        assert log.read_text() == text
