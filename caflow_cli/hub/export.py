"""Export of a model's guide, for other programs."""

import contextlib
import io
import logging
import warnings
from collections.abc import Iterator
from pathlib import Path

import torch
from safetensors.torch import save
from torch import nn

from ..errors import EXIT_WEIGHTS, CaflowError, check_usage, usage_error
from ..images import atomic_write
from .resolve import license_of, load, resolve

OPSET = 17


def read_guide(name: str, path: Path, overwrite: bool) -> tuple[nn.Module, dict[str, str]]:
    """Load the network of a model's guide, and the metadata of a new file that contains it.

    Raises:
        CaflowError: (exit 2) the file exists, or the model has no guide that reads the small image
            alone. (exit 3) there is no such model.
    """
    resolved = resolve(name)
    model = load(resolved)
    guide = model.density.A.guide
    if guide is None or not model.config.flow.guide_spec.enlarges:
        raise usage_error(
            f"{name!r} has no guide that reads the small image alone",
            "a superres model trained with --set flow.guide_net=compact",
        )
    check_usage(overwrite or not path.exists(), f"{str(path)!r} exists", "add --overwrite")
    return guide, {
        "model": resolved.id,
        "sha256": resolved.sha256,
        "license": license_of(resolved, model.record) or "see the training data's terms",
        "content": "the image that the guide predicts; not a sample",
    }


def export_guide(name: str, path: Path, overwrite: bool = False) -> dict[str, str]:
    """Write the network of a guide with the tensor names of SRVGGNetCompact, float32.

    Programs that use spandrel load it. Returns the file's metadata. Raises CaflowError as
    `read_guide`.
    """
    guide, metadata = read_guide(name, path, overwrite)
    tensors = {key: value.contiguous() for key, value in guide.state_dict().items()}
    atomic_write(path, save(tensors, metadata), replace=overwrite)
    return metadata


def export_onnx(name: str, path: Path, overwrite: bool = False) -> dict[str, str]:
    """Write the network of a guide as ONNX, and return the file's metadata.

    `input` is (N, 3, H, W), RGB in [0, 1], with dynamic N, H and W; `output` is (N, 3, factor H,
    factor W), clamped to [0, 1]. This is the image that the guide predicts: not a sample, and not
    exactly the image at τ 0, which the flows move.

    Raises:
        CaflowError: As `read_guide`; (exit 3) onnx and onnxscript are not installed.
    """
    guide, metadata = read_guide(name, path, overwrite)
    try:
        import onnx
        import onnxscript  # noqa: F401  # the exporter imports it
    except ImportError as error:
        raise CaflowError(
            "the export needs onnx and onnxscript", 'pip install -e ".[onnx]"', EXIT_WEIGHTS
        ) from error
    dynamic = torch.export.Dim.DYNAMIC
    with _quiet():
        program = torch.onnx.export(
            nn.Sequential(guide, nn.Hardtanh(0, 1)).eval(),
            (torch.rand(2, 3, 24, 32),),
            input_names=["input"],
            output_names=["output"],
            opset_version=OPSET,
            dynamic_shapes={"input": {0: dynamic, 2: dynamic, 3: dynamic}},
            dynamo=True,
            verbose=False,
        )
    assert program is not None
    proto = program.model_proto
    onnx.helper.set_model_props(proto, metadata)
    atomic_write(path, proto.SerializeToString(), replace=overwrite)
    return metadata


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Context without the exporter's notes on its own versions."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
