"""The pictures that a run is validated on."""

from __future__ import annotations

import torch
from helpers import smooth_image

from caflow_cli.tasks import Inpaint
from caflow_cli.training.dataset import Dataset
from caflow_cli.training.validation import Validation


def test_holes_of_validation_stay_the_same():
    dataset = Dataset(Inpaint(4, 16, 8), smooth_image(6, 3, 16, seed=3))
    first, again = (Validation(dataset, dataset, 4, seed=0) for _ in range(2))
    assert len(first.val[0]) == len(first.train[0]) == 4
    for a, b in zip((*first.val, *first.train), (*again.val, *again.train), strict=True):
        assert torch.equal(a, b)
    other = Validation(dataset, dataset, 4, seed=1)
    assert not torch.equal(first.val[0], other.val[0])
