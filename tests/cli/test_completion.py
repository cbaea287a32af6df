from __future__ import annotations

import subprocess
import sys

import pytest

from caflow_cli.cli import completion
from caflow_cli.config import PRESETS
from caflow_cli.evaluation.metrics.catalogue import METRICS
from caflow_cli.hub.manifest import load_manifest


def test_values_are_all_there_are():
    assert completion.models("") == list(load_manifest())
    assert completion.presets("") == list(PRESETS)
    assert completion.metrics("") == [*METRICS, "all"]
    assert completion.tasks("co") == ["colorize"]
    assert completion.devices("c") == ["cpu", "cuda"]
    assert "example:face" in completion.images("exa")


def test_a_list_goes_on_behind_its_comma():
    assert completion.metrics("lpips,ps") == ["lpips,psnr", "lpips,psnr_y", "lpips,psnr_hole"]


def test_files_are_left_to_the_shell():
    assert completion.images("") == completion.images("photo") == []
    assert completion.models("runs/") == []


@pytest.mark.parametrize(
    ("words", "found"),
    [
        ("caflow superres --model faces-su", "faces-superres-x4"),
        ("caflow superres exam", "example:face"),
        ("caflow train --preset comp", "compact"),
        ("caflow evaluate --metric rm", "rmse"),
        ("caflow models info faces-su", "faces-superres-x4"),
    ],
)
def test_a_shell_gets_them(run, words, found):
    count = len(words.split()) - 1
    environment = {
        "_CAFLOW_COMPLETE": "complete_bash",
        "COMP_WORDS": words,
        "COMP_CWORD": str(count),
    }
    assert found in run(**environment).stdout.decode().split()


def test_completion_is_quick():
    code = (
        "import sys\nfrom caflow_cli.cli import completion\n"
        "for name in completion.__all__:\n"
        "    getattr(completion, name)('e')\n"
        "print({'torch', 'numpy', 'PIL'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout == "set()\n", done.stderr
