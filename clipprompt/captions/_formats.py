"""One small reader per file format; `readers` chooses among them.

Each yields a `Row` per caption and a `Bad` per record that has none. A fault that makes the rest of the file
unreadable is a `UserError`; a record that is merely incomplete is not.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from clipprompt.captions import _json_stream
from clipprompt.captions._source import Source
from clipprompt.errors import UserError, nearest

_CAPTION_IDS = ("caption_id", "id")
_IMAGE_IDS = ("image_id", "image", "image_name", "file_name", "filename")


class Row(NamedTuple):
    """One caption: its id in the source (or ``file:line``), the image's id where there is one, and the text."""

    caption_id: str
    image_id: str | None
    caption: str


class Bad(NamedTuple):
    """A record without a usable caption, and where it stands."""

    place: int
    reason: str


def read_json(source: Source, column: str) -> Iterator[Row | Bad]:
    """COCO captions: an object with the list ``annotations``; or a plain list of records."""
    for number, record in enumerate(_json_stream.records(source.chunks(), source.name), 1):
        yield _from_record(record, column, source, number)


def read_jsonl(source: Source, column: str) -> Iterator[Row | Bad]:
    """One JSON object a line."""
    for number, line in source.lines():
        if not line.strip():
            continue
        try:
            record = json.loads(line)
        except (json.JSONDecodeError, RecursionError) as error:
            yield Bad(number, f"broken JSON ({getattr(error, 'msg', 'nested too deeply')})")
        else:
            yield _from_record(record, column, source, number)


def read_token(source: Source, column: str) -> Iterator[Row | Bad]:
    """Flickr's ``image.jpg#0<tab>caption``."""
    for number, line in source.lines():
        if line.strip():
            key, tab, caption = line.partition("\t")
            if tab:
                yield _row(key.strip(), key.partition("#")[0].strip() or None, caption, number)
            else:
                yield Bad(number, "no tab between image and caption")


def read_text(source: Source, column: str) -> Iterator[Row | Bad]:
    """One caption a line; blank lines mean nothing."""
    for number, line in source.lines():
        if line.strip():
            yield _row(_place_id(source, number), None, line, number)


def read_csv(source: Source, column: str) -> Iterator[Row | Bad]:
    """A comma-separated table."""
    return _read_table(source, column, ",")


def read_tsv(source: Source, column: str) -> Iterator[Row | Bad]:
    """A tab-separated table."""
    return _read_table(source, column, "\t")


def _read_table(source: Source, column: str, delimiter: str) -> Iterator[Row | Bad]:
    reader = csv.reader((line for _, line in source.lines()), delimiter=delimiter, strict=True)
    try:
        header = [cell.strip() for cell in next(reader, [])]
        at = _column_index(header, column, source)
        caption_at, image_at = _first(header, _CAPTION_IDS), _first(header, _IMAGE_IDS)
        for cells in reader:
            number = reader.line_num
            if not cells:
                continue
            if len(cells) <= at:
                yield Bad(number, f"only {len(cells)} cells, {column!r} is cell {at + 1}")
                continue
            key = _cell(cells, caption_at) or _place_id(source, number)
            yield _row(key, _cell(cells, image_at), cells[at], number)
    except csv.Error as error:
        raise UserError(
            f"{source.name}:{reader.line_num}: broken table: {error}; is a quotation mark left open?"
        ) from error


def read_parquet(source: Source, column: str) -> Iterator[Row | Bad]:
    """A Parquet table, read in row groups."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with source.open() as data:
            yield from _read_batches(pq.ParquetFile(data), source, column)
    except (pa.ArrowException, OSError) as error:
        raise UserError(f"{source.name}: not a readable Parquet file ({str(error).splitlines()[0]})") from error


def _read_batches(file: Any, source: Source, column: str) -> Iterator[Row | Bad]:
    import pyarrow as pa

    names = file.schema_arrow.names
    kind = file.schema_arrow.field(_column_index(names, column, source)).type
    if not (pa.types.is_string(kind) or pa.types.is_large_string(kind)):
        raise UserError(f"{source.name}: column {column!r} holds {kind}, not text; name another with --column")
    ids = [_first(names, keys) for keys in (_CAPTION_IDS, _IMAGE_IDS)]
    wanted = list(dict.fromkeys([column, *(names[i] for i in ids if i is not None)]))
    number = 0
    for batch in file.iter_batches(8192, columns=wanted):
        for record in batch.to_pylist():
            number += 1
            yield _from_record(record, column, source, number)


def _from_record(record: Any, column: str, source: Source, number: int) -> Row | Bad:
    if not isinstance(record, dict):
        return Bad(number, "not a record with named fields")
    caption = record.get(column)
    if not isinstance(caption, str):
        has = ", ".join(map(str, list(record)[:8])) or "nothing"
        return Bad(number, f"no text under {column!r}{nearest(column, map(str, record))}; it has {has}")
    key = next((record[k] for k in _CAPTION_IDS if record.get(k) is not None), None)
    image = next((record[k] for k in _IMAGE_IDS if record.get(k) is not None), None)
    return _row(
        _place_id(source, number) if key is None else str(key), None if image is None else str(image), caption, number
    )


def _row(caption_id: str, image_id: str | None, caption: str, number: int) -> Row | Bad:
    # Lone surrogates can be written in JSON and can be stored nowhere.
    text = caption.strip().encode("utf-8", "replace").decode()
    return Row(caption_id, image_id, text) if text else Bad(number, "the caption is empty")


def _place_id(source: Source, number: int) -> str:
    return f"{source.path.name}:{number}"


def _cell(cells: list[str], index: int | None) -> str | None:
    return cells[index] or None if index is not None and index < len(cells) else None


def _first(header: list[str], names: Iterable[str]) -> int | None:
    return next((header.index(name) for name in names if name in header), None)


def _column_index(header: list[str], column: str, source: Source) -> int:
    if column in header:
        return header.index(column)
    has = ", ".join(header[:12]) or "none"
    raise UserError(f"{source.name}: no column {column!r}{nearest(column, header)}; it has {has}; choose with --column")
