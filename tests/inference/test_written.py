"""The bytes of a written candidate. Alpha: `tests/cli/test_transparency.py`."""

from __future__ import annotations

import json

import numpy as np

from caflow_cli.images import Decoded, Encoder, decode, read_provenance
from caflow_cli.inference import restore
from caflow_cli.inference.loaded_model import LoadedModel
from caflow_cli.inference.written import provenance, written


def test_a_written_candidate_says_what_it_is(small_model, tmp_path):
    image = np.arange(8 * 8 * 3, dtype=np.uint8).reshape(8, 8, 3)
    loaded = LoadedModel(small_model, "small", "0" * 64, tmp_path / "secret.safetensors", None)
    result = restore(small_model, image, candidates=2, keep=2, seed=7)
    picture = Decoded(image, None, "PNG")
    said = provenance(result.ranked[1], result, loaded)
    data = written(result.ranked[1].image, said, picture, None, Encoder("png"))
    (tmp_path / "a.png").write_bytes(data)
    np.testing.assert_array_equal(decode(tmp_path / "a.png").rgb, result.ranked[1].image)
    record = read_provenance(tmp_path / "a.png")
    assert record == json.loads(json.dumps(said))
    assert record["model"] == {"id": "small", "sha256": "0" * 64}
    assert (record["task"], record["rank"], record["candidates"]) == ("superres", 2, 2)
    assert "secret" not in json.dumps(record)
