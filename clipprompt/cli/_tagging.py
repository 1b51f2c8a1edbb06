"""How ``clipprompt tag`` runs: what it counts and says, and results that are written as they come."""

from __future__ import annotations

import sys
import time
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from clipprompt.cli._writing import Interruption, open_output
from clipprompt.errors import UserError
from clipprompt.inference.sources import find_images
from clipprompt.printable import printable
from clipprompt.progress import track

if TYPE_CHECKING:
    from clipprompt.inference import ImageTags
    from clipprompt.reports.tags import TagWriter


class Tally:
    """Counts pictures, and names on stderr what is skipped; until something is found it keeps the names back."""

    def __init__(self) -> None:
        self.n_tagged = self.n_skipped = 0
        self._start = time.monotonic()
        self._kept: list[str] | None = []

    def skip(self, name: str, reason: str) -> None:
        """Names what is skipped."""
        self.n_skipped += 1
        line = f"{printable(name) or repr(name)}: {reason}"
        if self._kept is None:
            typer.echo(f"clipprompt: skipped {line}", err=True)
        else:
            self._kept.append(line)

    def count(self, tags: ImageTags) -> None:
        """Counts a result."""
        if tags.error is None:
            self.n_tagged += 1
        else:
            self.skip(tags.path, tags.error)

    def speak(self) -> list[str]:
        """From now on everything is said at once; returns what was kept back."""
        kept, self._kept = self._kept or [], None
        return kept

    def summary(self) -> str:
        """How many, how fast, and what was skipped."""
        if not self.n_tagged:
            return f"no picture was tagged, {self.n_skipped:,} skipped"
        seconds = max(time.monotonic() - self._start, 1e-9)
        skipped = f", {self.n_skipped:,} skipped" if self.n_skipped else ""
        pictures = "1 picture" if self.n_tagged == 1 else f"{self.n_tagged:,} pictures"
        return f"{pictures} in {seconds:.1f} s ({self.n_tagged / seconds:.1f} a second){skipped}"

    def start(self) -> None:
        """The clock starts again: loading is over."""
        self._start = time.monotonic()


def first_found(inputs: Sequence[str], recursive: bool, tally: Tally) -> Iterator[str]:
    """All pictures, after the first one has been found.

    Raises:
        UserError: if there is none.
    """
    images = find_images(inputs, recursive=recursive, on_skip=tally.skip)
    first = next(images, None)
    kept = tally.speak()
    if first is None and len(kept) == 1:
        raise UserError(kept[0])
    for line in kept:
        typer.echo(f"clipprompt: skipped {line}", err=True)
    if first is None:
        raise UserError("none of the inputs has a picture")
    return chain([first], images)


def write_results(
    results: Iterator[ImageTags], writer: TagWriter, output: Path | None, interruption: Interruption, tally: Tally
) -> None:
    """Writes results as they come. However the stream ends, what was written is valid, and a file is put in place.

    Only a file without a single picture is not, so that an older one stays.

    Raises:
        BaseException: what ended the stream, after the output was completed.
    """
    stopped: BaseException | None = None
    with open_output(output) as write, closing(_with_progress(results, output)) as stream:
        try:
            with interruption.held_back():
                write(writer.head())
            for tags in stream:
                tally.count(tags)
                with interruption.held_back():
                    write(writer.image(tags))
        except BrokenPipeError:
            raise
        except (KeyboardInterrupt, Exception) as error:
            if output is not None and not tally.n_tagged:
                raise
            stopped = error
        stream.close()
        write(writer.foot("" if stopped is None else "Stopped early: the pictures after these are missing."))
    if stopped is not None:
        raise stopped


def _with_progress(results: Iterator[ImageTags], output: Path | None) -> Generator[ImageTags, None, None]:
    """A bar on stderr, unless results are on the same terminal."""
    if output is None and sys.stdout.isatty():
        yield from results
    else:
        yield from track(results, "tagging", unit="pictures")
