"""Fixtures of all tests, which `conftest.py` hands to the processes that run them."""

import copy
import gc
import sys
from dataclasses import replace
from pathlib import Path

import helpers
import pytest
import torch
from fake_opencv import fake_opencv
from safetensors.torch import save_file

from caflow_cli.config import TaskConfig
from caflow_cli.images import write_png
from caflow_cli.model import CAFlow

torch.set_num_threads(1)


def pytest_collection_finish() -> None:
    """Look for garbage among what tests make alone, not among all that is imported."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session")
def small_model() -> CAFlow:
    """Three scales and three-channel images, float32. Shared: deepcopy it to change it."""
    return helpers.data_like_model(helpers.small_config(), seed=2, size=32)


@pytest.fixture(scope="session")
def small_model64(small_model: CAFlow) -> CAFlow:
    """`small_model` in float64. Shared likewise."""
    return copy.deepcopy(small_model).double()


@pytest.fixture(scope="session")
def task_models(small_model: CAFlow) -> dict[str, CAFlow]:
    """A model for every task, 32x32; those beside `small_model` of few modules. Shared likewise."""
    others = ("colorize", "inpaint", "paired")
    models = {
        name: helpers.data_like_model(
            helpers.task_config(name, conditional="dual-glow"), seed=seed, size=32
        )
        for seed, name in enumerate(others, 3)
    }
    return {"superres": small_model, **models}


@pytest.fixture(scope="session")
def model_files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A model file for every task, 32x32, three scales, random weights.

    Of the variant that has the fewest modules, because commands load a model at every run.
    """
    folder = tmp_path_factory.mktemp("models")
    paths = {}
    for seed, name in enumerate(("superres", "colorize", "inpaint", "paired"), 2):
        config = helpers.task_config(name, conditional="dual-glow", scales=1, t_steps=1)
        paths[name] = folder / f"{name}.safetensors"
        helpers.data_like_model(config, seed, size=32).save(paths[name], {"images": 0})
    return paths


@pytest.fixture(scope="session")
def model_file(model_files: dict[str, Path]) -> Path:
    """That of superres x4."""
    return model_files["superres"]


@pytest.fixture(scope="session")
def gray_model() -> CAFlow:
    """Two scales, a gray condition, and values in its config that are no defaults. Shared."""
    config = helpers.small_config(scales=2, cond_channels=1)
    config = replace(config, task=TaskConfig("colorize", tau=0.85, candidates=10))
    return helpers.data_like_model(config, seed=5, size=16)


@pytest.fixture(scope="session")
def _gray_bytes(gray_model: CAFlow, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("gray") / "model.safetensors"
    gray_model.save(path, helpers.RECORD)
    return path.read_bytes()


@pytest.fixture
def gray_file(_gray_bytes: bytes, tmp_path: Path) -> Path:
    """`gray_model` as a file of this test's own, `model.safetensors`, with `helpers.RECORD`."""
    path = tmp_path / "model.safetensors"
    path.write_bytes(_gray_bytes)
    return path


@pytest.fixture(scope="session")
def models_32(task_models: dict[str, CAFlow]) -> dict[str, CAFlow]:
    """`task_models`, each of which says that its images are of 32x32."""
    superres = copy.copy(task_models["superres"])
    superres.config = helpers.task_config("superres")
    return {**task_models, "superres": superres}


@pytest.fixture(scope="session")
def true_images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five images of 32x32 in `test/`, and in `train/` one that no evaluation may read."""
    folder = tmp_path_factory.mktemp("images")
    images = helpers.smooth_image(5, 3, 32, seed=8).permute(0, 2, 3, 1).numpy()
    for name, image in zip(("p0", "p1", "p2", "p3", "sub/p4"), images, strict=True):
        (folder / "test" / name).parent.mkdir(parents=True, exist_ok=True)
        write_png(folder / "test" / f"{name}.png", image)
    (folder / "train").mkdir()
    write_png(folder / "train" / "other.png", images[0])
    return folder


@pytest.fixture
def without_curves(monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs draw no curve, which takes as long as their steps."""
    monkeypatch.setattr("caflow_cli.training.validate.draw_curve", lambda _: b"")


@pytest.fixture
def opencv_in_name(monkeypatch: pytest.MonkeyPatch) -> None:
    """`fake_opencv` in OpenCV's place, installed or not."""
    monkeypatch.setitem(sys.modules, "cv2", fake_opencv())


@pytest.fixture(scope="session")
def flat_trunk(tmp_path_factory):
    """A trunk of AlexNet's shapes whose weights are small and random."""
    import lpips

    net = lpips.LPIPS(net="alex", pnet_rand=True, verbose=False)
    path = tmp_path_factory.mktemp("lpips") / "trunk.safetensors"
    generator = torch.Generator().manual_seed(0)
    save_file(
        {
            name: 0.01 * torch.randn(value.shape, generator=generator)
            for name, value in net.state_dict().items()
            if name.startswith("net.")
        },
        path,
    )
    return path


@pytest.fixture
def without_lpips(flat_trunk, monkeypatch):
    """Where no trunk of LPIPS is at hand, and its values do not matter."""
    monkeypatch.setenv("CAFLOW_LPIPS_WEIGHTS", str(flat_trunk))
