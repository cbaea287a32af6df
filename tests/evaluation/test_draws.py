"""Batched draws are those of `restore`; problems are what the tasks say."""

from __future__ import annotations

from dataclasses import replace
from math import nan

import numpy as np
import pytest
import torch
from helpers import smooth_image

from caflow_cli.errors import CaflowError
from caflow_cli.evaluation.draws import ConditionedProblems
from caflow_cli.evaluation.problems import inconsistency, pose, seam
from caflow_cli.inference import restore
from caflow_cli.inference import score as score_pair
from caflow_cli.inference.score import task_of


def truths(count: int) -> list[np.ndarray]:
    return list(smooth_image(count, 3, 32, seed=5).permute(0, 2, 3, 1).numpy())


def problems(model, count: int = 3):
    task, pictures = task_of(model), truths(count + 1)
    return [pose(task, [pictures[i + 1], pictures[i]], i, f"p{i}") for i in range(count)]


@pytest.mark.parametrize("task", ["superres", "colorize", "inpaint", "paired"])
def test_batched_draws_rank_and_score_as_restore(models_32, task):
    model = models_32[task]
    posed = problems(model)
    with torch.no_grad():
        conditioned = ConditionedProblems(model, posed)
        drawn = conditioned.draw(0.7, 4, 9, 1)
        scores = conditioned.truth_scores(1)
    for problem, candidates, score in zip(posed, drawn, scores, strict=True):
        seed = 9 + 1_000_003 * problem.index
        alone = restore(model, problem.input, 0.7, 4, seed=seed, mask=problem.mask)
        order = sorted(candidates, key=lambda c: -c.score.log_likelihood)
        assert [c.seed for c in order] == [c.seed for c in alone.ranked]
        for ours, theirs in zip(order, alone.ranked, strict=True):
            difference = np.abs(ours.image.astype(int) - theirs.image)
            assert difference.max() <= 1
            assert (difference > 0).mean() <= 1e-4
            assert ours.score.log_likelihood == pytest.approx(theirs.score.log_likelihood, abs=0.05)
        expected = score_pair(model, problem.input, problem.truth, problem.mask)
        assert score.log_likelihood == pytest.approx(expected.log_likelihood, abs=0.01)


def test_many_candidates_are_drawn_in_several_batches(models_32, monkeypatch):
    model = models_32["superres"]
    posed = problems(model, 2)
    with torch.no_grad():
        whole = ConditionedProblems(model, posed).draw(0.5, 5, 0, 1)
        monkeypatch.setattr("caflow_cli.inference.candidates.BATCH_PIXELS", 2 * 2 * 32 * 32)
        parts = ConditionedProblems(model, posed).draw(0.5, 5, 0, 1)
    for a, b in zip(whole, parts, strict=True):
        assert [c.k for c in a] == [c.k for c in b] == list(range(5))
        assert [c.seed for c in a] == [c.seed for c in b]
        for x, y in zip(a, b, strict=True):
            assert x.score.log_likelihood == pytest.approx(y.score.log_likelihood, abs=0.05)


def test_a_batch_size_bounds_the_candidates_at_a_time(models_32, monkeypatch):
    model, counts = models_32["superres"], []
    decode = type(model).decode

    def counted(self, latents, cond, **how):
        counts.append(len(latents[0]))
        return decode(self, latents, cond, **how)

    monkeypatch.setattr(type(model), "decode", counted)
    with torch.no_grad():
        ConditionedProblems(model, problems(model, 2)).draw(0.5, 5, 0, 1, batch_size=4)
    assert counts == [4, 4, 2]


def test_seeds_of_many_pictures_start_again_where_a_generator_does(models_32):
    """Table 2 has 5,000 pictures: 1,000,003 times 4,999 is more than 32 bits."""
    model = models_32["superres"]
    (problem,) = problems(model, 1)
    with torch.no_grad():
        ((drawn,),) = ConditionedProblems(model, [replace(problem, index=4999)]).draw(0.7, 1, 9, 1)
    assert drawn.seed == 9 + 1_000_003 * 4999 - 2**32
    (alone,) = restore(model, problem.input, 0.7, 1, seed=drawn.seed).ranked
    assert drawn.score.log_likelihood == pytest.approx(alone.score.log_likelihood, abs=0.05)


def test_a_draw_that_is_not_finite_is_an_error(models_32, monkeypatch):
    model = models_32["superres"]
    with torch.no_grad():
        conditioned = ConditionedProblems(model, problems(model))
        own = type(model).decode
        monkeypatch.setattr(
            type(model),
            "decode",
            lambda *given, **how: (nan * own(*given, **how)[0], own(*given, **how)[1]),
        )
        with pytest.raises(CaflowError, match="run away from what the model knows at tau 2"):
            conditioned.draw(2, 2, 0, 1)


def test_problems_are_what_the_tasks_are_asked(models_32):
    truth, other = truths(2)
    by_task = {name: pose(task_of(m), [other, truth], 0, "p") for name, m in models_32.items()}
    superres, colorize, inpaint, paired = (
        by_task[name] for name in ("superres", "colorize", "inpaint", "paired")
    )
    assert superres.input.shape == (8, 8, 3)
    assert superres.baseline is not None
    assert superres.baseline.shape == truth.shape
    assert (colorize.input == colorize.input[..., :1]).all()
    np.testing.assert_array_equal(colorize.baseline, colorize.input)
    hole = inpaint.hole
    assert hole is not None
    assert hole.mean() == 0.25
    np.testing.assert_array_equal(inpaint.baseline[~hole], truth[~hole])
    assert len(np.unique(inpaint.baseline[hole], axis=0)) == 1
    np.testing.assert_allclose(inpaint.baseline[hole][0], truth[~hole].mean(0), atol=0.5)
    assert not (inpaint.input[hole] == truth[hole]).all()
    np.testing.assert_array_equal(paired.input, other)
    assert paired.baseline is None
    task = task_of(models_32["paired"])
    of_next = pose(task, [other, truth], 0, "p", other)
    np.testing.assert_array_equal(of_next.baseline, other)
    assert pose(task, [other, truth], 0, "p", other[:20]).baseline.shape == truth.shape


def test_the_truth_is_consistent_and_another_picture_is_not(models_32):
    truth, other = truths(2)
    for name, model in models_32.items():
        task = task_of(model)
        problem = pose(task, [other, truth], 0, "p")
        if name == "paired":
            assert inconsistency(task, problem, truth) is None
            continue
        assert inconsistency(task, problem, truth) == 0.0
        brighter = np.minimum(truth, 250) + 5
        level = inconsistency(task, problem, brighter)
        assert level == pytest.approx(5, abs=0.6), name


def test_a_seam_is_one_for_the_truth_and_grows_with_an_edge_at_the_border(models_32):
    ramp = np.arange(32, dtype=np.uint8)[:, None, None].repeat(32, 1).repeat(3, 2)  # 1 a row
    problem = pose(task_of(models_32["inpaint"]), [ramp], 0, "p")
    assert seam(problem, ramp) == 1.0
    filled = np.where(problem.hole[..., None], ramp + 10, ramp).astype(np.uint8)
    # Rows: |10 + 1| above and |10 - 1| below the hole, else |1|; columns: 10, else 0. Half each.
    assert seam(problem, filled) == pytest.approx((10 + 10) / (1 + 0))
    colorize = pose(task_of(models_32["colorize"]), [ramp], 0, "p")
    assert seam(colorize, ramp) is None
    flat = pose(task_of(models_32["inpaint"]), [np.zeros_like(ramp)], 0, "p")
    assert seam(flat, ramp) is None
