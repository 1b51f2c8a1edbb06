"""The labelled corpus: built from caption files, kept as Parquet, read by training.

caption files -> readers -> matcher -> row groups -> corpus.parquet -> load_corpus
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any, TypeAlias, cast, overload

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from clipprompt.captions import _corpus_file
from clipprompt.captions._formats import Row
from clipprompt.captions.matcher import Matcher
from clipprompt.captions.readers import CaptionFile
from clipprompt.captions.synonyms import Vocabulary
from clipprompt.errors import UserError
from clipprompt.files import replace_file

Classes: TypeAlias = "str | Path | list[str] | tuple[str, ...] | Vocabulary"


class Corpus:
    """Captions with the classes that each names.

    Attributes:
        classnames: the C class names; a label is an index into them.
        captions: the N texts, list-like.
        caption_ids: the N ids of the captions, list-like.
        image_ids: the N ids of their images, list-like; None where there is none.
        labels: `Labels` of the N captions; ``labels[i]`` is an ascending int32 array.
        provenance: what the corpus was made from; see docs/captions.md.
    """

    def __init__(self, table: pa.Table, provenance: dict[str, Any], name: str = "corpus") -> None:
        self._table, self.provenance = table, provenance
        self.classnames: list[str] = list(provenance["classes"])
        self.captions: Sequence[str] = cast("Sequence[str]", _Column(table["caption"]))
        self.caption_ids: Sequence[str] = cast("Sequence[str]", _Column(table["caption_id"]))
        self.image_ids: Sequence[str | None] = _Column(table["image_id"])
        self.labels = _corpus_file.table_labels(table, len(self.classnames), name)

    def __len__(self) -> int:
        return int(self._table.num_rows)

    def multi_hot(self, index: Sequence[int] | NDArray[np.integer]) -> NDArray[np.float32]:
        """The labels of some captions as float32 (len(index), C) of zeros and ones."""
        return self.labels.multi_hot(index, len(self.classnames))

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes the corpus as `build_corpus` does, atomically."""
        with replace_file(path) as part, _corpus_file.Writer(part) as writer:
            writer.write(self._table)
            writer.finish(self.provenance)


class _Column(Sequence["str | None"]):
    """A column of text as a sequence: an Arrow array needs a fifth of the memory of a list of strings."""

    def __init__(self, column: pa.ChunkedArray) -> None:
        self._column = column

    def __len__(self) -> int:
        return len(self._column)

    @overload
    def __getitem__(self, index: int) -> str | None: ...
    @overload
    def __getitem__(self, index: slice) -> list[str | None]: ...
    def __getitem__(self, index: int | slice) -> str | list[str | None] | None:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        return cast("str | None", self._column[index].as_py())

    def __iter__(self) -> Iterator[str | None]:
        for chunk in self._column.chunks:
            yield from chunk.to_pylist()


@dataclass
class BuildReport:
    """What `build_corpus` did.

    Attributes:
        n_read: captions read.
        n_labelled: of those, captions that name a class.
        n_written: captions in the corpus.
        n_skipped: records without a usable caption.
        skipped: one line for each of the first of them in every file.
    """

    n_read: int = 0
    n_labelled: int = 0
    n_written: int = 0
    n_skipped: int = 0
    skipped: list[str] = field(default_factory=list)


def load_corpus(path: str | os.PathLike[str]) -> Corpus:
    """Reads a corpus that `build_corpus` or `Corpus.save` wrote.

    Raises:
        UserError: when the file is missing, foreign, newer than this package, or damaged.
    """
    table, provenance = _corpus_file.read_table(Path(path))
    return Corpus(table, provenance, str(path))


def corpus_from_rows(rows: Iterable[tuple[str, str | None, str]], classes: Classes, keep_empty: bool = False) -> Corpus:
    """Labels captions that are at hand, by the same code as `build_corpus`.

    Args:
        rows: (caption id, image id or None, caption).
        classes: anything that `load_classes` accepts.
        keep_empty: keeps captions that name no class.
    """
    matcher, report = Matcher(classes), BuildReport()
    tables = list(_label((Row(*row) for row in rows), matcher, keep_empty, report))
    table = pa.concat_tables(tables) if tables else _corpus_file.SCHEMA.empty_table()
    return Corpus(table, _provenance(matcher, report, {"keep_empty": keep_empty}))


def build_corpus(
    files: Sequence[str | os.PathLike[str]],
    classes: Classes,
    output: str | os.PathLike[str],
    keep_empty: bool = False,
    column: str | None = None,
    advance: Callable[[int, int], None] | None = None,
) -> BuildReport:
    """Labels the captions of files and writes them as a corpus.

    The captions stream through in groups, so that a file larger than memory works. ``output`` appears
    only when all is done; an error leaves what stood there as it was.

    Args:
        files: caption files of the formats in `readers.FORMATS`.
        classes: anything that `load_classes` accepts.
        output: the Parquet file to write.
        keep_empty: keeps captions that name no class.
        column: the column or key that holds the caption, for formats that have them; "caption" when None.
        advance: called with (bytes done, captions read) after each group, for a progress bar.

    Raises:
        UserError: for a wrong file, class list or option, or when no caption names a class.
    """
    matcher, report = Matcher(classes), BuildReport()
    sources = _open_all(files, Path(output), column)
    hashes = [_sha256(Path(file)) for file in files]
    with replace_file(output) as part, _corpus_file.Writer(part) as writer:
        for done, table in _label_files(sources, matcher, keep_empty, report):
            writer.write(table)
            if advance is not None:
                advance(done, report.n_read)
        if not report.n_written:
            source = matcher.vocabulary.source
            raise UserError(f"none of the {report.n_read} captions names a class of {source}; check --classes")
        inputs = [_file_entry(s, digest) for s, digest in zip(sources, hashes, strict=True)]
        writer.finish(_provenance(matcher, report, {"keep_empty": keep_empty, "column": column}, inputs))
    return report


def _open_all(files: Sequence[str | os.PathLike[str]], output: Path, column: str | None) -> list[CaptionFile]:
    """Opens every file before the first is read, so that the last one's misspelt name costs no time."""
    if not files:
        raise UserError("no caption files given; name them with --captions FILE")
    sources = [CaptionFile(file, column) for file in files]
    places = [Path(file).resolve() for file in files]
    for i, place in enumerate(places):
        if place in places[:i]:
            raise UserError(f"{sources[i].name} is given twice")
    if output.is_dir():
        raise UserError(
            f"cannot write {output}: it is a folder; name a file in it, such as {output / 'corpus.parquet'}"
        )
    if output.resolve() in places:
        raise UserError(f"{output} is one of the caption files; write the corpus elsewhere")
    if column is not None and not any(source.has_columns for source in sources):
        raise UserError(f"{sources[0].name} has no columns; drop --column {column}")
    return sources


def _label_files(
    sources: list[CaptionFile], matcher: Matcher, keep_empty: bool, report: BuildReport
) -> Iterator[tuple[int, pa.Table]]:
    before = 0
    for source in sources:
        for table in _label(source, matcher, keep_empty, report):
            yield before + source.position(), table
        before += source.size
        report.n_skipped += source.n_skipped
        report.skipped += source.skipped


def _label(rows: Iterable[Row], matcher: Matcher, keep_empty: bool, report: BuildReport) -> Iterator[pa.Table]:
    """Tables of at most `_corpus_file.ROW_GROUP` labelled captions; counts go to ``report``."""
    waiting = iter(rows)
    while group := list(islice(waiting, _corpus_file.ROW_GROUP)):
        labels = matcher.label([row.caption for row in group])
        table = _corpus_file.to_table(group, labels)
        named = labels.counts() > 0
        report.n_read += len(group)
        report.n_labelled += int(named.sum())
        if not keep_empty:
            table = table.filter(pa.array(named))
        report.n_written += table.num_rows
        yield table


def _provenance(
    matcher: Matcher, report: BuildReport, options: dict[str, Any], inputs: Sequence[dict[str, Any]] = ()
) -> dict[str, Any]:
    from clipprompt import __version__

    return {
        "format": _corpus_file.FORMAT,
        "version": __version__,
        "classes": matcher.classnames,
        "synonyms": {"source": matcher.vocabulary.source, "sha256": matcher.vocabulary.sha256},
        "files": list(inputs),
        "n_read": report.n_read,
        "n_labelled": report.n_labelled,
        "n_written": report.n_written,
        "n_skipped": report.n_skipped,
        "options": options,
    }


def _file_entry(source: CaptionFile, digest: str) -> dict[str, Any]:
    counts = {"n_read": source.n_read, "n_skipped": source.n_skipped}
    return {"name": source.name, "bytes": source.size, "sha256": digest, **counts}


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()
