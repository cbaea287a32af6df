"""The kind of a picture, for programs of others: XMP with IPTC's digital source type.

https://cv.iptc.org/newscodes/digitalsourcetype/ has the terms.
"""

from __future__ import annotations

__all__ = ["FILLED", "PNG_XMP", "TRAINED", "packet"]

PNG_XMP = "XML:com.adobe.xmp"  # keyword of the text chunk of a PNG
TRAINED = "compositeWithTrainedAlgorithmicMedia"  # a picture, and what a trained model drew of it
FILLED = "algorithmicallyEnhanced"  # by a method that learned from nothing

_PACKET = """<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>
<x:xmpmeta xmlns:x="adobe:ns:meta/">
 <rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
  <rdf:Description rdf:about=""
    xmlns:Iptc4xmpExt="http://iptc.org/std/Iptc4xmpExt/2008-02-29/"
    Iptc4xmpExt:DigitalSourceType="http://cv.iptc.org/newscodes/digitalsourcetype/{term}"/>
 </rdf:RDF>
</x:xmpmeta>
<?xpacket end="w"?>"""


def packet(term: str) -> str:
    """The XMP packet of a picture of that digital source type, `TRAINED` or `FILLED`."""
    return _PACKET.format(term=term)
