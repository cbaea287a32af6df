"""The config of a run from a user's values: presets, and defaults that depend on other fields."""

import contextlib
import copy
import json
from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import Any

from ..config import Config, FlowConfig, TaskConfig
from ..data.examples import extremes, gray_sides, open_split
from ..errors import check_usage
from ..guide_specs import GUIDES
from ..records import Table, parse
from ..tasks import preset as preset_flow, task_named
from .config import ExternalConfig, RunConfig

# The paper's presets set more than the architecture (appendix B). Their budget is the training time
# on one Tesla P100: 4.5, 3 and 5 days.
_PAPER: dict[str, tuple[str, Table]] = {
    "ffhq-superres-x4": ("superres", {"lr": 1e-3, "cond_weight": 0.01, "minutes": 6480.0}),
    "lsun-colorize": ("colorize", {"lr": 1e-3, "cond_weight": 0.01, "minutes": 4320.0}),
    "celeba-inpaint": ("inpaint", {"lr": 1e-4, "cond_weight": 0.05, "minutes": 7200.0}),
}
_RATE_OF_FIELDS = 2e-3  # at 0.008 they diverge
# For a run at a constant rate that starts from another run's weights: they tolerate the full rate
# at once, but the optimizer needs some steps to estimate its moments.
_CONTINUED_WARMUP = 150


def build_config(
    values: Table,
    settings: Sequence[str] = (),
    *,
    preset: str | None = None,
    task: str | None = None,
    start: Config | None = None,
    guide: tuple[ExternalConfig, Table] | None = None,
    resume: bool = False,
) -> RunConfig:
    """Build a run's config from a user's values, and fill in defaults that depend on them.

    If neither values nor settings state the number of condition channels, the task decides it; for
    paired data it is 1 if the conditions are gray, else 3. Results are gray if the targets of pairs
    are. A new guide trains first.

    Args:
        values: Nested, as in `config.toml`.
        settings: `key=value` strings, which override everything else.
        preset: Name of the architecture, in place of that of values. Default: `compact`, of which
            values and settings change single fields. The paper's presets also set task, schedule
            and budget, unless values or settings do.
        task: Name of the task.
        start: Config of the model whose weights the run starts from. It supplies the fields of flow
            and task that values and settings do not state.
        guide: A published network to use as the guide, as `read_external` describes it.
        resume: Whether values are those of a run that goes on, and state everything.

    Raises:
        CaflowError: (exit 2) a setting has no `=`, a key is unknown, a value has the wrong type, or
            the preset or task is unknown.
    """
    if task is not None:
        settings = [f"task.name={task}", *settings]
    tables = _tables(values, settings)
    stated: Table = tables["flow"]
    gray = tables["task"].get("gray")
    if preset is not None:
        stated = merged({"flow": {}}, settings)["flow"]
    elif start is None and not resume:
        preset = "field" if tables["task"].get("values") else "compact"
    if start is not None:
        _start_from(start, tables)
    if preset in _PAPER:
        _follow_paper(preset, tables)
    if isinstance(tables["task"].get("values"), dict):
        _follow_fields(tables, stated)
    name = str(tables["task"].get("name", TaskConfig.name))
    if guide is not None:
        tables["guide"] = asdict(guide[0])
    tables["flow"] = _flow_values(tables, name, preset, stated, guide[1] if guide else {})
    kind = task_named(name)
    if kind.role == "pairs" and not resume:
        _follow_pairs(tables, gray)
    tables["flow"].setdefault("cond_channels", kind.channels[0])
    run = parse(RunConfig, tables)
    return with_defaults(run, start.flow if start else None)


def _tables(values: Table, settings: Sequence[str]) -> Table:
    """Values and settings together, with the tables in which defaults are filled in."""
    tables = {"flow": {}, "task": {}, "optim": {}, **merged(values, settings)}
    if not all(isinstance(tables[table], dict) for table in ("flow", "task", "optim")):
        parse(RunConfig, tables)  # raises, because one of them is not a table
    return tables


def _start_from(start: Config, tables: Table) -> None:
    tables["flow"] = asdict(start.flow) | tables["flow"]
    tables["task"] = asdict(start.task) | tables["task"]
    if tables["optim"].get("schedule") == "stable":
        tables["optim"] = {"warmup": _CONTINUED_WARMUP} | tables["optim"]


def _follow_paper(preset: str, tables: Table) -> None:
    """Fill in the task, schedule and budget of one of the paper's presets."""
    task, optim = _PAPER[preset]
    tables["task"] = {"name": task} | tables["task"]
    if tables["optim"].get("images") is not None:
        optim = optim | {"minutes": None}
    tables["optim"] = {"schedule": "paper", "method": "adam"} | optim | tables["optim"]


def _follow_fields(tables: Table, stated: Table) -> None:
    """Fill in what fields need: crops, a rate at which dry ones do no harm, and their range."""
    tables["task"] = {"reduce": "mean"} | tables["task"]
    tables["optim"] = {"lr": _RATE_OF_FIELDS} | tables["optim"]
    tables.setdefault("crop", "random")
    values = tables["task"]["values"]
    if {"unit", "transform"} <= values.keys() and not {"low", "high"} <= values.keys():
        how: Table = {"role": "fields", "unit": values["unit"], "hold_out": "20+"}
        how |= {key: tables[key] for key in ("seed", "hold_out") if tables.get(key)}
        with open_split(str(tables.get("data")), "train", **how) as fields:
            low, high = extremes(fields)
        tables["task"]["values"] = {"low": low, "high": high} | values
    tables["flow"]["dry"] = stated["dry"] = values.get("transform") == "db"
    if values.get("transform") == "relative":
        stated.setdefault("guide_net", "relief")


def with_defaults(config: RunConfig, start: FlowConfig | None = None) -> RunConfig:
    """Set what is None: `transpose`, and the fields of `optim` that concern a guide.

    Tasks that enlarge show all orientations, unless nothing is mirrored. A guide trains first,
    because it is fixed afterward, unless it has trained: as a published network, or as the guide of
    the model that the run starts from, whose flow is `start`.
    LPIPS needs VGG16 and large images; without, the guide trains on L1 alone.
    """
    flow = config.flow
    trained = config.guide is not None or (start is not None and start.same_guide(flow))
    fields: Table = {
        "guide_first": 0.35 if flow.guides and not trained else 0.0,
        "guide_first_lr": flow.guide_spec.rate,
        "guide_perceptual": flow.guide_spec.perceptual,
    }
    if flow.guides:
        from ..perceptual import LEAST_SIDE, VGG, is_available  # here, because it imports torch

        small = config.task.size < LEAST_SIDE
        if small or not is_available(VGG, config.perceptual_weights):
            fields["guide_perceptual"] = 0.0
    unset = {name: value for name, value in fields.items() if getattr(config.optim, name) is None}
    transpose = config.transpose
    if transpose is None:
        transpose = config.flip and task_named(config.task.name).enlarges
    return replace(config, transpose=transpose, optim=replace(config.optim, **unset))


def _follow_pairs(tables: Table, gray: Any) -> None:
    """Fill in whether conditions of pairs are gray, and unless `gray` is stated, their targets."""
    data = tables.get("data")
    if isinstance(data, str):
        conditions, targets = gray_sides(data)
        tables["flow"].setdefault("cond_channels", 1 if conditions else 3)
        tables["task"]["gray"] = targets if gray is None else gray


def _flow_values(
    tables: Table,
    task: str,
    preset: str | None,
    stated: Table,
    of_guide: Table,
) -> Table:
    """Fields of the flow: of a preset, else of `tables`; then the `stated` and the guide's."""
    flow: Table = tables["flow"]
    if preset is not None:
        flow = asdict(preset_flow(preset, task))
        factor = tables["task"].get("factor", TaskConfig.factor)
        if isinstance(factor, int) and 2 <= factor <= 64:  # others are rejected later
            flow["guide_factor"] = 1 << min(4, factor.bit_length() - 1)
            spec = GUIDES[flow["guide_net"]]
            if spec.enlarges and factor != flow["guide_factor"]:
                flow["guide_net"] = spec.otherwise
        if preset != "field" and (preset not in _PAPER or _PAPER[preset][0] != task):
            del flow["cond_channels"]  # the task decides
        if stated.get("guide") == 0:
            flow["spread"] = FlowConfig.spread
        flow |= stated
    if of_guide and not flow.get("guide"):  # as in presets with a guide
        flow = flow | {"spread": 64, "scale_bound": 1.0} | stated
    return flow | of_guide


def merged(values: Table, settings: Sequence[str]) -> Table:
    """Copy `values` (nested), overridden by every `key=value` of `settings`.

    The value of a setting is parsed as JSON if possible, else taken as text.

    Raises:
        CaflowError: (exit 2) a setting has no `=`, or its key lies in something that is no table.
    """
    values = copy.deepcopy(values)
    for setting in settings:
        key, equals, text = setting.partition("=")
        check_usage(bool(equals), f"setting {setting!r} has no value", "--set optim.lr=0.001")
        *tables, name = key.strip().split(".")
        table = values
        for part in tables:
            table = table.setdefault(part, {})
            check_usage(
                isinstance(table, dict), f"unknown config key {key!r}", "--set optim.lr=0.001"
            )
        table[name] = text.strip()
        with contextlib.suppress(ValueError, RecursionError):
            table[name] = json.loads(table[name])
    return values
