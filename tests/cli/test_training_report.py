"""What `train` says at the end of a run."""

import dataclasses

import pytest

from caflow_cli.cli.training_report import table, trend, verdict
from caflow_cli.config import Temperature
from caflow_cli.evaluation import ChosenTemperature


def chosen(rmse=10.0, lpips=0.2, baseline=(12.0, 0.4)) -> ChosenTemperature:
    return ChosenTemperature(Temperature.of(0.5), 20, rmse, lpips, "bicubic", *baseline)


def validations(values, key="val_bits_per_dim"):
    return [{"event": "validation", key: value} for value in values]


@pytest.mark.parametrize(
    ("choice", "sentence"),
    [
        (chosen(), "single samples are closer to the truth than bicubic by RMSE, LPIPS; "),
        (chosen(rmse=13.0), "closer to the truth than bicubic by LPIPS, but not by RMSE; "),
        (chosen(rmse=13.0, lpips=0.5), "single samples are farther from the truth than bicubic; "),
        (chosen(lpips=None, baseline=(12.0, None)), "than bicubic by RMSE; "),
        (chosen(rmse=None), "samples diverge at τ 0.5: train longer"),
        (chosen(baseline=(None, None)), "too few validations"),
    ],
)
def test_one_sentence_says_whether_the_model_is_better_than_its_baseline(choice, sentence):
    assert sentence in verdict(choice, [])


@pytest.mark.parametrize(("share", "named"), [(None, False), (0.02, False), (0.31, True)])
def test_a_grid_in_samples_is_named(share, named):
    choice = dataclasses.replace(chosen(), checkerboard=share)
    words = "they have a grid: 31% of their fine detail repeats every 4 pixels (checkerboard); "
    assert (words in verdict(choice, [])) is named


@pytest.mark.parametrize(
    ("start", "words"),
    [
        (
            chosen(9.0, 0.1),
            "LPIPS, and farther than those of the start by RMSE, LPIPS; ",
        ),
        (
            chosen(11.0, 0.1),
            "LPIPS, and farther than those of the start by LPIPS; ",
        ),
        (chosen(11.0, 0.3), "bicubic by RMSE, LPIPS; "),
        (chosen(rmse=None), "bicubic by RMSE, LPIPS; "),
    ],
)
def test_it_says_if_the_model_is_worse_than_its_start(start, words):
    assert words in verdict(chosen(), [], start)


@pytest.mark.parametrize(
    ("events", "text"),
    [
        (validations([4.0]), "too few validations"),
        (validations([4.0, 3.5]), "still learning by bits/dim: 1 minute more, "),
        (
            validations([4.0, 3.6, 3.5, 3.4, 3.3, 3.2]),
            "still learning by bits/dim",
        ),
        (validations([4.0, 3.6, 3.3, 3.2, 3.2, 3.199]), "no longer improved in the last third"),
        (validations([4.0, 3.3, 3.2, 3.2, 3.3, 3.5]), "got worse at the end"),
        (validations([20, 24, 26, 28], "val_psnr"), "still learning by PSNR"),
        (validations([20, 24, 28, 28.02], "val_psnr"), "no longer improved"),
        (
            [
                *validations([4.0, 3.9, 3.8]),
                {"event": "end", "val_bits_per_dim": 9.0, "elapsed_s": 170.0},
            ],
            "still learning by bits/dim: 3 minutes more, --resume --minutes 6",
        ),
    ],
)
def test_it_says_whether_the_model_still_learned(events, text):
    assert text in trend(events)


def test_the_table_has_the_model_its_start_and_the_baseline():
    lines = table(chosen(), 3.25, ("old.safetensors", chosen(11.0, 0.3), 3.5))
    assert lines[0] == "validation images (20), one sample each:"
    assert [line.split() for line in lines[1:]] == [
        ["τ", "RMSE", "LPIPS", "bits/dim"],
        ["the", "model", "0.5", "10.00", "0.200", "3.2500"],
        ["start:", "old.safetensors", "0.5", "11.00", "0.300", "3.5000"],
        ["bicubic", "12.00", "0.400", "-"],
    ]
    assert len({line.index(".") for line in lines[2:4]}) == 2  # names differ in length
