"""Whether a set is whole: what is there, what is missing, and what to do next. No picture is opened."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import chain
from pathlib import Path

from clipprompt.datasets._workshop import WORKSHOP
from clipprompt.datasets.classification._pictures import decode_all, find_missing
from clipprompt.datasets.classification._place import home_of
from clipprompt.datasets.classification.load import load_classification
from clipprompt.datasets.classification.sets import ClassificationSet, Sample, hash_samples
from clipprompt.datasets.classification.specifications import SPECIFICATIONS, Specification
from clipprompt.errors import UserError
from clipprompt.printable import printable


@dataclass(frozen=True, eq=False)
class Findings:
    """What was found of a set.

    Attributes:
        name: of a named set; of one's own data, as written.
        dataset: the set; None where it cannot be read.
        missing: its pictures that are listed and no files.
        broken: what is wrong with its pictures, as far as they were decoded.
        problem: why it cannot be read; empty where it can.
        next_step: what to do about what is missing.
        notes: lines for people.
    """

    name: str
    dataset: ClassificationSet | None
    missing: Sequence[Sample] = ()
    broken: Sequence[UserError] = ()
    problem: str = ""
    next_step: str = ""
    notes: tuple[str, ...] = ()

    @property
    def is_whole(self) -> bool:
        """Whether all pictures are there that belong to the set, and are none that cannot be read."""
        return not self.explain()

    @property
    def sizes(self) -> dict[str, int]:
        """Pictures by part, as listed."""
        return {} if self.dataset is None else {part: len(samples) for part, samples in self.dataset.parts.items()}

    @property
    def n_pictures(self) -> int:
        """Pictures in all parts, as listed."""
        return sum(self.sizes.values())

    @property
    def has_official_size(self) -> bool | None:
        """Whether classes and parts have the official numbers; None where there are none, as for one's own data."""
        specification = SPECIFICATIONS.get(self.name)
        if specification is None or self.dataset is None:
            return None
        return (len(self.dataset.classnames), self.sizes) == (specification.n_classes, dict(specification.sizes))

    @cached_property
    def split_hash(self) -> str:
        """16 hex digits of all samples of all parts, in order: equal hashes mean that numbers compare."""
        return "" if self.dataset is None else hash_samples([*chain(*self.dataset.parts.values())])[:16]

    @property
    def n_expected(self) -> int:
        """Pictures that belong to the set: those that are listed, or the official number where no file lists them."""
        listed = self.dataset is None or self.dataset.source_sha256 is not None or self.name not in SPECIFICATIONS
        official = 0 if listed else sum(SPECIFICATIONS[self.name].sizes.values())
        return max(official, self.n_pictures)

    @property
    def n_lacking(self) -> int:
        """Pictures of these that are not there, or cannot be read."""
        return self.n_expected - self.n_pictures + len(self.missing) + len(self.broken)

    def explain(self) -> str:
        """One line on what is wrong, and what to do; empty where the set is whole."""
        if self.dataset is None:
            return self.problem
        if self.missing:
            first = f"{printable(self.dataset.item(self.missing[0]))}, listed in {self.dataset.files}"
            count = f"{len(self.missing):,} of {self.n_pictures:,} pictures are missing"
            return f"{self.name}: {count}, the first is {first}; {self.next_step}"
        if self.broken:
            more = f" ({len(self.broken):,} of {self.n_pictures:,} pictures are broken)" if len(self.broken) > 1 else ""
            return f"{self.name}: {self.broken[0]}{more}; delete it; {self.next_step}"
        if self.n_lacking:
            here = f"{self.n_pictures:,} pictures are there where the official set has {self.n_expected:,}"
            return f"{self.name}: {here}; {self.next_step}"
        return ""


def check_set(spec: str, root: str | Path | None = None, images: str | Path | None = None) -> Findings:
    """Reads a set's lists and looks for its pictures; a set that is broken is a finding, not an error.

    Args:
        spec: a name, or data of one's own, as for :func:`load_classification`.
        root: folder of a named set, or the one above it.
        images: folder of the pictures, where they do not lie in the set's own place.
    """
    name = spec.lower() if spec.lower() in SPECIFICATIONS else spec
    specification = SPECIFICATIONS.get(name)
    try:
        dataset = load_classification(spec, root, images)
        len(dataset.classnames)  # labels are checked when they are asked for
    except UserError as error:
        return Findings(name, None, problem=_told_of(name, str(error)), notes=_notes(specification, root))
    missing = list(find_missing(dataset))
    next_step = _next_step(specification, root, images)
    return Findings(name, dataset, missing, next_step=next_step, notes=(*dataset.notes, *_notes(specification, root)))


def decode_set(found: Findings, workers: int = 4) -> Iterator[UserError | None]:
    """Decodes every picture that is there, in order; the errors are for ``broken`` of :class:`Findings`.

    Args:
        found: of a set.
        workers: threads that decode.

    Yields:
        For every picture None, or what is wrong with it.
    """
    if found.dataset is not None:
        yield from decode_all(found.dataset, found.missing, workers)


def _next_step(specification: Specification | None, root: str | Path | None, images: str | Path | None) -> str:
    if images is not None:
        return "is --images the right folder?"
    return "put them there, or take them off the list" if specification is None else specification.next_step(str(root))


def _notes(specification: Specification | None, root: str | Path | None) -> tuple[str, ...]:
    """What a download that was stopped has left."""
    if specification is None or not specification.archive or root is None:
        return ()
    part = home_of(specification, Path(root)).parent / WORKSHOP / f"{specification.archive}.part"
    if not part.exists():
        return ()
    return (f"{specification.name}: {part.stat().st_size >> 20:,} MB of {specification.archive} are fetched already",)


def _told_of(name: str, message: str) -> str:
    return message if message.startswith(f"{name}:") else f"{name}: {message}"
