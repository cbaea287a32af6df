"""XMP beside provenance: every format carries it, and its pixels stay the same."""

from __future__ import annotations

import io
import xml.etree.ElementTree as ET

import numpy as np
import pytest
from pictures import COLOURS
from PIL import Image

from caflow_cli.images import FORMATS, Encoder

RDF = "{http://www.w3.org/1999/02/22-rdf-syntax-ns#}"
TERM = "compositeWithTrainedAlgorithmicMedia"
TYPE = "{http://iptc.org/std/Iptc4xmpExt/2008-02-29/}DigitalSourceType"


def source_type(xmp: bytes | str) -> str:
    """What a reader of XML finds."""
    return next(ET.fromstring(xmp).iter(f"{RDF}Description")).attrib[TYPE]


@pytest.mark.parametrize("format", FORMATS)
def test_every_format_says_what_the_picture_is(format):
    encoder = Encoder(format)
    told = encoder.encode(COLOURS, None, "{}")
    bare = Encoder(format, provenance=False).encode(COLOURS, None, "{}")
    with Image.open(io.BytesIO(told)) as picture:
        xmp = picture.info["xmp"]
        assert source_type(xmp) == f"http://cv.iptc.org/newscodes/digitalsourcetype/{TERM}"
        with Image.open(io.BytesIO(bare)) as other:
            assert np.array_equal(np.asarray(picture), np.asarray(other))
            assert "xmp" not in other.info
    for data in (bare, encoder.encode(COLOURS)):
        assert b"xmpmeta" not in data


def test_where_other_programs_look():
    """The bytes that introduce XMP, by its specification, part 3."""
    places = {
        "png": b"iTXtXML:com.adobe.xmp\0\0\0\0\0<?xpacket",
        "jpg": b"http://ns.adobe.com/xap/1.0/\0<?xpacket",
        "webp": b"XMP ",
    }
    for format, start in places.items():
        assert start in Encoder(format).encode(COLOURS, None, "{}")
    with Image.open(io.BytesIO(Encoder("tiff").encode(COLOURS, None, "{}"))) as picture:
        assert picture.tag_v2[700].startswith(
            b'<?xpacket begin="\xef\xbb\xbf" id="W5M0MpCehiHzreSzNTczkc9d"?>'
        )
        assert picture.tag_v2.tagtype[700] == 1  # bytes
