"""The packages that FID and KID alone need: the extra `fid` of the installation."""

from __future__ import annotations

from importlib.util import find_spec

from ...errors import EXIT_WEIGHTS, CaflowError

__all__ = ["require_fid_extra"]

# torchmetrics computes both distances, torch-fidelity is the Inception network that it takes.
_PACKAGES = {"torchmetrics": "torchmetrics", "torch_fidelity": "torch-fidelity"}


def require_fid_extra() -> None:
    """CaflowError (exit 3) unless the packages are installed. Nothing is imported."""
    missing = [name for module, name in _PACKAGES.items() if find_spec(module) is None]
    if missing:
        raise CaflowError(
            f"fid and kid need {' and '.join(missing)}, not installed here",
            "pip install 'caflow-cli[fid]'",
            EXIT_WEIGHTS,
        )
