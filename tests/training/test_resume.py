"""What may change in a run that goes on, and what may not."""

from __future__ import annotations

from pathlib import Path

import pytest

from caflow_cli.errors import CaflowError
from caflow_cli.training.config import to_toml
from caflow_cli.training.resume import check_unchanged
from caflow_cli.training.settings import apply_settings

FLOW = {"scales": 1, "r_steps": 1, "t_steps": 1, "f_steps": 1, "hidden": 8, "f_hidden": 8}
GUIDED = ["optim.guide_first=0.4", "optim.guide_loss=picture", "samples.share=0.2"]


@pytest.fixture
def run(tmp_path: Path):
    """The config of a run that began in a folder, with other settings on top."""

    def changed(*settings: str):
        values = {
            "data": "photos",
            "out": str(tmp_path),
            "flow": {**FLOW, "guide": 4},
            "task": {"size": 16},
            "optim": {"images": 80, "lr": 1.7e-3},
        }
        return apply_settings(values, [*GUIDED, *settings])

    (tmp_path / "config.toml").write_text(to_toml(changed()))
    return changed


@pytest.mark.parametrize(
    "settings",
    [
        [],
        ["optim.images=160", "optim.lr=1e-4", "save_every=7", "device=cuda", "grid_every=2"],
        ["optim.images=null", "optim.minutes=3"],
        ["optim.guide_first=0.2", "optim.guide_perceptual_from=0.7", "samples.share=0.1"],
        ["optim.guide_perceptual=1", "samples.perceptual=0", "optim.guide_lr_share=0"],
        ["task.tau=[0.9]", "task.candidates=3", "task.rank=consensus"],
    ],
)
def test_budget_rates_and_weights_may_change(run, settings):
    check_unchanged(run(*settings))


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ("seed=1", "seed is 1, and the run in '.*' began with 0"),
        ("crop=random", "crop is 'random', and the run in '.*' began with 'whole'"),
        ("flip=false", "flip is False, .* with True"),
        ("zoom=0.1", "zoom is 0.1, .* with 0.0"),
        ("optim.method=adam", "optim.method is 'adam', .* with 'muon'"),
        ("task.factor=2", "task.factor is 2, .* with 4"),
        ("flow.t_steps=2", "flow.t_steps is 2, .* with 1"),
        ("optim.guide_loss=likelihood", r"would be the guide alone \(bits/dim\), all, all with"),
        ("optim.guide_perceptual=0", r"would be the guide alone \(L1\), all, all with draws, and"),
        ("optim.guide_first=0", r"would be the guide alone \(L1\), all, all with draws, and"),
        ("samples.share=0", r"\(L1 and LPIPS\), all, and they are .*, all, all with draws"),
    ],
)
def test_what_makes_another_run_of_it_is_refused(run, setting, said):
    with pytest.raises(CaflowError, match=said) as caught:
        check_unchanged(run(setting))
    assert caught.value.exit_code == 2
    assert "budget, rates" in caught.value.hint
    assert "--init-from" in caught.value.hint


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ("crop_native=0.5", "crop_native is 0.5, .* with 0.67"),
        ("crop_shrink=2", r"crop_shrink is 2\.0, .* with 4\.0"),
        ("mask_share=0.1", "mask_share is 0.1, .* with 0.5"),
        ("masks=null", "masks is None, .* with 'folder'"),
    ],
)
def test_shares_of_crops_and_masks_stay_where_there_are_any(run, tmp_path, setting, said):
    check_unchanged(run(*(() if setting == "masks=null" else (setting,))))
    holes = ["task.name=inpaint", "flow.cond_channels=4", "crop=random", "masks=folder"]
    (tmp_path / "config.toml").write_text(to_toml(run(*holes)))
    check_unchanged(run(*holes, "masks=another"))
    with pytest.raises(CaflowError, match=said):
        check_unchanged(run(*holes, setting))


def test_a_run_of_the_version_before_goes_on_by_adam(run, tmp_path):
    path = tmp_path / "config.toml"
    path.write_text(path.read_text().replace('method = "muon"\n', ""))
    check_unchanged(run("optim.method=adam"))
    with pytest.raises(CaflowError, match=r"optim.method is 'muon', .* with 'adam'"):
        check_unchanged(run())


def test_a_folder_without_a_config_forbids_nothing(run, tmp_path):
    (tmp_path / "config.toml").write_text("no TOML")
    check_unchanged(run("seed=1"))
    (tmp_path / "config.toml").unlink()
    check_unchanged(run("seed=1"))
