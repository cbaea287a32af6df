"""The command line of `.ci/models`."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from caflow_cli.errors import CaflowError
from model_cards.pages import Place, check, write
from model_cards.record import Record, Words


def main(arguments: Sequence[str], root: Path) -> int:
    """Run a command on the checkout at `root`; its exit code."""
    place = Place(root)
    options = _parser().parse_args(arguments)
    try:
        if options.command == "measure":
            return _measure(options, place)
        if options.command == "far":
            return _far(options, place)
        if options.command == "whole":
            return _whole(options, place)
        if options.command == "write":
            for path in write(place):
                print(path.relative_to(root).as_posix())
            return 0
        differences = check(place)
        print("\n".join(differences), end="\n" if differences else "", file=sys.stderr)
        return min(1, len(differences))
    except CaflowError as error:
        print(f"error: {error.message}\nhint: {error.hint}", file=sys.stderr)
        return error.exit_code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog=".ci/models", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    one = commands.add_parser("measure", help="write docs/models/ID.json")
    one.add_argument("id")
    one.add_argument("--file", type=Path, help="default: the bundled file of that id")
    one.add_argument(
        "--data", type=Path, help="default: the data of ID.toml in the folder CAFLOW_TEST_DATA"
    )
    one.add_argument("--pictures", type=int, help="of test/; default: as ID.toml says")
    one.add_argument("--curve-draws", type=int, help="of each picture and τ; default 2")
    one.add_argument("--conditions", type=int, help="for draws at τ 1 and 1.2; default 10")
    one.add_argument("--draws", type=int, help="of each of these conditions; default 10")
    one.add_argument("--noise-samples", type=int, help="K of bits/dim; default 8")
    one.add_argument("--seed", type=int, help="default 0")
    one.add_argument("-o", "--output", type=Path, help="default: docs/models/ID.json")
    far = commands.add_parser(
        "far", help="measure draws at τ 1 and 1.2 anew in docs/models/ID.json"
    )
    far.add_argument("id")
    far.add_argument("--data", type=Path, help="as for measure")
    far.add_argument("--conditions", type=int, default=100)
    far.add_argument("--draws", type=int, default=100, help="of each of them")
    whole = commands.add_parser("whole", help="write docs/models/ID.whole.json")
    whole.add_argument("id")
    whole.add_argument("--file", type=Path, help="default: the bundled file of that id")
    whole.add_argument("--protocol", required=True, help="sr4, repair or colour")
    whole.add_argument("--data", type=Path, required=True, help="folder or zip: one set")
    whole.add_argument("--masks", type=Path, help="for repair: folder or zip")
    whole.add_argument("--limit", type=int, help="the first so many pictures; default: all")
    whole.add_argument("-m", "--candidates", type=int, help="default: as many as the model draws")
    commands.add_parser("write", help="write cards, manifest and tables from the records")
    commands.add_parser("check", help="say what differs from the records")
    return parser


def _whole(options: argparse.Namespace, place: Place) -> int:
    from model_cards.whole import measure_whole

    path, output = options.file or place.weights(options.id), place.whole(options.id)
    whole = measure_whole(
        path,
        options.protocol,
        options.data,
        output,
        masks=options.masks,
        limit=options.limit,
        candidates=options.candidates,
    )
    output.parent.mkdir(parents=True, exist_ok=True)
    output.write_text(whole.to_json(), encoding="utf-8")
    return 0


def _measure(options: argparse.Namespace, place: Place) -> int:
    import torch

    from model_cards.measure import Plan, measure

    pictures = options.pictures or Words.read(place.words(options.id)).pictures
    data = _data(options, place)
    given = {
        name: value
        for name in ("curve_draws", "conditions", "draws", "noise_samples", "seed")
        if (value := getattr(options, name)) is not None
    }
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))
    plan = Plan(data, pictures, **given)
    record = measure(options.id, options.file or place.weights(options.id), plan)
    output = options.output or place.record(options.id)
    output.parent.mkdir(parents=True, exist_ok=True)
    output.write_text(record.to_json(), encoding="utf-8")
    print(f"{output}: {record.core_seconds / 60:.1f} minutes of one core", file=sys.stderr)
    return 0


def _far(options: argparse.Namespace, place: Place) -> int:
    import torch

    import caflow_cli as caflow
    from caflow_cli.paths import sha256_of
    from model_cards.far import far_draws
    from model_cards.measure import Plan, problems_of

    path, file = place.weights(options.id), place.record(options.id)
    record = Record.read(file)
    if record.sha256 != sha256_of(path):
        raise CaflowError(
            f"the record of {options.id} is of another file", f".ci/models measure {options.id}"
        )
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))
    model = caflow.load(str(path))
    plan = Plan(_data(options, place), options.conditions, seed=record.protocol.seed)
    far = far_draws(model, list(problems_of(model, plan)), options.draws, plan.seed)
    file.write_text(replace(record, far=far).to_json(), encoding="utf-8")
    return 0


def _data(options: argparse.Namespace, place: Place) -> Path:
    """The set that is measured on."""
    if options.data is not None:
        return Path(options.data)
    folder = os.environ.get("CAFLOW_TEST_DATA")
    if folder is None:
        raise CaflowError("no data to measure on", "--data FILE, or CAFLOW_TEST_DATA")
    return Path(folder) / Words.read(place.words(options.id)).data
