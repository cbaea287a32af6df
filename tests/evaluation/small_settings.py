"""Settings of one temperature and three candidates, and what a test changes in them."""

from __future__ import annotations

from caflow_cli.evaluation.settings import EvaluationSettings


def settings(**changes) -> EvaluationSettings:
    values = {
        "taus": (0.5,),
        "candidates": (3,),
        "keep": (1,),
        "metrics": ("rmse", "bpd", "likelihood"),
    }
    return EvaluationSettings(**{**values, **changes})
