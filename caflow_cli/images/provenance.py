"""The provenance in image files: where each format has it, written and read."""

import json
import re
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape, unescape

from PIL import Image, PngImagePlugin

from ..errors import CaflowError
from ..records import Table
from .deep import TIFF_XMP
from .metadata import DESCRIPTION
from .read import open_image, read_source
from .refusals import TIFF_MAGIC, quiet_warnings

# Keyword of the text chunk in PNG, prefix in a TIFF's XMP; elsewhere the only key of a JSON object
# in ImageDescription.
PROVENANCE = "caflow"  # the key of it, in a file

_ATTRIBUTE = "provenance"  # of the XMP in TIFF
# IPTC's digital source type, for other programs: https://cv.iptc.org/newscodes/digitalsourcetype/
XMP = """<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>
<x:xmpmeta xmlns:x="adobe:ns:meta/">
 <rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
  <rdf:Description rdf:about=""
    xmlns:Iptc4xmpExt="http://iptc.org/std/Iptc4xmpExt/2008-02-29/"
    Iptc4xmpExt:DigitalSourceType="http://cv.iptc.org/newscodes/digitalsourcetype/compositeWithTrainedAlgorithmicMedia"/>
 </rdf:RDF>
</x:xmpmeta>
<?xpacket end="w"?>"""


def xmp_with(provenance: str) -> str:
    """XMP with provenance, which `read_provenance` finds."""
    attribute = escape(provenance, {'"': "&quot;"})
    about = f'rdf:about=""\n    xmlns:{PROVENANCE}="urn:{PROVENANCE}"'
    about += f'\n    {PROVENANCE}:{_ATTRIBUTE}="{attribute}"'
    return XMP.replace('rdf:about=""', about)


def read_provenance(path: Path) -> Table | None:
    """Read the provenance that `Encoder` wrote; None if there is none. Decodes no pixels.

    Raises:
        CaflowError: The file cannot be read or is not an image, as for `decode`.
    """
    try:
        record = _stored(*read_source(path))
    except CaflowError:
        raise
    except Exception:  # written by another program, or damaged
        return None
    return record if isinstance(record, dict) else None


def _stored(data: bytes, label: str) -> Any:
    """The provenance in a file, from JSON; any exception means that there is none."""
    if data.startswith(TIFF_MAGIC):  # floats, too, which Pillow does not open
        exif = Image.Exif()
        exif.load(data)
        [text] = re.findall(rf'{PROVENANCE}:{_ATTRIBUTE}="([^"]*)"', exif[TIFF_XMP].decode())
        return json.loads(unescape(text, {"&quot;": '"'}))
    image, _ = open_image(data, label)
    with image, quiet_warnings():
        if isinstance(image, PngImagePlugin.PngImageFile):
            return json.loads(image.info[PROVENANCE])
        return json.loads(image.getexif()[DESCRIPTION])[PROVENANCE]
