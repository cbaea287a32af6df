"""What is said of an address without data."""

from __future__ import annotations

from pathlib import Path

import pytest

from caflow_cli.data.missing import check_there, no_data, of_masks
from caflow_cli.data.opening import open_files
from caflow_cli.errors import CaflowError


def test_a_url_is_named_as_what_it_is():
    error = no_data(Path("https://example.com/faces.zip"))
    assert error.message.startswith("'https://example.com/faces.zip' is a URL")
    assert error.hint == "curl -LO https://example.com/faces.zip, and --data FILE.zip"
    assert error.exit_code == 2
    with pytest.raises(CaflowError, match="is a URL"), open_files(Path("ftp://host/faces/")):
        pass


@pytest.mark.parametrize("name", ["gone", "gone.zip", "gone.tar", "gone.jsonl", "gone#image=x"])
def test_what_is_not_there_is_refused_before_it_is_opened(tmp_path, name):
    with pytest.raises(CaflowError, match="no data at") as caught:
        check_there(f"{tmp_path}/{name}")
    assert caught.value.exit_code == 2


def test_what_may_be_there_is_left_to_those_who_open_it(tmp_path):
    for name in (
        tmp_path,
        "hf://owner/name",
        "owner/name",
        f"{tmp_path}/a-{{00..03}}.tar",
        "pipe:x.tar#stream",
    ):
        check_there(name)


def test_an_error_about_masks_names_their_option(tmp_path):
    with pytest.raises(CaflowError, match="masks: no data at") as caught, of_masks("--masks "):
        check_there(tmp_path / "gone")
    assert caught.value.hint.startswith("--masks FOLDER")


def test_a_folder_that_is_not_there_is_not_a_url(tmp_path):
    with pytest.raises(CaflowError, match="no data at"), open_files(tmp_path / "gone"):
        pass
