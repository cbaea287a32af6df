from __future__ import annotations

import pytest
import torch

from caflow_cli.errors import CaflowError
from caflow_cli.inference import restore, select_device


def test_auto_is_a_device_of_this_machine():
    expected = "cuda" if torch.cuda.is_available() else "cpu"
    assert select_device("auto").type == expected
    assert select_device("cpu").type == "cpu"


@pytest.mark.parametrize("name", ["gpu", "cuda:x", "CPU", "", "mps:0", "cuda:"])
def test_unknown_names_are_refused(name):
    with pytest.raises(CaflowError, match="unknown device") as caught:
        select_device(name)
    assert caught.value.exit_code == 2


def test_a_card_that_is_not_there_is_refused():
    with pytest.raises(CaflowError, match="'cuda:99' is not available") as caught:
        select_device("cuda:99")
    assert caught.value.exit_code == 2


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_a_card_draws_what_the_processor_draws(small_model):
    import copy

    import numpy as np

    image = np.full((8, 8, 3), 120, np.uint8)
    on_card = copy.deepcopy(small_model).to(select_device("cuda"))
    a = restore(small_model, image, 0.8, 4)
    b = restore(on_card, image, 0.8, 4)
    assert [c.k for c in a.ranked] == [c.k for c in b.ranked]
    for x, y in zip(a.ranked, b.ranked, strict=True):
        apart = np.abs(x.image.astype(int) - y.image.astype(int))
        assert apart.max() <= 1
        assert (apart > 0).mean() <= 1e-4
        assert x.score.log_likelihood == pytest.approx(y.score.log_likelihood, abs=0.05)
