"""A list of modules that keeps their type."""

import copy
import itertools

import torch
from torch import nn

from caflow_cli.layers import Modules


def test_it_is_a_module_list_in_all_but_its_type():
    ours = Modules[nn.Linear](nn.Linear(2, 2) for _ in range(3))
    plain = nn.ModuleList(ours)
    assert list(ours.state_dict()) == list(plain.state_dict())
    assert all(a is b for a, b in itertools.zip_longest(ours, plain))
    assert ours[0] is plain[0]
    assert ours[-1] is plain[-1]
    assert len(ours) == 3


def test_a_copy_has_weights_of_its_own():
    ours = Modules[nn.Linear]([nn.Linear(2, 2)])
    other = copy.deepcopy(ours)
    with torch.no_grad():
        other[0].weight.zero_()
    assert isinstance(other, Modules)
    assert ours[0].weight.any()
