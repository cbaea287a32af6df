"""Names of parameters."""

from __future__ import annotations

from torch import nn

from caflow_cli.training.parameters import named_parameters


def test_parameters_have_the_names_that_files_have(guided_model):
    names = named_parameters(guided_model)
    assert names.keys() <= guided_model.state_dict().keys()
    assert "A.guide.head.weight" in names
    for ours, theirs in zip(names.values(), guided_model.parameters(), strict=True):
        assert ours is theirs


def test_the_module_of_the_flows_is_no_part_of_a_name():
    model = nn.ModuleDict({"density": nn.ModuleDict({"T": nn.Linear(1, 1)}), "Q": nn.Linear(1, 1)})
    assert list(named_parameters(model)) == ["T.weight", "T.bias", "Q.weight", "Q.bias"]
