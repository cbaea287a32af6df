from __future__ import annotations

import pytest

from caflow_cli.data import Address
from caflow_cli.errors import CaflowError


@pytest.mark.parametrize(
    ("text", "place", "kind"),
    [
        ("photos", "photos", "path"),
        ("a/b/c", "a/b/c", "path"),
        ("photos.zip", "photos.zip", "path"),
        ("owner/photos.zip", "owner/photos.zip", "path"),
        ("owner/shards-{0..3}.tar", "owner/shards-{0..3}.tar", "path"),
        ("owner/name", "owner/name", "hub"),
        ("owner/name@v1.0", "owner/name@v1.0", "hub"),
        ("hf://owner/name", "owner/name", "hub"),
        ("hf://datasets/owner/name/", "owner/name", "hub"),
        ("https://host/a-{0..3}.tar#stream", "https://host/a-{0..3}.tar", "url"),
    ],
)
def test_what_a_place_is(tmp_path, monkeypatch, text, place, kind):
    monkeypatch.chdir(tmp_path)
    address = Address.of(text)
    assert (address.place, address.kind) == (place, kind)


def test_a_wrong_path_is_not_sent_over_the_network(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "owner").mkdir()
    assert Address.of("owner/name").kind == "path"
    assert Address.of("hf://owner/name").kind == "hub"


def test_options_follow_the_place():
    address = Address.of("a/b.csv#image=photo,mask=hole,split=good,subset=full,stream")
    assert address.place == "a/b.csv"
    assert address.columns == {"image": "photo", "mask": "hole"}
    assert (address.split, address.subset, address.stream) == ("good", "full", True)


def test_a_path_that_exists_is_taken_as_it_is(tmp_path):
    path = tmp_path / "a#stream"
    path.mkdir()
    assert Address.of(str(path)) == Address(str(path), str(path))
    assert not Address.of(path).stream


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        ("a.csv#picture=x", "'picture=x'", "image=NAME"),
        ("a.csv#image=", "'image='", "image=NAME"),
        ("hf://owner", "names no data set", "hf://owner/name"),
        ("https://host/photos.zip", "is the URL", "download it"),
        ("https://host/a.tar", "as they come", "--data 'https://host/a.tar#stream'"),
        ("https://host/a.tar#image=x", "as they come", "#image=x,stream'"),
    ],
)
def test_what_is_no_address(text, message, hint):
    with pytest.raises(CaflowError) as caught:
        Address.of(text)
    assert message in caught.value.message
    assert hint in caught.value.hint
    assert caught.value.exit_code == 2
