"""Pages: links lead somewhere, images are those of today's models, examples run."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from caflow_cli.assets import WEIGHTS_DIR
from caflow_cli.cli.app import program

from .cli.inprocess import command_paths

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
IMAGES = DOCS / "images"
TOP = ("README.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md")
PAGES = sorted([*DOCS.glob("*.md"), *WEIGHTS_DIR.glob("*.md"), *(ROOT / name for name in TOP)])


def prose(page: Path) -> str:
    """A page without its blocks of code."""
    return re.sub(r"^```.*?^```$", "", page.read_text("utf-8"), flags=re.DOTALL | re.MULTILINE)


def anchors(page: Path) -> set[str]:
    """Of a page's headings, as GitHub and the site make them."""
    titles = re.findall(r"^#+ (.*)$", prose(page), flags=re.MULTILINE)
    return {re.sub(r"[^\w -]", "", title).strip().lower().replace(" ", "-") for title in titles}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_to_files_and_headings(page):
    text = prose(page)
    links = re.findall(r"\]\(([^)]+)\)", text) + re.findall(r'(?:src|href)="([^"]+)"', text)
    broken = []
    for link in links:
        if re.match(r"\w+:", link):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        if not target.exists() or (anchor and anchor not in anchors(target)):
            broken.append(link)
    assert broken == []


def test_the_index_and_the_site_know_every_page():
    index = (DOCS / "index.md").read_text("utf-8")
    site = (ROOT / "mkdocs.yml").read_text("utf-8")
    for page in DOCS.glob("*.md"):
        assert page.name == "index.md" or f"]({page.name})" in index, page.name
        assert re.search(rf": {page.name}$", site, flags=re.MULTILINE), page.name
    for card in WEIGHTS_DIR.glob("*.md"):
        assert f": cards/{card.name}" in site, card.name


def commands_of(page: Path) -> list[list[str]]:
    """The words after `caflow` of every command in a page's blocks of code."""
    text = page.read_text("utf-8").replace("\\\n", " ")
    found = []
    for block in re.findall(r"^```sh\n(.*?)^```$", text, flags=re.DOTALL | re.MULTILINE):
        for line in block.splitlines():
            code = line.split(" #")[0]
            found += [one.split() for one in re.findall(r"\bcaflow(?:_cli)? ([^|&>]+)", code)]
    return found


def test_commands_of_the_pages_exist_and_so_do_their_options():
    paths = command_paths()
    unknown = []
    count = 0
    for page in PAGES:
        for words in commands_of(page):
            count += 1
            path = next((path for path in paths if words[: len(path)] == path), [])
            command = program
            for name in path:
                command = command.commands[name]
            known = {name for one in command.params for name in (*one.opts, *one.secondary_opts)}
            used = {word.split("=")[0] for word in words if re.match(r"--?[a-z]", word)}
            if not path or used - known:
                unknown.append((page.name, " ".join(words)))
    assert unknown == []
    assert count > 50


@pytest.mark.parametrize("name", ["docs/architecture.md", "CONTRIBUTING.md"])
def test_paths_in_code_style_exist(name):
    """Paths in the package, such as `model/density.py` or `density.py`, or in the checkout."""
    text = (ROOT / name).read_text("utf-8")
    paths = re.findall(r"`((?:[A-Za-z_.]+/)+[\w.]*|\w+\.py)`", text)
    paths = [path for path in paths if Path(path).stem not in ("NAME", "ID")]
    assert paths
    package = ROOT / "caflow_cli"
    assert [p for p in paths if not (ROOT / p).exists() and not [*package.rglob(p)]] == []


def test_the_images_are_of_these_models_examples_and_script(monkeypatch):
    monkeypatch.syspath_prepend(IMAGES)
    import draw

    record = json.loads((IMAGES / "drawn_from.json").read_text("utf-8"))
    assert record["sources"] == draw.digests(draw.sources()), "python docs/images/draw.py"
    found = {
        path.relative_to(ROOT).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in IMAGES.glob("*.webp")
    }
    assert record["images"] == found, "python docs/images/draw.py"
    bundled = {path.stem for path in WEIGHTS_DIR.glob("*.safetensors")}
    assert {scene.model for scene in draw.SCENES} <= bundled


def test_the_flow_of_the_page_learns_a_density(capsys):
    """With fewer steps than the page takes. How good it gets depends on the processor; that it
    integrates to 1, gets better, and draws from its own density does not."""
    page = (DOCS / "library.md").read_text("utf-8")
    code = "\n".join(re.findall(r"^```python\n(.*?)^```$", page, flags=re.DOTALL | re.MULTILINE))
    assert code.count("range(300)") == 1
    names = {}
    exec(compile(code.replace("range(300)", "range(40)"), "docs/library.md", "exec"), names)
    assert float(names["mass"]) == pytest.approx(1, abs=0.01)
    flow, axis = names["flow"], names["axis"]
    with torch.no_grad():
        untrained = names["Flow"]().eval().log_prob(names["half_circles"](2000)).mean()
        on_grid, of_samples = flow.log_prob(names["grid"]), flow.log_prob(names["samples"])
    assert float(names["nats"]) > float(untrained)
    entropy = -float((on_grid.exp() * on_grid).sum() * (axis[1] - axis[0]) ** 2)
    error = float(of_samples.std()) / len(of_samples) ** 0.5
    assert -float(of_samples.mean()) == pytest.approx(entropy, abs=6 * error)
    assert capsys.readouterr().out.count("\n") == 2


def test_the_density_example_runs(capsys):
    """With fewer steps than the page takes."""
    page = (DOCS / "scores.md").read_text("utf-8")
    code = "\n".join(re.findall(r"^```python\n(.*?)^```$", page, flags=re.DOTALL | re.MULTILINE))
    assert code.count("range(100)") == 1
    exec(compile(code.replace("range(100)", "range(12)"), "docs/scores.md", "exec"), {})
    assert capsys.readouterr().out.count("\n") == 3


def test_a_face_is_put_back_where_it_was_cut(tmp_path, monkeypatch, model_files):
    page = (DOCS / "models.md").read_text(encoding="utf-8")
    (code,) = re.findall(r"```python\n(.*?group\.png.*?)```", page, flags=re.DOTALL)
    code = code.replace('"faces-superres-x4"', repr(str(model_files["superres"])))
    monkeypatch.chdir(tmp_path)
    photo = Image.fromarray(np.random.default_rng(0).integers(0, 256, (80, 96, 3), np.uint8))
    photo.save("group.png")
    exec(compile(code, "models.md", "exec"), {})
    plain = np.array(photo.resize((384, 320)), int)
    changed = (np.array(Image.open("large.png"), int) != plain).any(-1)
    rows, columns = np.nonzero(changed)
    # The square is 37 pixels wide, around (45.2, 37.9), and its rim is soft.
    assert abs(columns.mean() - 4 * 45.2) < 4
    assert abs(rows.mean() - 4 * 37.9) < 4
    assert 100 < np.ptp(columns) < 200
