"""The Parquet file of a labelled corpus: its columns, its provenance, and how it is read back."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from clipprompt.captions._formats import Row
from clipprompt.captions.labels import Labels
from clipprompt.errors import UserError

FORMAT = 1
"""Version of the file's layout; a reader refuses a newer one."""

KEY = b"clipprompt"

ROW_GROUP = 32768
"""Captions that are labelled and written at a time; memory holds no more of them."""

SCHEMA = pa.schema(
    [
        pa.field("caption_id", pa.string(), nullable=False),
        pa.field("image_id", pa.string()),
        pa.field("caption", pa.string(), nullable=False),
        pa.field("labels", pa.list_(pa.int32()), nullable=False),
    ]
)


def to_table(rows: Sequence[Row], labels: Labels) -> pa.Table:
    """Captions and their labels as a table of the corpus's columns."""
    ids, images, captions = zip(*rows, strict=True) if rows else ((), (), ())
    lists = pa.ListArray.from_arrays(pa.array(labels.offsets.astype(np.int32)), pa.array(labels.values))
    arrays = [pa.array(ids, pa.string()), pa.array(images, pa.string()), pa.array(captions, pa.string()), lists]
    return pa.Table.from_arrays(arrays, schema=SCHEMA)


class Writer:
    """Writes tables as row groups, and the provenance last: its counts are known only then.

    The provenance goes to the file's footer. An Arrow schema stored at the head would hide it, so none is stored.
    """

    def __init__(self, path: Path) -> None:
        self._writer = pq.ParquetWriter(path, SCHEMA, store_schema=False)

    def __enter__(self) -> Writer:
        return self

    def __exit__(self, *_: object) -> None:
        self._writer.close()

    def write(self, table: pa.Table) -> None:
        """Adds a table of the corpus's columns."""
        self._writer.write_table(table, row_group_size=ROW_GROUP)

    def finish(self, provenance: dict[str, Any]) -> None:
        """Adds the provenance as JSON under the key ``clipprompt``."""
        self._writer.add_key_value_metadata({KEY: json.dumps(provenance, ensure_ascii=False).encode()})


def read_table(path: Path) -> tuple[pa.Table, dict[str, Any]]:
    """A corpus file's table and provenance, checked.

    Raises:
        UserError: when it is missing, no corpus of ours, newer than this package, or damaged.
    """
    if path.is_dir():
        raise UserError(f"{path} is a folder; name a corpus file made by `clipprompt corpus build`")
    try:
        table = pq.read_table(path)
    except FileNotFoundError:
        raise UserError(f"there is no corpus {path}; make one with `clipprompt corpus build`") from None
    except (pa.ArrowException, OSError) as error:
        raise UserError(f"{path} is not a readable Parquet file ({str(error).splitlines()[0]})") from error
    provenance = _provenance(table, path)
    for field in SCHEMA:
        found = table.schema.field(field.name).type if field.name in table.schema.names else None
        if found != field.type:
            raise UserError(
                f"{path}: column {field.name!r} should hold {field.type}, found {found or 'none'}; build it again"
            )
    return table.combine_chunks(), provenance


def _provenance(table: pa.Table, path: Path) -> dict[str, Any]:
    raw = (table.schema.metadata or {}).get(KEY)
    if raw is None:
        raise UserError(f"{path} was not made by `clipprompt corpus build`: it has no class names in its metadata")
    try:
        provenance = json.loads(raw)
        classes, version = provenance["classes"], int(provenance["format"])
    except (ValueError, TypeError, KeyError) as error:
        raise UserError(f"{path}: its clipprompt metadata is damaged; build it again") from error
    if version > FORMAT:
        raise UserError(f"{path} has layout {version}, this clipprompt reads up to {FORMAT}; update clipprompt")
    if not (isinstance(classes, list) and classes and all(isinstance(name, str) for name in classes)):
        raise UserError(f"{path}: its metadata has no class names; build it again")
    return dict(provenance)


def table_labels(table: pa.Table, n_classes: int, name: str) -> Labels:
    """The labels column as `Labels`.

    Raises:
        UserError: when an index is no class, or a caption's indices do not ascend.
    """
    column = pa.concat_arrays(table["labels"].chunks) if table.num_rows else pa.array([], pa.list_(pa.int32()))
    flat, offsets = column.flatten(), column.offsets.to_numpy().astype(np.int64)
    if column.null_count or flat.null_count:
        raise UserError(f"{name}: a caption has a null label; build it again")
    labels = Labels(flat.to_numpy(), offsets - offsets[0])
    bad = labels.values[(labels.values < 0) | (labels.values >= n_classes)]
    if len(bad):
        raise UserError(f"{name}: label {bad[0]} is no class, there are {n_classes}; build it again")
    caption = np.repeat(np.arange(len(labels)), labels.counts())
    if np.any((np.diff(labels.values) <= 0) & (np.diff(caption) == 0)):
        raise UserError(f"{name}: a caption's labels do not ascend; build it again")
    return labels
