"""τ that a field of rain chooses itself."""

import json

import numpy as np
import pytest
import torch
from small_fields import field, fresh

import caflow_cli as caflow
from caflow_cli.config import Temperature, Values
from caflow_cli.ensembles import crps
from caflow_cli.errors import CaflowError
from caflow_cli.fields.project import means_of, repeated
from caflow_cli.restoration import choose_tau, prepare, summary_of
from caflow_cli.restoration.request import Chosen

TAUS = (0.8, 0.9, 1.0, 1.1, 1.2)


@pytest.fixture(scope="module")
def model():
    """A model whose spread is that of `rain` at τ 1, which is its own."""
    return fresh()


def wet(seed: int = 0, spread: float = 3.0, cells: int = 64) -> np.ndarray:
    """A coarse field in which nearly all is wet: smooth, with log-normal detail of that spread."""
    rng = np.random.default_rng(seed)
    n = cells // 4
    level = repeated(rng.normal(14, 2, (n, n)), 4) + rng.normal(0, spread, (4 * n, 4 * n))
    return (0.1 * 10 ** (level / 10)).astype(np.float32)


def errors(model, coarse, tau):
    """The CRPS of the maxima of 4×4 areas, by the public functions: (h / 4, w / 4)."""
    again = means_of(coarse, 4).astype(np.float32)
    members = caflow.restore(model, again, tau=tau, candidates=16, seed=0).values
    n = len(coarse) // 4
    highest = members.reshape(16, n, 4, n, 4).max((2, 4))
    return crps(highest, coarse.reshape(n, 4, n, 4).max((1, 3)))


def test_the_tau_with_the_least_crps_of_maxima_is_chosen(model):
    coarse = wet(spread=1.0)
    found = caflow.restore(model, coarse, tau="auto", candidates=2, seed=5)
    of_tau = {tau: errors(model, coarse, tau) for tau in TAUS}
    best = min(TAUS, key=lambda tau: of_tau[tau].sum())
    assert best == 0.8
    chosen = found.request.chosen
    assert (chosen["tau"], chosen["best"], chosen["own"]) == ([0.8], [0.8], [1.0])
    gains = of_tau[1.0] - of_tau[0.8]
    total = of_tau[1.0].sum()
    assert chosen["areas"] == 256
    assert chosen["gain"] == pytest.approx(gains.sum() / total)
    blocks = gains.reshape(4, 4, 4, 4).sum((1, 3))
    assert chosen["standard_error"] == pytest.approx(4 * blocks.std(ddof=1) / total)
    replayed = caflow.restore(model, coarse, tau=0.8, candidates=2, seed=5)
    np.testing.assert_array_equal(found.values, replayed.values)
    assert found.tau == Temperature.of(0.8)


def test_json_and_provenance_state_it(model, tmp_path):
    found = caflow.restore(model, wet(spread=1.0), tau="auto", candidates=2)
    record = found.as_json()
    assert record["params"]["tau"] == [0.8]
    assert record["tau_chosen"] == found.request.chosen
    json.dumps(record, allow_nan=False)
    assert found.provenance(found.kept[0])["tau_chosen"]["areas"] == 256
    assert "tau_chosen" not in caflow.restore(model, wet(), candidates=1).as_json()


def test_it_depends_on_no_other_setting(model):
    coarse = wet(spread=2.0)
    one, other = (
        caflow.restore(model, coarse, tau="auto", candidates=m, seed=seed).request.chosen
        for m, seed in ((1, 0), (5, 77))
    )
    assert one == other


def test_the_own_tau_stays_without_a_gain_of_two_errors(model):
    """With nearly the model's spread, another is at best a little better."""
    chosen = caflow.restore(model, wet(spread=2.8), tau="auto", candidates=1).request.chosen
    assert (chosen["tau"], chosen["own"], chosen["best"]) == ([1.0], [1.0], [0.9])
    assert 0 < chosen["gain"] < 2 * chosen["standard_error"]
    wide = caflow.restore(model, wet(spread=4.0), tau="auto", candidates=1).request.chosen
    assert wide["tau"] == [1.2]
    assert wide["gain"] > 2 * wide["standard_error"]


def test_missing_cells_and_dry_areas_do_not_count(model):
    coarse = wet(cells=68)
    coarse[:8, 4:12] = 0  # four areas
    coarse[20, 20] = np.nan
    given = np.pad(coarse, ((0, 3), (0, 2)), constant_values=50)  # no whole areas
    found = caflow.restore(model, field(given), tau="auto", candidates=1)
    assert found.request.chosen["areas"] == 17 * 17 - 4 - 1
    parts = [field(part) for part in (coarse[:32], coarse[32:])]
    assert choose_tau([prepare(model, part) for part in parts])["areas"] == 17 * 17 - 4 - 1


@pytest.mark.parametrize(
    ("coarse", "message"),
    [
        (wet(cells=60), "a field of 60×60 cells is too small"),
        (np.where(np.arange(64) < 40, wet(), 0), "160 areas of 4×4 cells with rain are too few"),
    ],
)
def test_small_or_dry_fields_cannot_choose(model, coarse, message):
    with pytest.raises(CaflowError, match=message) as error:
        caflow.restore(model, coarse.astype(np.float32), tau="auto", candidates=1)
    assert error.value.hint.startswith("--tau 1")


def test_only_fields_with_dry_cells_choose(models_32):
    warm = fresh(Values("K", "linear", 200, 340))
    with pytest.raises(CaflowError, match="tau is auto, which is chosen from a field of rain"):
        caflow.restore(warm, np.full((64, 64), 270, np.float32), tau="auto")
    with pytest.raises(CaflowError, match="tau is auto"):
        caflow.restore(models_32["superres"], np.zeros((8, 8, 3), np.uint8), tau="auto")
    with pytest.raises(CaflowError, match="tau is auto"):
        models_32["superres"].sample(torch.zeros(1, 3, 32, 32, dtype=torch.uint8), tau="auto")


def test_the_summary_says_why():
    kept = Chosen(tau=[1.05], own=[1.05], best=[0.9], areas=1024, gain=0.01, standard_error=0.02)
    assert summary_of(kept) == (
        "τ 1.05, the model's own: on 1,024 areas, 0.9 gains 1.0 ± 2.0 %, less than two errors"
    )
    changed = Chosen(**{**kept, "tau": [0.9], "standard_error": 0.001})
    assert summary_of(changed).startswith("τ 0.9, chosen on 1,024 areas, whose maxima have a CRPS")
    same = Chosen(**{**kept, "best": [1.05], "gain": 0.0})
    assert summary_of(same) == "τ 1.05, the model's own, which is the best on 1,024 areas"
