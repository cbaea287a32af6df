"""Batches, schedule, average and guard, each alone."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from helpers import small_config

from caflow_cli.config import PRESETS, Config, FlowConfig, preset
from caflow_cli.errors import CaflowError
from caflow_cli.model import CAFlow
from caflow_cli.tasks import Paired
from caflow_cli.training.batches import Batches
from caflow_cli.training.config import (
    OptimConfig,
    RunConfig,
    apply_settings,
    build_config,
    to_toml,
)
from caflow_cli.training.ema import EMA
from caflow_cli.training.examples import Examples
from caflow_cli.training.guard import Guard
from caflow_cli.training.schedule import learning_rate
from caflow_cli.training.standing import Standing


def batches(count=10, batch_size=4, seed=0, flip=True):
    targets = torch.arange(count * 12, dtype=torch.uint8).view(count, 3, 2, 2)
    return Batches(Examples(Paired(), targets, targets.flip(1)), batch_size, seed, flip)


def test_a_batch_does_not_depend_on_what_was_drawn_before():
    first, second = batches(), batches()
    for step in range(7):
        first(step)
    for a, b in zip(first(7), second(7), strict=True):
        assert torch.equal(a, b)


def test_ranks_share_out_the_same_batch():
    whole, shares = batches()(3), [batches()(3, rank, 2) for rank in range(2)]
    for part in range(3):
        assert torch.equal(whole[part][0::2], shares[0][part])
        assert torch.equal(whole[part][1::2], shares[1][part])


def test_an_epoch_holds_every_image_once_and_the_next_another_order():
    stream = batches(count=8, batch_size=4, flip=False)
    orders = []
    for epoch in range(2):
        rows = [w for step in (0, 1) for w in stream(2 * epoch + step)[0]]
        orders.append([int(w[0, 0, 0]) for w in rows])
    assert sorted(orders[0]) == sorted(orders[1]) == list(range(0, 96, 12))
    assert orders[0] != orders[1]


def test_noise_lies_in_the_bin_and_differs_between_target_condition_and_visits():
    stream = batches(count=4, batch_size=4, flip=False)
    w, y, u = stream(0)
    assert torch.equal(w, w.floor())
    assert torch.equal(w, y.floor().flip(1))
    assert u.min() >= 0
    assert u.max() < 1
    assert not torch.equal(u, (y - y.floor()).flip(1))
    later = stream(1)[2]
    assert not torch.equal(u, later)
    assert float(torch.cat([u, later]).mean()) == pytest.approx(0.5, abs=0.1)


def test_noise_for_variational_dequantization_is_normal():
    stream = batches(count=4, batch_size=4)
    stream.normal_noise = True
    noise = torch.cat([stream(step)[2] for step in range(20)])
    assert float(noise.mean()) == pytest.approx(0, abs=0.1)
    assert float(noise.std()) == pytest.approx(1, abs=0.1)


def test_flips_mirror_target_and_condition_together():
    stream = batches(count=8, batch_size=8)
    flipped = 0
    for step in range(8):
        for w, y in zip(*(x.floor() for x in stream(step)[:2]), strict=True):
            assert torch.equal(w, y.flip(0))
            flipped += int(w[0, 0, 0] > w[0, 0, 1])
    assert 16 < flipped < 48  # 64 fair coins


def test_other_seeds_draw_other_batches():
    assert not torch.equal(batches(seed=0)(0)[0], batches(seed=1)(0)[0])


def test_the_rate_warms_up_linearly_and_falls_as_a_cosine():
    optim = OptimConfig(lr=2.0, warmup=100, lr_floor=0.1, images=1)

    def rate(step, progress):
        return learning_rate(optim, step, progress, epoch=3)

    assert rate(0, 0.0) == pytest.approx(0.02)
    assert rate(49, 0.0) == pytest.approx(1.0)
    assert rate(99, 0.0) == pytest.approx(2.0)
    assert rate(10_000, 0.5) == pytest.approx(2 * (0.1 + 0.9 / 2))
    assert rate(10_000, 1.0) == rate(10_000, 1.5) == pytest.approx(0.2)

    def slow(step, progress):
        return learning_rate(replace(optim, warmup=1000), step, progress, epoch=0)

    # A fifth of a short budget ends the warm-up, though not before 150 steps.
    assert slow(199, 0.1) == pytest.approx(rate(10_000, 0.1) / 2)
    assert slow(199, 0.2) == rate(10_000, 0.2)
    assert slow(29, 0.5) == pytest.approx(rate(10_000, 0.5) / 5)


def test_a_run_is_compact_unless_something_says_otherwise():
    assert build_config(minimal()).flow == PRESETS["compact"]
    assert build_config(minimal(), ["flow.t_steps=3"]).flow == replace(
        PRESETS["compact"], t_steps=3
    )
    own = {**minimal(), "flow": {"t_steps": 3}}
    assert build_config(own).flow == FlowConfig(t_steps=3)


def test_compact_is_told_the_known_pixels():
    for values, settings in (({"task": {"name": "inpaint"}}, []), ({}, ["task.name=inpaint"])):
        run = build_config({**minimal(), **values}, settings)
        assert (run.flow.cond_channels, run.flow.anchor) == (4, "pixels")
        assert run.flow == preset("compact", "inpaint")
    assert build_config(minimal(), task="inpaint").flow == run.flow


def test_compact_reads_a_grey_picture_from_afar():
    run = build_config(minimal(), task="colorize")
    assert (run.flow.cond_channels, run.flow.anchor) == (1, "luminance")
    assert run.flow == preset("compact", "colorize")


@pytest.mark.parametrize("table", ["task", "flow", "optim"])
def test_a_value_in_place_of_a_table_is_refused(table):
    for values, settings in (({**minimal(), table: 3}, []), (minimal(), [f"{table}=3"])):
        with pytest.raises(CaflowError, match=f"config key '{table}' is 3, not a table") as caught:
            build_config(values, settings)
        assert caught.value.exit_code == 2


def test_compact_for_the_papers_condition_of_inpainting_has_no_anchor():
    flow = build_config(minimal(), ["flow.cond_channels=3"], task="inpaint").flow
    assert flow == replace(preset("compact", "inpaint"), cond_channels=3, anchor="none")


def test_a_preset_takes_the_place_of_all_that_a_file_says_of_the_flow():
    """As in the `config.toml` of another task's run, whose channels say nothing of this one's."""
    file = {**minimal(), "flow": {"cond_channels": 3, "t_steps": 1}}
    flow = build_config(file, preset="compact", task="inpaint").flow
    assert flow == preset("compact", "inpaint")


def test_only_a_guide_can_learn_alone_first():
    assert apply_settings(minimal(), ["optim.guide_first=0.5", "flow.guide=8"]).optim.guide_first
    with pytest.raises(CaflowError, match=r"optim.guide_first is 0.5") as caught:
        apply_settings(minimal(), ["optim.guide_first=0.5", "flow.guide=0"])
    assert "give the model a guide" in caught.value.hint
    never = ["optim.guide_lr_share=0", "flow.guide=8"]
    with pytest.raises(CaflowError, match=r"optim.guide_lr_share is 0") as caught:
        apply_settings(minimal(), never)
    assert "would never learn" in caught.value.hint
    apply_settings(minimal(), [*never, "optim.guide_first=0.1"])
    apply_settings(minimal(), [*never, "init_from=model.safetensors"])


@pytest.mark.parametrize(
    ("task", "settings", "first", "share"),
    [
        ("inpaint", [], 0.25, 0),
        ("inpaint", ["optim.guide_lr_share=0.1"], 0.25, 0.1),
        ("colorize", [], 0.25, 0),
        ("colorize", ["optim.guide_first=0.3"], 0.3, 0),
        ("colorize", ["flow.guide=0"], 0, 0.06),
        ("colorize", ["flow.anchor=none"], 0.15, 0.06),
        ("superres", [], 0, 0.06),
        ("superres", ["flow.guide=[8,8,8,8]"], 0.15, 0.06),
    ],
)
def test_a_guide_of_compact_learns_alone_first_in_a_new_run(task, settings, first, share):
    run = build_config(minimal(), settings, task=task)
    assert (run.optim.guide_first, run.optim.guide_lr_share) == (first, share)
    unet = bool(run.flow.guides) and run.flow.guide_net == "unet"
    assert run.optim.guide_first_lr == (7e-4 if unet else 2e-3)
    model, values = Config(run.flow, run.task), {**minimal(), "init_from": "model.safetensors"}
    going_on = build_config(values, task=task, start=model).optim
    anchored = run.flow.anchor != "none"
    kept = 0 if anchored and run.flow.guides else 0.06
    assert (going_on.guide_first, going_on.guide_lr_share) == (0, kept)
    another = build_config(values, ["flow.guide=[4,4,4,4]"], task=task, start=model).optim
    wanted = (0.25, 0) if anchored else (0.15, 0.06)
    assert (another.guide_first, another.guide_lr_share) == wanted
    if run.flow.guides:
        net = "sums" if run.flow.guide_net == "unet" else "unet"
        another = build_config(values, [f"flow.guide_net={net}"], task=task, start=model).optim
        assert another.guide_first == wanted[0]


def test_the_guide_alone_has_a_schedule_of_its_own():
    optim = OptimConfig(
        images=100, batch_size=1, lr=1.0, guide_first=0.5, guide_first_lr=0.1, warmup=10
    )
    at = Standing(guide_alone=True)
    rates, ends = [], []
    for _ in range(100):
        if at.ends_guide_alone(optim):
            ends.append(at.step)
        rates.append(at.rate(optim, 0))
        at.count_step()
    assert ends == [50]
    assert at.guide_steps == 50
    assert rates[:3] == pytest.approx([0.01, 0.02, 0.03], rel=0.05)
    assert max(rates[:50]) < 0.1
    assert rates[49] == pytest.approx(0.001, rel=0.2)
    assert rates[50:53] == pytest.approx([0.1, 0.2, 0.3], rel=0.05)
    assert rates[99] == pytest.approx(0.01, rel=0.2)


def test_losses_of_another_kind_are_measured_anew():
    guard = Guard({"model": torch.nn.Linear(1, 1)})
    at = Standing(guide_alone=True, step=5)
    for _ in range(30):
        assert guard.accepts(1.0, 1.0)
        at.take_loss(1.0)
    assert not guard.accepts(3.0, 1.0)
    assert at.ends_guide_alone(OptimConfig(images=10, batch_size=1, guide_first=0.5))
    guard.forget()
    assert not guard.roll_back()  # to weights that were good at something else
    assert guard.accepts(3.0, 1.0)
    at.take_loss(3.0)
    assert guard.mean == at.running == 3.0


def test_the_papers_rate_falls_by_a_thousandth_an_epoch_and_once_to_a_tenth():
    optim = build_config(minimal_budget(), preset="ffhq-superres-x4").optim
    assert (optim.schedule, optim.warmup, optim.clip, optim.ema) == ("paper", 500, 1.0, 0.999)
    assert optim.cond_weight == 0.01

    def rate(step, epoch):
        return learning_rate(optim, step, 0.5, epoch)

    assert rate(0, 0) == pytest.approx(1e-3 / 500)
    assert rate(249, 0) == pytest.approx(0.5e-3)
    assert rate(499, 0) == rate(2124, 0) == pytest.approx(1e-3)
    assert rate(2125, 1) == pytest.approx(1e-3 * 0.999)
    assert rate(69_999, 32) == pytest.approx(1e-3 * 0.999**32)
    assert rate(70_000, 32) == pytest.approx(1e-4 * 0.999**32)
    assert rate(500_000, 235) == pytest.approx(1e-4 * 0.999**235)


def test_the_average_is_the_recursion_it_claims_to_be():
    model = CAFlow(small_config(scales=1))
    ema = EMA(model, 0.999)
    parameter = next(model.parameters())
    average = next(ema.model.parameters())
    expected = None
    for update in range(5):
        with torch.no_grad():
            parameter.add_(update + 1.0)
        ema.update(model)
        rate = min(0.999, (1 + update) / (10 + update)) if update else 0.0
        current = parameter.detach().clone()
        expected = current if expected is None else rate * expected + (1 - rate) * current
        torch.testing.assert_close(average, expected)
    assert not ema.model.training
    assert not any(p.requires_grad for p in ema.model.parameters())


def test_the_average_follows_actnorms_flag():
    model = CAFlow(small_config(scales=1)).train()
    ema = EMA(model, 0.9)
    flags = [b for name, b in ema.model.named_buffers() if name.endswith("initialized")]
    assert not any(flags)
    x = torch.rand(4, 3, 8, 8) * 255
    model(x, x)
    ema.update(model)
    assert all(b for name, b in ema.model.named_buffers() if name.endswith("initialized"))


def guarded():
    layer = torch.nn.Linear(2, 2)
    optimizer = torch.optim.Adam(layer.parameters())
    return layer, Guard({"layer": layer, "optimizer": optimizer})


@pytest.mark.parametrize(
    ("loss", "norm"), [(math.nan, 1.0), (math.inf, 1.0), (3.0, math.nan), (3.0, math.inf)]
)
def test_non_finite_steps_are_refused_and_counted(loss, norm):
    _, guard = guarded()
    assert guard.accepts(3.0, 1.0)
    assert not guard.accepts(loss, norm)
    assert guard.skipped == 1
    assert guard.accepts(3.0, 1.0)
    assert not guard.wants_rollback()


def test_a_jump_of_the_loss_is_refused_but_a_fall_is_not():
    _, guard = guarded()
    assert guard.accepts(5.0, 1.0)
    assert guard.accepts(3.0, 1.0)
    assert not guard.accepts(8.0, 1.0)


def test_twenty_bad_steps_in_a_row_lead_back_to_the_last_good_state():
    layer, guard = guarded()
    assert guard.accepts(3.0, 1.0)
    good = layer.weight.detach().clone()
    with torch.no_grad():
        layer.weight.fill_(math.nan)
    for step in range(20):
        assert not guard.wants_rollback(), step
        assert not guard.accepts(math.nan, 1.0)
    assert guard.wants_rollback()
    assert guard.roll_back()
    assert torch.equal(layer.weight, good)
    assert guard.rollbacks == 1
    assert not guard.wants_rollback()


def test_without_a_good_state_there_is_no_way_back():
    _, guard = guarded()
    assert not guard.roll_back()


def minimal_budget():
    return {"data": "d", "out": "o"}


def minimal(**optim):
    return {"data": "d", "out": "o", "optim": {"images": 64, **optim}}


def test_settings_reach_nested_fields_with_their_types():
    config = apply_settings(
        minimal(), ["optim.lr=1e-3", "flow.t_steps=3", "flip=false", "task.tau=1"]
    )
    assert config.optim.lr == 1e-3
    assert config.flow.t_steps == 3
    assert config.flip is False
    assert config.task.tau == 1.0
    assert isinstance(config.task.tau, float)


@pytest.mark.parametrize(
    ("setting", "hint"),
    [
        ("optim.learning_rate=1", "optim."),
        ("flow.tsteps=3", "flow.t_steps"),
        ("flow.t_steps=3.5", "int"),
        ("optim.bf16=1", "bool"),
        ("novalue", "--set"),
        ("flow.hidden=[48,64.5,96]", "set flow.hidden[1] to int"),
        ("flow.hidden=[48,64]", "3 such numbers"),
        ("optim.lr.peak=1", "float"),
        ("task.hole=central", "task.holes"),
        ("optim.schedule=step", "cosine or paper"),
        ("optim.accumulate=3", "divisor of the batch size 32"),
        ("tracker=wandb", "tensorboard"),
        ("optims.lr=1", "optim"),
        ("flow.guide_net=resnet", "sums or unet"),
    ],
)
def test_unusable_settings_name_what_would_work(setting, hint):
    with pytest.raises(CaflowError) as caught:
        apply_settings(minimal(), [setting])
    assert hint in caught.value.hint
    assert caught.value.exit_code == 2


@pytest.mark.parametrize("optim", [{"images": None}, {"minutes": 1.0}, {"images": -3}])
def test_exactly_one_positive_budget(optim):
    with pytest.raises(CaflowError) as caught:
        apply_settings(minimal(**optim), [])
    assert caught.value.exit_code == 2


@pytest.mark.parametrize("data", ['a "quoted" ünïcode path', "\N{CAMERA}/a", "\x7f\t\\"])
def test_the_config_file_reads_back(data):
    tomllib = pytest.importorskip("tomllib")
    config = apply_settings(minimal(), [f"data={data}", "task.tau=0.7"])
    assert apply_settings(tomllib.loads(to_toml(config)), []) == config
    assert isinstance(config, RunConfig)
    assert config.data == data


def test_a_config_file_of_names_in_bytes():
    in_bytes = "фото".encode().decode("ascii", "surrogateescape")  # as under LANG=C
    assert 'data = "фото"' in to_toml(apply_settings(minimal(), [f"data={in_bytes}"]))
    with pytest.raises(CaflowError, match="not UTF-8") as caught:
        to_toml(apply_settings(minimal(), ["data=\udce9"]))
    assert caught.value.exit_code == 2


@pytest.mark.parametrize(
    ("options", "task", "channels"),
    [
        ({}, "superres", 3),
        ({"task": "colorize"}, "colorize", 1),
        ({"task": "inpaint", "preset": "compact"}, "inpaint", 4),
        ({"preset": "lsun-colorize"}, "colorize", 1),
        ({"preset": "lsun-colorize", "task": "superres"}, "superres", 3),
        ({"preset": "celeba-inpaint"}, "inpaint", 3),  # hole black, as in the paper
        ({"task": "inpaint", "settings": ["flow.cond_channels=3"]}, "inpaint", 3),
    ],
)
def test_the_condition_has_the_channels_of_the_task(options, task, channels):
    config = build_config(minimal(), **options)
    assert config.task.name == task
    assert config.flow.cond_channels == channels


def test_a_preset_of_the_paper_brings_its_budget_unless_one_is_named():
    days = build_config(minimal_budget(), preset="lsun-colorize").optim.minutes
    assert days == 3 * 24 * 60
    optim = build_config(minimal(lr=1.0), ["optim.cond_weight=0.5"], preset="celeba-inpaint").optim
    assert (optim.images, optim.minutes) == (64, None)
    assert (optim.lr, optim.cond_weight, optim.schedule) == (1.0, 0.5, "paper")


def test_a_list_of_widths_survives_the_config_file():
    tomllib = pytest.importorskip("tomllib")
    config = apply_settings(minimal(), ["flow.hidden=[48,64,96]"])
    assert config.flow.hidden == (48, 64, 96)
    assert apply_settings(tomllib.loads(to_toml(config)), []) == config


def test_a_written_state_becomes_the_one_to_go_back_to_once_a_good_loss_has_shown_it_sound():
    layer, guard = guarded()

    def weights(value):
        with torch.no_grad():
            layer.weight.fill_(value)

    def go_back():
        for _ in range(20):
            guard.accepts(math.nan, 1.0)
        assert guard.roll_back()
        return float(layer.weight[0, 0].detach())

    weights(1.0)
    assert guard.accepts(3.0, 1.0)
    weights(2.0)
    guard.state_written()
    assert go_back() == 1.0  # 2 never had a good loss
    assert guard.accepts(3.0, 1.0)
    weights(3.0)
    guard.state_written()
    assert guard.accepts(3.0, 1.0)
    weights(4.0)
    assert go_back() == 3.0


def test_a_state_that_does_not_help_is_given_up():
    _, guard = guarded()
    assert guard.accepts(3.0, 1.0)
    for attempt in range(5):
        for _ in range(20):
            guard.accepts(math.nan, 1.0)
        assert guard.roll_back(), attempt
    for _ in range(20):
        guard.accepts(math.nan, 1.0)
    assert not guard.roll_back()


def test_the_copy_is_of_weights_that_showed_a_good_loss():
    layer, guard = guarded()
    good = layer.weight.detach().clone()
    assert guard.accepts(3.0, 1.0)
    with torch.no_grad():  # the step that was accepted destroys the weights
        layer.weight.fill_(1e30)
    for _ in range(20):
        guard.accepts(math.inf, 1.0)
    assert guard.roll_back()
    assert torch.equal(layer.weight, good)


@pytest.mark.parametrize(
    "setting",
    [
        "optim.minutes=NaN",
        "optim.lr=NaN",
        "optim.ema=1.0",
        "optim.guide_first=1.0",
        "optim.guide_lr_share=-1",
        "optim.guide_first=-0.1",
        "optim.guide_first_lr=0",
        "optim.warmup=-1",
        "seed=-1",
        "validate_every=0",
        "zoom=1",
        "zoom=-0.1",
        "grid_every=0",
        "task.size=28",
        "task.size=40",
        "flow.target_channels=1",
        "flow.cond_channels=4",
        "task.name=paint",
    ],
)
def test_what_cannot_run_is_refused_before_it_does(setting):
    values = minimal()
    if "minutes" in setting:
        del values["optim"]["images"]
    with pytest.raises(CaflowError) as caught:
        apply_settings(values, [setting])
    assert caught.value.exit_code == 2
