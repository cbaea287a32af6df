"""The header of a model file, read without tensors, and refused if it is false."""

import json

import helpers
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from caflow_cli.checkpoint import read_info

from .hostile import assert_refused, parts, record, safetensors, tensor


def header(path):
    with safe_open(path, framework="pt") as file:
        return json.loads(file.metadata()["caflow"])


def test_the_header_describes_the_file(gray_file, gray_model):
    assert header(gray_file) == {
        "schema": 1,
        "config": gray_model.config.to_dict(),
        "training": helpers.RECORD,
    }


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (None, {}),
        (
            {"val": float("nan"), "optim": {"betas": (0.9, float("inf"))}},
            {"val": None, "optim": {"betas": [0.9, None]}},
        ),
    ],
)
def test_a_record_has_only_finite_numbers(tmp_path, gray_model, given, expected):
    gray_model.save(tmp_path / "m.safetensors", given)
    assert read_info(tmp_path / "m.safetensors").training == expected


def rewritten(path, **changes):
    """The file with other fields in its header."""
    save_file(load_file(path), path, {"caflow": json.dumps(header(path) | changes)})


def with_tensors(path, **changes):
    """The file with other tensors; None: without it."""
    names = {"lu": "T.scales.0.transitions.0.invconv.lu"}
    tensors = load_file(path) | {names.get(name, name): t for name, t in changes.items()}
    tensors = {name: t for name, t in tensors.items() if t is not None}
    save_file(tensors, path, {"caflow": json.dumps(header(path))})


def endless_tensors(path):
    """As many as a header can hold, named as a config of endless steps would have it."""
    header, _ = parts(path)
    steps = {f"R.scales.0.steps.{k}": tensor([0], 0, 0) for k in range(20_000)}
    path.write_bytes(safetensors({**steps, "__metadata__": header["__metadata__"]}))


@pytest.mark.parametrize(
    ("breakage", "named"),
    [
        (lambda path: path.unlink(), "no model file"),
        (lambda path: path.write_bytes(b"not a model at all" * 10), "safetensors"),
        (lambda path: path.write_bytes(path.read_bytes()[:-100]), "safetensors"),
        (lambda path: path.write_bytes(path.read_bytes()[:40]), "safetensors"),
        (lambda path: save_file(load_file(path), path), "not a caflow model"),
        (lambda path: save_file(load_file(path), path, {"caflow": "{"}), "header"),
        (lambda path: save_file(load_file(path), path, {"caflow": "{}"}), "header"),
        (lambda path: rewritten(path, schema=2), "schema 2"),
        (lambda path: rewritten(path, config=None), "config"),
        (lambda path: with_tensors(path, lu=None), "T.scales.0.transitions.0.invconv.lu"),
        (lambda path: with_tensors(path, lu=torch.zeros(2, 2)), "invconv.lu' is (2, 2), expected"),
        (lambda path: with_tensors(path, surplus=torch.zeros(2)), "surplus"),
        (endless_tensors, "does not have the tensors"),
    ],
)
def test_a_broken_file_is_named(gray_file, breakage, named):
    breakage(gray_file)
    assert_refused(gray_file, named)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"config": {"flow": {"scales": 10**9}}}, "scales is 1000000000"),
        ({"config": {"flow": {"t_steps": 10**12}}}, "the model would have"),
        ({"config": {"flow": {"hidden": 10**12}}}, "the model would have"),
        (
            {"config": {"flow": {"scales": 3, "r_steps": 100, "t_steps": 100, "f_steps": 100}}},
            "the model would have up to 1,218 layers",
        ),
        (
            {"config": {"flow": {"scales": 12, "r_steps": 100, "t_steps": 100, "f_steps": 100}}},
            "the model would have up to 10,290 layers",
        ),
        ({"config": {"flow": {"hidden": [8] * 100_000}}}, "hidden is"),
        ({"config": {"flow": {"f_hidden": 10**30}}}, "the model would have"),
        ({"config": {"flow": {"target_channels": 10**9}}}, "the model would have"),
        ({"config": {"flow": {"scales": "3"}}}, "flow.scales is '3'"),
        ({"config": {"flow": {"scales": True}}}, "flow.scales is True"),
        ({"config": {"flow": {"hidden": [[8]]}}}, "flow.hidden"),
        ({"config": {"flow": {"guide_net": "sums"}}}, "flow.guide_net"),
        ({"config": {"flow": {"conditional": "x" * 100_000}}}, "conditional is 'xxx"),
        ({"config": {"flow": {"x" * 100_000: 1}}}, "unknown key 'flow.xxx"),
        ({"config": {"flow": []}}, "flow is []"),
        ({"config": {"task": {"size": 10**9}}}, "size is 1000000000"),
        ({"config": {"task": {"candidates": 10**9}}}, "candidates is 1000000000"),
        ({"config": []}, "config"),
        ({"training": [1]}, "broken caflow header"),
        ({"schema": [1]}, "schema [1]"),
        ({"schema": True, "config": 1}, "config"),
    ],
)
def test_a_config_that_lies_is_refused(tmp_path, model_file, change, named):
    header, data = parts(model_file)
    values = record(header)
    for key, value in change.items():
        if isinstance(value, dict):
            values[key] = {
                part: {**values[key][part], **fields} if isinstance(fields, dict) else fields
                for part, fields in value.items()
            }
        else:
            values[key] = value
    header["__metadata__"]["caflow"] = json.dumps(values)
    path = tmp_path / "model.safetensors"
    path.write_bytes(safetensors(header, data))
    assert_refused(path, named, read_info)
