"""What is said of an address without data."""

from __future__ import annotations

from pathlib import Path

import pytest

from caflow_cli.data.missing import no_data
from caflow_cli.data.opening import open_files
from caflow_cli.errors import CaflowError


def test_a_url_is_named_as_what_it_is():
    error = no_data(Path("https://example.com/faces.zip"))
    assert error.message.startswith("'https://example.com/faces.zip' is a URL")
    assert error.hint == "curl -LO https://example.com/faces.zip, and --data FILE.zip"
    assert error.exit_code == 2
    with pytest.raises(CaflowError, match="is a URL"), open_files(Path("ftp://host/faces/")):
        pass


def test_a_folder_that_is_not_there_is_not_a_url(tmp_path):
    with pytest.raises(CaflowError, match="no data at"), open_files(tmp_path / "gone"):
        pass
