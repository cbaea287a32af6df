"""A plain installation has neither torchmetrics nor torch-fidelity: metrics of sets need them."""

from __future__ import annotations

import sys

import pytest

from caflow_cli.errors import CaflowError
from caflow_cli.evaluation import compare, evaluate
from caflow_cli.evaluation.metrics.features import load_extractor


@pytest.fixture
def plain_install(monkeypatch):
    for name in list(sys.modules):
        if name.partition(".")[0] in ("torchmetrics", "torch_fidelity"):
            monkeypatch.delitem(sys.modules, name)
    for name in ("torchmetrics", "torch_fidelity"):
        monkeypatch.setitem(sys.modules, name, None)  # as if it were not installed


def test_fid_and_kid_say_what_to_install_before_anything_is_written(
    plain_install, models_32, true_pictures, tmp_path
):
    for metric in ("fid", "kid", "coverage"):
        with pytest.raises(CaflowError) as caught:
            evaluate(
                models_32["superres"], true_pictures, ("rmse", metric), save_images=tmp_path / "out"
            )
        assert caught.value.exit_code == 3
        assert caught.value.message == (
            "fid, kid and coverage need torchmetrics and torch-fidelity, not installed here"
        )
        assert caught.value.hint == "pip install 'caflow-cli[fid]'"
        with pytest.raises(CaflowError, match="need torchmetrics and torch-fidelity"):
            compare(true_pictures, true_pictures, [metric])
    assert not (tmp_path / "out").exists()


def test_one_missing_package_is_named_alone_and_only_where_it_is_needed(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "torch_fidelity", None)
    with pytest.raises(
        CaflowError, match="fid, kid and coverage need torch-fidelity, not installed"
    ):
        load_extractor("inception")
    with pytest.raises(CaflowError, match="cannot read LPIPS trunk"):  # the network is another one
        load_extractor("alexnet", lpips_weights=tmp_path / "none")


def test_all_other_metrics_do_without(plain_install, models_32, true_pictures):
    names = ("rmse", "psnr", "ssim", "bpd", "diversity", "calibration", "likelihood")
    found = evaluate(models_32["superres"], true_pictures, names, candidates=2, limit=1)
    assert found.images == 1
    assert compare(true_pictures, true_pictures, ["rmse"]).results[0].values["rmse"].mean == 0
