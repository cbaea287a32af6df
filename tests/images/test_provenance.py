"""The provenance in a picture."""

from __future__ import annotations

import pytest
from pictures import COLOURS, encoded

from caflow_cli.errors import CaflowError
from caflow_cli.images import (
    encode_png,
    read_provenance,
)


@pytest.mark.parametrize("data", [encoded(COLOURS, "JPEG", comment="caflow"), encode_png(COLOURS)])
def test_pictures_of_others_have_no_provenance(tmp_path, data):
    path = tmp_path / "a"
    path.write_bytes(data)
    assert read_provenance(path) is None
    path.write_bytes(encode_png(COLOURS, {"caflow": "[1]"}))
    assert read_provenance(path) is None
    with pytest.raises(CaflowError, match="no file"):
        read_provenance(tmp_path / "gone.png")
