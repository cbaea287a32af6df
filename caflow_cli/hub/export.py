"""Export of a model's guide, for programs that run ONNX."""

import contextlib
import io
import logging
import warnings
from collections.abc import Iterator
from pathlib import Path

import torch
from torch import Tensor, nn

from ..errors import EXIT_WEIGHTS, CaflowError, check_usage, usage_error
from ..guides import ResidualSR
from ..images import atomic_write
from .resolve import entry_of, load, resolve

OPSET = 17


class _Clamped(nn.Module):
    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, input: Tensor) -> Tensor:
        enlarged: Tensor = self.net(input)
        return enlarged.clamp(0, 1)


def export_onnx(name: str, path: Path, overwrite: bool = False) -> dict[str, str]:
    """Write the network of a model's guide as ONNX, and return the file's metadata.

    `input` is (N, 3, H, W), RGB in [0, 1], with dynamic N, H and W; `output` is (N, 3, factor H,
    factor W), clamped to [0, 1]. This is the image that the guide predicts: not a sample, and not
    exactly the image at τ 0, which the flows move.

    Raises:
        CaflowError: (exit 2) the model has no guide that reads the small image alone, or the file
            exists. (exit 3) there is no such model, or onnx and onnxscript are not installed.
    """
    found = resolve(name)
    model = load(found)
    guide = model.density.A.guide
    if not isinstance(guide, ResidualSR):
        raise usage_error(
            f"{name!r} has no guide that reads the small image alone",
            "a superres model trained with --set flow.guide_net=residual",
        )
    check_usage(overwrite or not path.exists(), f"{str(path)!r} exists", "add --overwrite")
    entry = entry_of(found)
    metadata = {
        "model": found.id,
        "sha256": found.sha256,
        "license": entry.license if entry else "see the training data's terms",
        "content": "the image that the guide predicts; not a sample",
    }
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
            _Clamped(guide).eval(),
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
