"""Checks of paths, which return False for names that cannot be paths."""

from pathlib import Path, PurePosixPath, PureWindowsPath

import pytest

from caflow_cli.paths import exists, is_file, is_folder, is_missing, url_of, without_ending


def test_files_and_folders(tmp_path):
    file = tmp_path / "a"
    file.touch()
    assert (exists(file), is_file(file), is_folder(file)) == (True, True, False)
    assert (exists(tmp_path), is_file(tmp_path), is_folder(tmp_path)) == (True, False, True)
    assert (exists(str(file)), is_file(str(file)), is_folder(str(tmp_path))) == (True, True, True)


def test_a_link_is_what_it_leads_to(tmp_path):
    (tmp_path / "link").symlink_to(tmp_path / "gone")
    assert not exists(tmp_path / "link")
    (tmp_path / "gone").mkdir()
    assert is_folder(tmp_path / "link")


@pytest.mark.parametrize("name", ["gone", "n" * 5000, "a\0b", "file/inside"])
def test_what_cannot_be_is_not_there(tmp_path, name):
    (tmp_path / "file").touch()
    path = f"{tmp_path}/{name}"
    assert (exists(path), is_file(path), is_folder(path)) == (False, False, False)


def test_names_of_results_say_what_they_were_made_of():
    names = ("x_superres", "x_colorize_01", "a_b_inpaint_12", "x_sample")
    assert [without_ending(name) for name in names] == ["x", "x", "a_b", "x"]
    others = ("x", "x_superres_", "_superres", "superres_01", "x_upscale", "x_superres_a")
    assert [without_ending(name) for name in others] == [None] * len(others)


def test_a_missing_file_is_not_a_broken_link_or_an_impossible_name(tmp_path):
    (tmp_path / "link").symlink_to(tmp_path / "gone")
    (tmp_path / "file").touch()
    names = ("gone", "link", "file", "file/inside", "n" * 5000, "a\0b")
    assert [is_missing(f"{tmp_path}/{name}") for name in names] == [True, *[False] * 5]


def test_a_url_is_no_path(tmp_path, monkeypatch):
    url = "https://example.com/a%20b/faces.zip?x=1"
    assert url_of(url) == url_of(PurePosixPath(url)) == url_of(PureWindowsPath(url)) == url
    assert url_of("hf://user/name") == "hf://user/name"
    for path in ("face.png", "C:/faces", "C:\\faces", "example:face", "https:", "-", "/a://b"):
        assert url_of(path) is None
    monkeypatch.chdir(tmp_path)
    Path("ab:").mkdir()
    Path("ab:/c").touch()
    assert url_of("ab:/c") is None
