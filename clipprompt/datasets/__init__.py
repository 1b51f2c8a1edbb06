"""Labelled image sets: what is on disk, as tables; no protocol and no method is known here."""

from __future__ import annotations

from clipprompt.datasets.coco import load_coco
from clipprompt.datasets.decoding import decode_in_order, open_image
from clipprompt.datasets.folders import load_class_folders
from clipprompt.datasets.images import MultiLabelImages
from clipprompt.datasets.labels import load_labels
from clipprompt.datasets.nuswide import load_nuswide
from clipprompt.datasets.select import load_dataset
from clipprompt.datasets.voc import load_voc2007

__all__ = [
    "MultiLabelImages",
    "decode_in_order",
    "load_class_folders",
    "load_coco",
    "load_dataset",
    "load_labels",
    "load_nuswide",
    "load_voc2007",
    "open_image",
]
