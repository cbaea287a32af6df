"""Manifest, weights and examples reach users: from a wheel, an sdist, and an editable install."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

from caflow_cli.hub.manifest import load_manifest, manifest_path

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="module")
def dist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(folder), str(ROOT)]
    subprocess.run(command, check=True, capture_output=True)
    return folder


def needed() -> set[str]:
    weights = {f"caflow_cli/assets/weights/{e.file}" for e in load_manifest().values()}
    examples = {f"caflow_cli/assets/examples/{name}.png" for name in ("face", "face_64")}
    names = ("template.html", "style.css", "script.js")
    page = {f"caflow_cli/evaluation/report/{name}" for name in names}
    return page | weights | examples | {"caflow_cli/py.typed"}


def test_the_wheel_holds_what_users_need_and_no_tests(dist):
    (path,) = dist.glob("*.whl")
    names = set(zipfile.ZipFile(path).namelist())
    assert needed() | {"caflow_cli/weights_manifest.json"} <= names
    assert not any(name.startswith("tests/") for name in names)
    assert path.stat().st_size < 70_000_000


def test_the_sdist_holds_the_manifest_at_its_top(dist):
    (path,) = dist.glob("*.tar.gz")
    with tarfile.open(path) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert needed() | {"weights_manifest.json", "pyproject.toml", "LICENSE", "README.md"} <= names


def test_an_installed_wheel_restores_the_example(dist, tmp_path):
    (wheel,) = dist.glob("*.whl")
    site = tmp_path / "site"
    zipfile.ZipFile(wheel).extractall(site)  # what an installer does with a pure wheel
    code = (
        "import sys, caflow_cli; sys.argv[0] = 'caflow'\n"
        f"assert caflow_cli.__file__.startswith({str(site)!r}), caflow_cli.__file__\n"
        "from caflow_cli.cli import main; main()"
    )
    # -P and the path: the checkout, installed or not, must not be what is imported.
    work = tmp_path / "work"
    work.mkdir()
    result = subprocess.run(
        [sys.executable, "-c", code, "superres", "example:face", "-m", "2", "--json"],
        cwd=work,
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(site), "OMP_NUM_THREADS": "1"},
    )
    assert result.returncode == 0, result.stderr
    assert json.loads(result.stdout)["model"]["id"] == "faces-superres-x4"
    assert (work / "face_superres.png").exists()


def test_an_editable_install_reads_the_manifest_of_the_checkout():
    if "site-packages" in str(manifest_path()):
        pytest.skip("not an editable install")
    assert manifest_path() == ROOT / "weights_manifest.json"
