"""The kind of a picture, for programs of others: XMP with IPTC's digital source type.

https://cv.iptc.org/newscodes/digitalsourcetype/ has the terms.
"""

from __future__ import annotations

__all__ = ["PNG_XMP", "XMP"]

PNG_XMP = "XML:com.adobe.xmp"  # keyword of the text chunk of a PNG
# A picture, and what a trained model drew of it.
XMP = """<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>
<x:xmpmeta xmlns:x="adobe:ns:meta/">
 <rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
  <rdf:Description rdf:about=""
    xmlns:Iptc4xmpExt="http://iptc.org/std/Iptc4xmpExt/2008-02-29/"
    Iptc4xmpExt:DigitalSourceType="http://cv.iptc.org/newscodes/digitalsourcetype/compositeWithTrainedAlgorithmicMedia"/>
 </rdf:RDF>
</x:xmpmeta>
<?xpacket end="w"?>"""
