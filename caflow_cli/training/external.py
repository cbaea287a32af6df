"""A published network as the guide of a run: its file, and the crops on which it is computed."""

from pathlib import Path

from safetensors.torch import load_file
from torch import Tensor

from ..checkpoint import read_header
from ..errors import EXIT_WEIGHTS, check_usage, ensure
from ..guides import External
from ..paths import sha256_of
from ..records import Table
from .config import ExternalConfig

_MOST_REACH = 64  # pixels of the small image


def read_external(path: Path, license: str | None = None) -> tuple[ExternalConfig, Table]:
    """Describe the network in a file, and the fields of `flow` for it as the guide.

    Raises:
        CaflowError: (exit 2) spandrel knows no such architecture, or it is not for color images, or
            needs a mask. (exit 3) the file is not safetensors or damaged, or spandrel is missing.
    """
    guide = External(1)
    guide.set_tensors(read_tensors(path))
    network = guide.network
    channels = (network.input_channels, network.output_channels)
    check_usage(
        channels == (3, 3),
        f"{str(path)!r} reads {channels[0]} channels and writes {channels[1]}",
        "a network for color images",
    )
    guide.factor = network.scale
    config = ExternalConfig(
        file=str(path.resolve()),
        sha256=sha256_of(path),
        architecture=network.architecture.name,
        license=license or ExternalConfig.license,
    )
    flow = {
        "guide": 1,
        "guide_net": "external",
        "guide_factor": network.scale,
        "guide_reach": guide.reach(_MOST_REACH),
        "guide_views": 1,
    }
    return config, flow


def read_tensors(path: Path, sha256: str | None = None) -> dict[str, Tensor]:
    """Read all tensors of a safetensors file, whose sha256 is checked if it is given.

    Raises:
        CaflowError: (exit 3) there is no such file, it is damaged, not safetensors, or another one,
            or a value is not finite.
    """
    read_header(path)
    ensure(
        sha256 is None or sha256_of(path) == sha256,
        f"{str(path)!r} is no longer the file that the run's config names",
        "caflow train --guide FILE, with a new --out",
        EXIT_WEIGHTS,
    )
    tensors = load_file(path)
    for name, tensor in tensors.items():
        ensure(
            not tensor.is_floating_point() or bool(tensor.isfinite().all()),
            f"{str(path)!r} holds values that are not finite in {name[:80]!r}",
            "download or copy the file again, or --guide another",
            EXIT_WEIGHTS,
        )
    return tensors
