"""The help of `caflow evaluate`."""

from __future__ import annotations

import subprocess
import sys

from caflow_cli.evaluation import METRICS


def test_help_describes_every_metric_without_torch(tmp_path):
    probe = (
        "import sys; sys.argv = ['caflow', 'evaluate', '--help']\n"
        "from caflow_cli.cli import main\n"
        "try: main()\n"
        "finally: print('torch' in sys.modules, file=sys.stderr)\n"
    )
    result = subprocess.run(
        [sys.executable, "-c", probe], cwd=tmp_path, capture_output=True, text=True
    )
    assert result.stderr.splitlines() == ["False"]
    shown = " ".join(result.stdout.split())
    for name, metric in METRICS.items():
        assert f"{name}: {' '.join(metric.definition.split())}. Range {metric.range}" in shown
    assert "Example: caflow evaluate" in shown
