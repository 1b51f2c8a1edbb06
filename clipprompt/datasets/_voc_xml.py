"""Reads one annotation file of PASCAL VOC: which classes are there, and which of their objects are difficult."""

from __future__ import annotations

import re
from pathlib import Path
from xml.etree import ElementTree

from clipprompt.datasets._checks import read_utf8
from clipprompt.errors import UserError

# A document type is all that entities need to blow up a parser or to read other files; VOC has none.
_DOCTYPE = re.compile(r"<!\s*(DOCTYPE|ENTITY)", re.IGNORECASE)


def read_objects(path: Path) -> dict[str, bool]:
    """The classes of an image.

    Args:
        path: an XML file of ``Annotations/``.

    Returns:
        For every class name in the file, whether all of its objects are difficult. Parts of a person (head, hand,
        foot) are no objects.

    Raises:
        UserError: if the file is missing, is no VOC annotation, or declares a document type.
    """
    text = read_utf8(path)
    if _DOCTYPE.search(text):
        raise UserError(f"{path}: declares a document type, which no VOC annotation does; it is not read")
    try:
        annotation = ElementTree.fromstring(text)
    except ElementTree.ParseError as error:
        raise UserError(f"{path}, line {error.position[0]}: broken XML; was it copied whole?") from error
    if annotation.tag != "annotation":
        raise UserError(f"{path}: not a VOC annotation, its outermost element is <{annotation.tag}>")
    difficult: dict[str, bool] = {}
    for index, thing in enumerate(annotation.findall("object"), 1):
        name, flag = (thing.findtext("name") or "").strip(), (thing.findtext("difficult") or "0").strip()
        if not name:
            raise UserError(f"{path}: object {index} has no name")
        if flag not in ("0", "1"):
            raise UserError(f"{path}: object {index} ({name}): difficult is {flag!r}, not 0 or 1")
        difficult[name] = difficult.get(name, True) and flag == "1"
    return difficult
