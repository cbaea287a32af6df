"""Evaluations that cannot be told, or ask for what another form has."""

from __future__ import annotations

import pytest

from .process import assert_refused

HINT = "caflow evaluate --task superres --data faces/ --metric "


@pytest.mark.parametrize(
    ("arguments", "message", "hint"),
    [
        (["--metric", "fid"], "nothing to evaluate", HINT + "fid"),
        ([], "nothing to evaluate", HINT + "lpips,rmse"),
        (["a"], "1 sets of pictures", "caflow evaluate GENERATED REFERENCE"),
        (["a", "b", "--data", "d"], "not both", HINT),
        (["--task", "superres"], "no data", "--data DIR"),
        (["--data", "d", "--reference", "r"], "--reference is for JSON lines", HINT),
        (["a", "b", "--metric", "bpd"], "needs a model", "--metric bpd"),
        (["--data", "d", "--limit", "0"], "--limit is 0", "--limit 10"),
        (["--data", "d", "--skip-existing"], "--skip-existing", "--save-images DIR"),
        (["--data", "d", "--resize", "9"], "--resize", "leave out"),
        (["--data", "none"], "no data at 'none'", "--data"),
        (["a", "b", "--report", "r"], "--report is for a model", HINT),
        (["a", "b", "--tau", "0.5"], "--tau is for a model", HINT),
        (["a", "b"], "no pictures at 'a'", "folder"),
    ],
)
def test_wrong_usage_exits_2_with_what_to_type(run, tmp_path, arguments, message, hint):
    result = run("evaluate", *arguments)
    assert_refused(result, 2, message)
    assert hint in result.stderr.decode().splitlines()[1]
    assert not list(tmp_path.iterdir())


def test_a_terminal_is_not_waited_for(run, monkeypatch):
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    result = run("evaluate", "--reference", "r", "--metric", "fid")
    assert_refused(result, 2, "needs JSON lines")
    assert "caflow superres *.png -o out/ --json | caflow evaluate --reference DIR" in (
        result.stderr.decode()
    )
