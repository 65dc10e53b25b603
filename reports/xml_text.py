"""What the JUnit files of this package share: text that may stand in XML, properties, the document."""

import re
from collections.abc import Mapping
from xml.etree import ElementTree as ET

_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""What no XML 1.0 document may hold, escaped or not (section 2.2)."""


def legal(text: str) -> str:
    """Text with what may not be in a document replaced."""
    return _NOT_XML.sub("\ufffd", text)


def properties(parent: ET.Element, found: Mapping[str, str]) -> None:
    """Add properties to a suite or a case; no element where there are none."""
    if found:
        inner = ET.SubElement(parent, "properties")
        for name, value in found.items():
            ET.SubElement(inner, "property", {"name": legal(name), "value": legal(value)})


def document(root: ET.Element) -> str:
    """The whole document, indented."""
    ET.indent(root)
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{ET.tostring(root, encoding="unicode")}\n'
