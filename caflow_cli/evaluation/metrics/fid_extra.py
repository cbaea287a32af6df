"""The packages that only metrics of sets need, which the extra `fid` installs."""

from __future__ import annotations

from importlib.util import find_spec

from ...errors import EXIT_WEIGHTS, CaflowError

__all__ = ["require_fid_extra"]

# torchmetrics computes both distances, torch-fidelity is the Inception network that it takes.
_PACKAGES = {"torchmetrics": "torchmetrics", "torch_fidelity": "torch-fidelity"}


def require_fid_extra(inception: bool = True) -> None:
    """CaflowError (exit 3) unless the packages are installed. Nothing is imported.

    Args:
        inception: Whether the features are those of the Inception network.
    """
    needed = _PACKAGES if inception else {"torchmetrics": _PACKAGES["torchmetrics"]}
    missing = [name for module, name in needed.items() if find_spec(module) is None]
    if missing:
        raise CaflowError(
            f"fid, kid and coverage need {' and '.join(missing)}, not installed here",
            "pip install 'caflow-cli[fid]'",
            EXIT_WEIGHTS,
        )
