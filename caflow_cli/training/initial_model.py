"""The initial model of a run."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

from ..config import Config, FlowConfig
from ..errors import EXIT_USAGE, CaflowError
from ..model import CAFlow, read_info
from .config import RunConfig
from .phases import GUIDE

__all__ = ["starting_model"]


def starting_model(config: RunConfig, resume: bool = False) -> CAFlow:
    """Make a fresh model, or one with the weights of `init_from`.

    If the config's guide has another net than that model's, all weights but the guide's are taken.
    The new guide has no effect at first, since its last convolution is zero, and the old one is
    lost. A resumed run does not read `init_from`, because its state holds all weights.

    Raises:
        CaflowError: The model differs in more than its guide (exit code 2), or cannot be read.
    """
    own = Config(config.flow, config.task)
    if not config.init_from or resume:
        return CAFlow(own)
    source, info = CAFlow.load(Path(config.init_from)), read_info(Path(config.init_from))
    if _without_guide(info.config.flow) != _without_guide(config.flow):
        raise CaflowError(
            f"{config.init_from!r} has another architecture than the run",
            "take the run's [flow] from that model's config; only its guide may differ",
            EXIT_USAGE,
        )
    model, theirs = CAFlow(own), source.state_dict()
    keeps_guide = info.config.flow.same_guide(config.flow)
    model.load_state_dict(
        {
            name: theirs[name] if keeps_guide or not name.startswith(GUIDE) else fresh
            for name, fresh in model.state_dict().items()
        }
    )
    return model


def _without_guide(flow: FlowConfig) -> dict[str, object]:
    """All but what the guide is; R reads its predicted image, so whether there is one counts."""
    rest = {k: v for k, v in asdict(flow).items() if k not in FlowConfig.GUIDE_FIELDS}
    return {**rest, "guided": bool(flow.guides)}
