"""Compares our caption labels with those of the original pipeline, kind by kind.

    python -m tools.compare_labels REFERENCE.json CAPTIONS.json [--classes coco2014]

REFERENCE.json holds ``caption_ids`` and, under ``coco`` and ``voc``, ``classes`` and ``labels`` of the original
pipeline; CAPTIONS.json is the COCO caption file that they were made from. A difference is put down to a phrase:
one of ours that named the class, one under ``not`` that kept it out, or the reference alone.
"""

from __future__ import annotations

import argparse
import json
from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from clipprompt.captions._fold import fold_text
from clipprompt.captions._phrases import blocking_classes
from clipprompt.captions.matcher import Matcher

# The reference's spelling of a class name, where it is not the official one.
SPELLING = {
    "coco2014": {"motor bike": "motorcycle", "aeroplane": "airplane"},
    "voc2007": {
        "table": "diningtable",
        "motor bike": "motorbike",
        "potted plant": "pottedplant",
    },
}
LISTS = {"coco2014": "coco", "voc2007": "voc"}


@dataclass
class Comparison:
    """Pairs of (caption, class): those that both have, and the others by kind.

    Attributes:
        n_captions: captions compared.
        n_same: captions whose label sets are equal.
        both: pairs that both have.
        ours: pairs that only we have: (class, phrase) to count.
        theirs: pairs that only the reference has: (class, phrase under ``not`` or "") to count.
        seen: of those, pairs whose class another caption of the same image names (by our labels).
        examples: a caption for each of these.
    """

    n_captions: int = 0
    n_same: int = 0
    both: int = 0
    ours: Counter[tuple[str, str]] = field(default_factory=Counter)
    theirs: Counter[tuple[str, str]] = field(default_factory=Counter)
    seen: Counter[tuple[str, str]] = field(default_factory=Counter)
    examples: dict[tuple[str, str], str] = field(default_factory=dict)

    @property
    def agreement(self) -> float:
        """Pairs that both have over pairs that either has."""
        return self.both / (self.both + self.ours.total() + self.theirs.total())


def compare(reference: Path, captions: Path, classes: str) -> Comparison:
    """Labels the reference's captions and counts where the two differ."""
    golden = json.loads(reference.read_text("utf-8"))
    annotations = json.loads(captions.read_text("utf-8"))["annotations"]
    matcher, spelling = Matcher(classes), SPELLING[classes]
    names = [spelling.get(name, name) for name in golden[LISTS[classes]]["classes"]]
    missing = set(names) ^ set(matcher.classnames)
    if missing:
        raise ValueError(f"class names differ: {sorted(missing)}")
    ours = [{matcher.classnames[i] for i in row} for row in matcher.label([a["caption"] for a in annotations])]
    place = {a["id"]: i for i, a in enumerate(annotations)}
    of_image = defaultdict(list)
    for i, a in enumerate(annotations):
        of_image[a["image_id"]].append(i)
    result, blocked = Comparison(), blocking_classes(matcher.vocabulary)
    for key, row in zip(golden["caption_ids"], golden[LISTS[classes]]["labels"], strict=True):
        at, theirs = place[key], {names[i] for i in row}
        others = set[str]().union(*(ours[i] for i in of_image[annotations[at]["image_id"]] if i != at))
        _count(result, annotations[at]["caption"].strip(), ours[at], theirs, others, _reasons(matcher, blocked))
    return result


Reasons = Callable[[str], tuple[dict[str, str], dict[str, str]]]


def _reasons(matcher: Matcher, blocked: dict[bytes, frozenset[int]]) -> Reasons:
    """For a caption: class to the phrase that names it, and class to the phrase that keeps it out."""
    names = matcher.classnames

    def reasons(caption: str) -> tuple[dict[str, str], dict[str, str]]:
        named: dict[str, str] = {}
        kept_out: dict[str, str] = {}
        for key in matcher.matched(fold_text(caption)):
            phrase, meaning = b" ".join(key.split()).decode(), matcher.phrases[key]
            named |= dict.fromkeys((names[i] for i in meaning.labels | meaning.alone), phrase)
            kept_out |= dict.fromkeys((names[i] for i in meaning.alone), f"{phrase} …")
            kept_out |= dict.fromkeys((names[i] for i in blocked.get(key, ())), phrase)
        return named, kept_out

    return reasons


def _count(
    result: Comparison, caption: str, ours: set[str], theirs: set[str], others: set[str], reasons: Reasons
) -> None:
    result.n_captions += 1
    result.n_same += ours == theirs
    result.both += len(ours & theirs)
    if ours == theirs:
        return
    named, kept_out = reasons(caption)
    for counter, differing, why in ((result.ours, ours - theirs, named), (result.theirs, theirs - ours, kept_out)):
        for name in differing:
            kind = (name, why.get(name, ""))
            counter[kind] += 1
            result.seen[kind] += name in others
            result.examples.setdefault(kind, caption)


def report(result: Comparison, n_kinds: int) -> str:
    """The comparison as Markdown."""
    equal = f"{result.n_captions:,} captions, {result.n_same:,} ({result.n_same / result.n_captions:.1%}) equal"
    pairs = f"{result.both:,} labels in both, {result.ours.total():,} only ours, {result.theirs.total():,} only theirs"
    lines = [f"{equal}; {pairs} (agreement {result.agreement:.3f})."]
    for title, counter in (("Only ours", result.ours), ("Only the reference's", result.theirs)):
        seen = sum(result.seen[kind] for kind in counter)
        lines += [
            "",
            f"{title}: {counter.total():,}, in {seen / max(counter.total(), 1):.0%} another caption agrees.",
            "",
        ]
        lines += ["| class | phrase | captions | another caption agrees | example |", "|---|---|---:|---:|---|"]
        for kind, count in counter.most_common(n_kinds):
            share = f"{result.seen[kind] / count:.0%}"
            lines.append(f"| {kind[0]} | {kind[1] or '—'} | {count} | {share} | {result.examples[kind]} |")
    return "\n".join(lines)


def main() -> None:
    """Prints the comparison."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("reference", type=Path)
    parser.add_argument("captions", type=Path)
    parser.add_argument("--classes", choices=sorted(LISTS), default="coco2014")
    parser.add_argument("--kinds", type=int, default=25, help="kinds of difference to list in each direction")
    args = parser.parse_args()
    print(report(compare(args.reference, args.captions, args.classes), args.kinds))


if __name__ == "__main__":
    main()
