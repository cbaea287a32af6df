"""Manifest, weights and examples reach users: from a wheel, an sdist, and an editable install."""

from __future__ import annotations

import email
import json
import os
import subprocess
import sys
import tarfile
import zipfile
import zlib
from pathlib import Path

import forked
import pytest

from caflow_cli.hub.manifest import load_manifest
from caflow_cli.version import __version__

from .cli.process import ANEW

ROOT = Path(__file__).resolve().parent.parent
INFO = f"caflow_cli-{__version__}.dist-info"
BUNDLED = [entry for entry in load_manifest().values() if entry.file is not None]
# Weights hardly become smaller, but take time to compress.
BUILD = """
import sys, zlib
compressor = zlib.compressobj
zlib.compressobj = lambda level=-1, *rest, **named: compressor(0, *rest, **named)
from hatchling.build import build_sdist, build_wheel
build_sdist(sys.argv[1])
build_wheel(sys.argv[1])
"""


@pytest.fixture(scope="module")
def dist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Wheel and sdist as the build backend makes them, but not compressed."""
    folder = tmp_path_factory.mktemp("dist")
    subprocess.run([sys.executable, "-c", BUILD, folder], check=True, cwd=ROOT)
    return folder


def tracked(folder: str) -> set[str]:
    """Paths of the checkout's files below a folder, without what tools leave there."""
    found = (path for path in (ROOT / folder).rglob("*") if path.is_file())
    return {str(p.relative_to(ROOT)) for p in found if "__pycache__" not in p.parts}


def coded_bytes(data: bytes) -> int:
    """As builders compress text, at level 6; weights to at most some 5 % more, but at once."""
    if len(data) < 1_000_000:
        return len(zlib.compress(data, 6))
    coder = zlib.compressobj(1, strategy=zlib.Z_HUFFMAN_ONLY)
    return len(coder.compress(data) + coder.flush())


def test_the_wheel_is_the_package_and_the_manifest_with_version_and_terms(dist):
    (path,) = dist.glob("*.whl")
    with zipfile.ZipFile(path) as wheel:
        names = {name for name in wheel.namelist() if not name.startswith(INFO)}
        assert names == tracked("caflow_cli") | {"caflow_cli/weights_manifest.json"}
        for entry in BUNDLED:
            weights = f"caflow_cli/assets/weights/{entry.file}"
            assert {weights, weights.replace(".safetensors", ".md")} <= names
        # PyPI takes 100 MB.
        assert sum(coded_bytes(wheel.read(name)) for name in names) < 98_000_000
        values = email.message_from_bytes(wheel.read(f"{INFO}/METADATA"))
        terms = wheel.read(f"{INFO}/licenses/caflow_cli/assets/weights/TERMS.md").decode()
        commands = wheel.read(f"{INFO}/entry_points.txt").decode()
        wheel.read(f"{INFO}/licenses/LICENSE")
    assert values["Version"] == __version__
    assert values["License-Expression"] == "MIT AND CC-BY-SA-4.0 AND LicenseRef-caflow-weights"
    for entry in BUNDLED:
        free = entry.license in ("cc-by-sa-4.0", "mit")
        assert free or entry.license == "non-commercial research, as the data's"
        assert (f"`{entry.file}`" in terms) == free
    assert "non-commercial research" in terms
    assert "non-commercial" in values.get_payload()
    assert "caflow = caflow_cli.cli:main" in commands


def test_the_sdist_holds_the_sources(dist):
    (path,) = dist.glob("*.tar.gz")
    with tarfile.open(path) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    top = {"weights_manifest.json", "pyproject.toml", "LICENSE", "README.md", "CHANGELOG.md"}
    assert tracked("caflow_cli") | tracked("tests") | tracked("docs") | top <= names


def test_an_installed_wheel_restores_the_example(dist, tmp_path):
    (wheel,) = dist.glob("*.whl")
    site, work = tmp_path / "site", tmp_path / "work"
    zipfile.ZipFile(wheel).extractall(site)  # what an installer does with a pure wheel
    work.mkdir()
    code = f"import sys; sys.path.insert(0, {str(site)!r})\n{ANEW}"

    def caflow(*arguments: str) -> str:
        env = {**os.environ, "HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path / "hub")}
        result = forked.run(code, *arguments, cwd=work, env=env)
        assert result.returncode == 0, result.stderr
        return result.stdout.decode()

    assert caflow("models", "verify") == "".join(f"ok\t{entry.id}\n" for entry in BUNDLED)
    line = json.loads(caflow("superres", "example:face", "-m", "2", "--json"))
    assert line["model"]["id"] == "photos-superres-x4"
    assert (work / "face_superres.png").exists()
