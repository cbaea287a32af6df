"""The model that a run starts with: fresh, or with another one's weights."""

from dataclasses import replace

import helpers
import pytest
import torch

from caflow_cli.config import Config
from caflow_cli.errors import CaflowError
from caflow_cli.training import OptimConfig, RunConfig
from caflow_cli.training.initial_model import starting_model

SIZE = 16


def run_of(flow, source, **task):
    config = Config(flow)
    return RunConfig(
        data="none",
        out="none",
        optim=OptimConfig(images=1),
        flow=flow,
        task=replace(config.task, **task),
        init_from=str(source),
    )


@pytest.fixture
def saved(tmp_path):
    def save(**flow):
        model = helpers.data_like_model(helpers.small_config(scales=2, **flow), seed=3, size=SIZE)
        model.save(tmp_path / "source.safetensors")
        return model, tmp_path / "source.safetensors"

    return save


def scores(model):
    return model.eval().log_prob(*helpers.image_pair(model, 2, SIZE))


def test_all_weights_are_taken_and_the_task_is_the_runs(saved):
    source, path = saved(guide=4)
    model = starting_model(run_of(source.config.flow, path, factor=2))
    assert torch.equal(scores(model), scores(source))
    assert model.config.task.factor == 2


def test_a_resumed_run_does_not_need_the_model_that_it_started_from(saved):
    source, path = saved()
    path.unlink()
    model = starting_model(run_of(source.config.flow, path), resume=True)
    assert model.state_dict().keys() == source.state_dict().keys()
    with pytest.raises(CaflowError):
        starting_model(run_of(source.config.flow, path))


@pytest.mark.parametrize("guide", [5, (4, 5, 4)])
def test_another_guide_starts_anew_and_all_else_is_kept(saved, guide):
    source, path = saved(guide=4)
    model = starting_model(run_of(replace(source.config.flow, guide=guide), path))
    theirs = source.state_dict()
    kept = [name for name in theirs if not name.startswith("A.guide.")]
    assert all(torch.equal(model.state_dict()[name], theirs[name]) for name in kept)
    assert model.density.A.guide.head.weight.abs().max() == 0
    assert not torch.allclose(scores(model), scores(source), atol=1e-3)


def test_the_same_widths_are_the_same_guide(saved):
    source, path = saved(guide=4)
    model = starting_model(run_of(replace(source.config.flow, guide=(4, 4, 4)), path))
    assert torch.equal(scores(model), scores(source))


def test_a_guide_with_other_views_keeps_its_weights(saved):
    source, path = saved(guide=4)
    model = starting_model(run_of(replace(source.config.flow, guide_views=8), path))
    assert model.density.A.views == 8
    assert all(torch.equal(t, model.state_dict()[n]) for n, t in source.state_dict().items())
    assert not torch.allclose(scores(model), scores(source), atol=1e-3)


def test_a_guide_of_another_kind_starts_anew(saved):
    source, path = saved(guide=4)
    model = starting_model(run_of(replace(source.config.flow, guide_net="unet"), path))
    assert model.config.flow.guide_net == "unet"
    assert model.density.A.guide.head.weight.abs().max() == 0
    kept = next(name for name in source.state_dict() if name.startswith("F."))
    assert torch.equal(model.state_dict()[kept], source.state_dict()[kept])


@pytest.mark.parametrize("other", [{"t_steps": 3}, {"guide": 5}, {"scales": 1}])
def test_another_architecture_is_refused(saved, other):
    source, path = saved()
    assert source.config.flow.t_steps != 3
    guide = {"guide": (5, 6)} if "scales" in other else {}
    with pytest.raises(CaflowError, match="has another architecture than the run") as caught:
        starting_model(run_of(replace(source.config.flow, **other, **guide), path))
    assert caught.value.exit_code == 2
    assert "only its guide may differ" in caught.value.hint
