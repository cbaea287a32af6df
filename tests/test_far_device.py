"""`mps` and `cuda`, as far as they can be tested without one: see `far_device`."""

import copy
from dataclasses import replace

import helpers
import numpy as np
import pytest
import torch
from accelerate import Accelerator
from cracked import cracked
from evaluation.random_features import QUICK
from far_device import FAR, PROFILES, far_device
from small_fields import field, model_of

import caflow_cli as caflow
from caflow_cli import devices
from caflow_cli.images import write_png
from caflow_cli.model import CAFlow
from caflow_cli.restoration import restore, score
from caflow_cli.restoration.tiled import Tiled
from caflow_cli.tasks.tiles import plan_tiles
from caflow_cli.training import OptimConfig, RunConfig, SamplesConfig, train
from caflow_cli.training.sets import Batch
from caflow_cli.training.trainer import Trainer

pytestmark = pytest.mark.usefixtures("without_curves")
both = pytest.mark.parametrize("profile", PROFILES)

SIZE = 16
VARIANTS = [
    {"conditional": "shared", "trunk": (8, 6), "cond_channels": 1, "anchor": "luminance"},
    {"conditional": "dual-glow", "dequantization": "variational"},
    {
        "cond_channels": 4,
        "anchor": "fill",
        "guide": (4, 5, 6),
        "guide_net": "unet",
        "guide_views": 2,
        "spread": 5,
    },
]


@pytest.fixture(scope="module", params=VARIANTS, ids=lambda flow: str(flow) or "default")
def model(request):
    config = helpers.small_config(scales=2, t_steps=1, **request.param)
    return helpers.data_like_model(config, seed=3, size=SIZE)


def test_without_float64_it_is_refused_and_so_are_tensors_of_the_other_device():
    with far_device("mps") as device:
        x = torch.ones(3).to(device)
        assert x.device.type == FAR
        assert (x + 1).cpu().tolist() == [2, 2, 2]
        for refused in (
            lambda: x.double(),
            lambda: x.sum(dtype=torch.float64),
            lambda: torch.zeros(2, dtype=torch.float64, device=device),
            lambda: torch.ones(3, dtype=torch.float64).to(device),
            lambda: x.to("cpu", torch.float64),
        ):
            with pytest.raises(RuntimeError, match="float64"):
                refused()


@both
def test_tensors_of_two_devices_do_not_meet(profile):
    with far_device(profile) as device:
        near, index = torch.ones(3), torch.tensor([0, 2])
        far = near.to(device)
        if profile == "cuda":
            assert far.double().sum().item() == 3
        assert far[index].device.type == FAR
        assert torch.equal(copy.deepcopy(far).cpu() * 2, near + 1)
        for refused in (
            lambda: far + near,
            lambda: near.add_(far),
            lambda: near[index.to(device)],
            lambda: torch.stack([far.sum(), near.sum()]),
            lambda: torch.where(near > 0, far, far),
            lambda: far.numpy(),
        ):
            with pytest.raises((RuntimeError, TypeError), match=r"two devices|numpy"):
                refused()


@both
def test_scores_and_samples_are_those_of_the_cpu(model, profile):
    target, cond = helpers.image_pair(model, 2, SIZE)
    kwargs = {"tau": 0.8, "candidates": 2, "seed": 5}
    scores, points = model.log_prob(target, cond, 2), model.sample(cond, **kwargs)
    with far_device(profile) as device:
        far = copy.deepcopy(model).to(device)
        assert far.device.type == FAR
        found = far.log_prob(target, cond, 2)
        cond = far.encode_condition(cond)
        drawn = far.sample(cond, **kwargs)
        latents, at_centers = far.encode(target, cond)
        back, log_prob = far.decode(latents, cond)
        assert drawn.device.type == back.device.type == FAR
        drawn, back = drawn.cpu(), back.cpu()
    assert found.dtype == at_centers.dtype == log_prob.dtype == torch.float64
    assert found.device.type == ("cpu" if profile == "mps" else FAR)
    found, at_centers, log_prob = (x.to("cpu") for x in (found, at_centers, log_prob))
    torch.testing.assert_close(found, scores, rtol=0, atol=1e-2)
    torch.testing.assert_close(log_prob, at_centers, rtol=0, atol=0.05)
    torch.testing.assert_close(drawn, points, rtol=0, atol=0.02)
    assert torch.equal(back.floor().to(torch.uint8), target)


@both
def test_gradients_are_those_of_the_cpu(model, profile):
    target, cond = helpers.image_pair(model, 2, SIZE)
    noise = helpers.first_noise(target.shape[1:], 2, normal=model.Q is not None)

    def gradient(copied, *batch):
        copied.train()
        state = copied.state_dict()
        fresh = {n: torch.tensor(False) for n in state if n.endswith("initialized")}
        copied.load_state_dict({**state, **{n: t.to(copied.device) for n, t in fresh.items()}})
        terms = copied(*batch)
        (-terms.log_prob - 0.01 * terms.cond_log_prob).sum().backward()
        return [p.grad for p in copied.parameters()]

    batch = (target.float(), cond + 0.5, noise)
    near = copy.deepcopy(model)
    gradients = gradient(near, *batch)
    with far_device(profile) as device:
        far = gradient(copy.deepcopy(model).to(device), *(x.to(device) for x in batch))
        far = [g.cpu() for g in far]
    for own, other in zip(gradients, far, strict=True):
        torch.testing.assert_close(other, own, rtol=1e-2, atol=1e-3 * float(own.abs().max()) + 1e-6)


def photo(height: int, width: int, seed: int = 3) -> np.ndarray:
    return helpers.smooth_image(1, 3, (height, width), seed)[0].permute(1, 2, 0).numpy().copy()


def assert_alike(near, far):
    """Candidates of both devices: the same order, pixels and scores up to rounding."""
    for a, b in zip(near.ranked, far.ranked, strict=True):
        assert a.k == b.k
        apart = np.abs(a.image.astype(int) - b.image)
        assert apart.max() <= 1
        assert b.score.log_likelihood == pytest.approx(a.score.log_likelihood, abs=0.1)


def far_copy(model):
    return copy.deepcopy(model).to(devices.select_device("cuda"))


@pytest.fixture(scope="module", params=["superres", "colorize", "inpaint", "paired"])
def task_model(request):
    """Of two scales, so that flows and functions of each kind are there once."""
    config = helpers.task_config(request.param, scales=2, t_steps=1)
    return helpers.data_like_model(config, seed=4, size=32)


@both
def test_every_task_draws_and_scores_there(task_model, profile):
    model, task = task_model, task_model.config.task.name
    image = photo(8, 8) if task == "superres" else photo(32, 32)
    image = image if task == "paired" else image.astype(np.uint16) * 256 + 77
    mask = np.zeros((32, 32), np.uint8)
    mask[5:19, 8:20] = 255
    mask = mask if task == "inpaint" else None
    near = restore(model, image, 0.8, 2, mask=mask)
    with far_device(profile):
        model = far_copy(model)
        far = restore(model, image, 0.8, 2, mask=mask)
        again = score(model, image, far.kept[0].image, mask, noise_samples=2)
    assert_alike(near, far)
    assert again.log_likelihood == pytest.approx(near.kept[0].score.log_likelihood, rel=0.01)


@both
def test_fields_are_drawn_and_scored_there(profile):
    model = model_of(last=0.1).float()
    means = np.random.default_rng(5).gamma(0.5, 4, (5, 6)).astype(np.float32)
    means[means < 0.5] = 0
    means[0, :2] = np.nan
    near = restore(model, field(means), candidates=2)
    gap = near.values[0].copy()
    gap[10:14, 9:15] = np.nan
    with far_device(profile):
        model = far_copy(model)
        far = restore(model, field(means), candidates=2)
        again = score(model, field(means), field(gap), noise_samples=2)
    np.testing.assert_allclose(far.values, near.values, rtol=1e-3, atol=1e-3)
    nats = [member.score.log_likelihood for member in (*near.drawn, *far.drawn)]
    assert nats[2:] == pytest.approx(nats[:2], abs=0.05)
    assert again.wet + again.dry == 20 * 24 - 2 * 16 - 24


@both
@pytest.mark.parametrize("normalizes", [False, True])
def test_in_tiles(normalizes, profile):
    guide = {"guide": (4, 4), "guide_net": "unet"} if normalizes else {}
    config = helpers.task_config("paired", scales=1, t_steps=1, **guide)
    model = helpers.data_like_model(config, seed=3, size=32)
    cond = helpers.smooth_image(1, 3, (32, 288), 1)
    plan = plan_tiles((32, 288), 16, 256)
    assert len(plan) == 2

    def drawn(model):
        conditions = Tiled(model, cond, plan)
        (sample,) = helpers.draw(conditions, 0.8, [5], 0, 1)
        (nats,) = conditions.log_prob(cond)
        return sample.image.astype(int), sample.redraws, nats.value, conditions.statistics

    image, redraws, nats, statistics = drawn(model)
    with far_device(profile):
        other, again, close, alike = drawn(far_copy(model))
    assert np.abs(image - other).max() <= 1
    assert again == redraws
    assert close == pytest.approx(nats, rel=1e-5)
    np.testing.assert_allclose(alike, statistics, rtol=1e-3)


@both
def test_windows_of_damage_that_is_found(profile):
    """Two windows of a model of 32 pixels. Damage is found on the CPU whatever the device."""
    image, _ = cracked()
    flow = {"scales": 1, "t_steps": 1, "guide": 4, "guide_net": "unet", "anchor": "fill"}
    config = helpers.task_config("inpaint", **flow)
    config = replace(config, task=replace(config.task, rim=4))
    model = helpers.data_like_model(config, seed=4, size=32)
    small = image[:96, :96]
    mask = np.zeros((96, 96), np.uint8)
    mask[8:16, 8:16] = mask[80:88, 80:88] = 255
    damage = caflow.find_damage(small)
    near = restore(model, small, 0.8, 2, mask=mask)
    with far_device(profile):
        np.testing.assert_array_equal(caflow.find_damage(small), damage)
        far = restore(far_copy(model), small, 0.8, 2, mask=mask)
        again = score(far_copy(model), small, far.kept[0].image, mask)
    assert len(far.request.parts) > 1
    assert_alike(near, far)
    assert again.log_likelihood == pytest.approx(far.kept[0].score.log_likelihood, abs=1e-2)


def steps_of_all_phases(out, bf16=False):
    """The figures of a step of each phase; and of one more, which is also made from the state."""
    flow = {"scales": 1, "t_steps": 1, "guide": 4, "guide_net": "unet"}
    model = helpers.data_like_model(helpers.small_config(**flow), seed=6, size=16)
    target, cond = helpers.image_pair(model, 4, 16)
    noise = torch.rand(target.shape, generator=helpers.generator(7))
    batch = Batch(target.float(), cond + 0.5, noise, torch.tensor([5, -1, 9, -1]))
    optim = OptimConfig(batch_size=4, images=100, bf16=bf16, guide_first=0.25, guide_perceptual=0.0)
    task = replace(model.config.task, size=16)
    samples = SamplesConfig(share=0.5, perceptual=0.0)
    config = RunConfig("none", str(out), optim, model.config.flow, task, samples, init_from="none")

    def trainer():
        return Trainer(copy.deepcopy(model), Accelerator(cpu=True), config)

    one = trainer()
    figures = [one.step(batch, 1e-3)]
    while one.progress.phase + 1 < len(one.phases):
        one.begin_next_phase(batch)
        figures.append(one.step(batch, 1e-3))
    one.save()
    other = trainer()
    other.resume()
    figures.append(one.step(batch, 1e-3))
    assert other.step(batch, 1e-3) == figures[-1]
    return figures, one.model.device.type


@pytest.fixture(scope="module")
def near_steps(tmp_path_factory):
    figures, _ = steps_of_all_phases(tmp_path_factory.mktemp("near"))
    return figures


@both
def test_a_step_of_every_phase_and_its_state(tmp_path, near_steps, profile):
    """Adam for the guide and the scales, Muon for kernels; clipped, averaged, resumed."""
    near = near_steps
    assert len(near) == 4
    with far_device(profile):
        far, device = steps_of_all_phases(tmp_path / "far")
    assert device == FAR
    for a, b in zip(near, far, strict=True):
        assert a.taken
        assert b == pytest.approx(a, rel=1e-3)


def test_networks_in_bfloat16_train_there(tmp_path):
    with far_device("cuda"):
        figures, _ = steps_of_all_phases(tmp_path, bf16=True)
    assert all(one.taken for one in figures)


@both
def test_a_run_with_the_network_of_others_as_guide_and_its_evaluation(
    tmp_path, profile, without_lpips
):
    pytest.importorskip("spandrel")
    from safetensors.torch import save_file
    from spandrel.architectures.Compact import Compact

    from caflow_cli.training.external import read_external
    from caflow_cli.training.resolve import build_config

    net = helpers.seeded(lambda: Compact(num_feat=8, num_conv=1, upscale=2), 0)
    save_file(net.state_dict(), tmp_path / "guide.safetensors")
    for split, count in (("train", 8), ("val", 2), ("test", 2)):
        for k in range(count):
            path = tmp_path / "photos" / split / f"{k}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            write_png(path, photo(32, 32, seed=k))
    sizes = ["hidden=8", "f_hidden=8", "trunk=0", "spread=8", "r_steps=1", "t_steps=1", "f_steps=1"]
    settings = [f"flow.{one}" for one in ("scales=1", *sizes)]
    settings += ["task.size=32", "task.factor=2", "optim.batch_size=4", "optim.images=8"]
    values = {"data": str(tmp_path / "photos"), "out": str(tmp_path / "run"), "optim": {}}
    guide = read_external(tmp_path / "guide.safetensors")
    with far_device(profile):
        assert train(build_config(values, settings, guide=guide)).steps == 2
        model = far_copy(CAFlow.load(tmp_path / "run" / "best.safetensors"))
        metrics = ["rmse", "lpips", "coverage", "bpd", "calibration"]
        data = tmp_path / "photos"
        report = caflow.evaluate(model, data, metrics=metrics, weights=QUICK, candidates=2)
    assert report.results
