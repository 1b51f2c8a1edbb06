"""The page of tagged pictures, written in pieces, so that 100,000 pictures need the memory of one.

    page.head() + page.image(tags) + page.image(tags) + … + page.foot()

What is known only at the end (how many pictures, which labels were found, what was skipped) is in the foot; the style
sheet shows it at the top. A page that was cut off before the foot is still readable.
"""

from __future__ import annotations

import math
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from clipprompt.inference.heat import heat_overlay
from clipprompt.printable import printable
from clipprompt.reports.pages._render import data_uri, render

if TYPE_CHECKING:
    from PIL import Image

    from clipprompt.inference import ImageTags, Tag

NONE = "none of these"
N_HEAT_MAPS = 12
"""Labels of a picture that may have a heat map; the style sheet has a rule for each."""

_THUMBNAIL = 320
_FRAME = 4 / 3
_N_SKIPPED_SHOWN = 500
_N_CHIPS = 40


class TagPage:
    """Writes one self-contained page, a piece at a time.

    Args:
        title: heading of the page.
        labels: the class names that were asked for.
        facts: what else stands at the top, such as method, backbone and threshold.
    """

    def __init__(
        self, title: str = "Tags", *, labels: Sequence[str] = (), facts: Mapping[str, str] | None = None
    ) -> None:
        self._title, self._labels, self._facts = title, tuple(labels), dict(facts or {})
        self._n_images = self._n_skipped = 0
        self._found: Counter[str] = Counter()
        self._skipped: list[tuple[str, str]] = []
        self._lowest, self._highest = math.inf, -math.inf
        self._has_heat = self._has_answers = False

    def head(self) -> str:
        """The page up to the first picture."""
        return render("tag_head.html", title=self._title, n_heat_maps=N_HEAT_MAPS)

    def image(self, tags: ImageTags) -> str:
        """One picture with its labels; the empty string for a skipped file, which the foot lists."""
        if tags.error is not None:
            self._skip(tags.path, tags.error)
            return ""
        self._n_images += 1
        self._found.update([tag.label for tag in tags.tags] or [NONE])
        n_heat_maps = N_HEAT_MAPS if tags.thumbnail is not None else 0
        bars = [self._bar(tag, place, place <= n_heat_maps) for place, tag in enumerate(tags.tags, 1)]
        folder, name = os.path.split(printable(tags.path))
        return render(
            "tag_image.html",
            folder=f"{folder}{os.sep}" if folder and not folder.endswith(os.sep) else folder,
            name=name,
            picture=_picture(tags.thumbnail, tags.size),
            crop=_as_percent(tags.crop or (0.0, 0.0, 1.0, 1.0)),
            bars=bars,
            nothing=NONE,
        )

    def foot(self, note: str = "") -> str:
        """What is known at the end, and the end of the page.

        Args:
            note: a line for the top, such as why the page is not complete.
        """
        return render(
            "tag_foot.html",
            title=self._title,
            note=note,
            n_images=self._n_images,
            n_skipped=self._n_skipped,
            skipped=self._skipped,
            labels=self._labels,
            facts=self._facts,
            chips=self._found.most_common(_N_CHIPS),
            limits=self._limits(),
            hint=self._hint(),
        )

    def _skip(self, path: str, reason: str) -> None:
        self._n_skipped += 1
        if len(self._skipped) < _N_SKIPPED_SHOWN:
            self._skipped.append((path, reason))

    def _bar(self, tag: Tag, place: int, may_have_heat: bool) -> dict[str, Any]:
        overlay = heat_overlay(tag.heat) if tag.heat is not None and may_have_heat else None
        self._has_heat |= overlay is not None
        self._has_answers |= tag.answer is not None
        known = tag.probability is not None
        number = tag.probability if tag.probability is not None else tag.score
        if not known and math.isfinite(number):
            self._lowest, self._highest = min(self._lowest, number), max(self._highest, number)
        return {
            "place": place,
            "label": tag.label,
            "kind": "probability" if known else "score",
            "number": f"{number:.4f}" if math.isfinite(number) else "0",
            "text": f"{100 * number:.0f} %" if known else f"{number:.2f}",
            "answer": tag.answer,
            "heat": data_uri(overlay, "png") if overlay is not None else None,
        }

    def _limits(self) -> tuple[float, float] | None:
        """Where the bars of scores begin and end: one scale for the page, on which the lowest bar can still be seen."""
        if self._lowest > self._highest:
            return None
        room = (self._highest - self._lowest) * 0.15 or 1.0
        return self._lowest - room, self._highest

    def _hint(self) -> str:
        parts = []
        if self._has_heat:
            parts.append("Point at a label, tap it or step to it with Tab to see where the model found it.")
        if self._has_answers:
            parts.append("“yes” is said where the calibration was sure of it, and “uncertain” where it was not.")
        if self._lowest <= self._highest:
            parts.append(
                f"Scores rank labels and are no probabilities; those shown lie between {self._lowest:.2f} and "
                f"{self._highest:.2f}."
            )
        return " ".join(parts)


def _picture(thumbnail: Image.Image | None, size: tuple[int, int] | None) -> dict[str, Any] | None:
    if thumbnail is None:
        return None
    if max(thumbnail.size) > _THUMBNAIL:
        thumbnail = thumbnail.copy()
        thumbnail.thumbnail((_THUMBNAIL, _THUMBNAIL))
    width, height = size or thumbnail.size
    return {
        "uri": data_uri(thumbnail, "jpeg"),
        "ratio": f"{width / height:.4f}",
        "shape": "wide" if width / height >= _FRAME else "tall",
    }


def _as_percent(crop: tuple[float, float, float, float]) -> str:
    names = ("left", "top", "width", "height")
    return ";".join(f"{name}:{100 * share:.2f}%" for name, share in zip(names, crop, strict=True))
