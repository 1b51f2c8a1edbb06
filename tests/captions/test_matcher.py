"""One automaton labels captions as a slow, plain search would."""

from __future__ import annotations

import random
import re
from collections.abc import Callable

import numpy as np
import pytest

from clipprompt.captions._english import DETERMINERS, FOLLOWERS, LINKS
from clipprompt.captions._fold import fold_text
from clipprompt.captions.labels import Labels
from clipprompt.captions.matcher import Matcher
from clipprompt.captions.synonyms import ClassEntry, Vocabulary

SHIPPED = ("voc2007", "coco2014", "nuswide")


@pytest.fixture(scope="module")
def named() -> Callable[[str, str], set[str]]:
    matchers = {name: Matcher(name) for name in SHIPPED}

    def label(classes: str, caption: str) -> set[str]:
        matcher = matchers[classes]
        return {matcher.classnames[i] for i in matcher.label([caption])[0]}

    return label


@pytest.mark.parametrize(
    ("caption", "classes"),
    [
        ("A hot dog on a plate.", {"hot dog"}),
        ("A dog eats a hot dog.", {"dog", "hot dog"}),
        ("A teddy bear sits on a bed", {"teddy bear", "bed"}),
        ("A bear and a teddy bear", {"bear", "teddy bear"}),
        ("a wine glass", {"wine glass"}),
        ("a glass of wine and a glass of water", {"wine glass", "cup"}),
        ("an orange cat", {"cat"}),
        ("orange and white buses", {"bus"}),
        ("the orange frisbee", {"frisbee"}),
        ("walls painted orange.", set()),
        ("an orange on a plate", {"orange"}),
        ("an orange.", {"orange"}),
        ("an orange and a banana", {"orange", "banana"}),
        ("an orange and black umbrella", {"umbrella"}),
        ("oranges", {"orange"}),
        ("an orange slice", {"orange"}),
        ("a glass of orange juice", {"cup"}),
        ("a bus stop sign", set()),
        ("a STOP-SIGN", {"stop sign"}),
        ("a fire truck by the fire hydrant", {"truck", "fire hydrant"}),
        ("a remote island", set()),
        ("a remote control on the sofa", {"remote", "couch"}),
        ("a remote on the sofa", {"remote", "couch"}),
        ("an apple laptop", {"laptop"}),
        ("apples", {"apple"}),
        ("a mouse pad near a mouse", {"mouse"}),
        ("Mickey Mouse", set()),
        ("baseball bats", {"baseball bat"}),
        ("a fruit bat", set()),
        ("a baseball player", {"person"}),
        ("he hits a baseball", {"sports ball"}),
        ("a surfer", {"person", "surfboard"}),
        ("women", {"person"}),
        ("a couple of giraffes", {"giraffe"}),
        ("a couple sitting", {"person"}),
        ("a passenger train", {"train"}),
        ("train tracks", set()),
        ("a T.V. and two TVs", {"tv"}),
        ("a tie-dyed shirt", set()),
        ("a bed of flowers", set()),
        ("toilet paper", set()),
        ("hot. Dog", {"dog"}),
        ("cartoon carpets, personal busyness", set()),
        ("", set()),
    ],
)
def test_coco_captions(named: Callable[[str, str], set[str]], caption: str, classes: set[str]) -> None:
    assert named("coco2014", caption) == classes


@pytest.mark.parametrize(
    ("list_name", "caption", "classes"),
    [
        ("voc2007", "an airplane over a table", {"aeroplane", "diningtable"}),
        ("voc2007", "a bench next to a chair", {"chair"}),
        ("voc2007", "people on a bench", {"person"}),
        ("voc2007", "a moped and a computer monitor", {"motorbike", "tvmonitor"}),
        ("voc2007", "two sofas and a houseplant", {"sofa", "pottedplant"}),
        ("nuswide", "a dog by a lake", {"dog", "animal", "lake", "water"}),
        ("nuswide", "a hot dog", {"food"}),
        ("nuswide", "a fire hydrant", set()),
        ("nuswide", "a bottle of water", set()),
        ("nuswide", "a street sign", {"sign"}),
        ("nuswide", "a bird and two whales", {"birds", "whales", "animal"}),
        ("nuswide", "the bride", {"wedding", "person"}),
    ],
)
def test_captions_of_other_lists(
    named: Callable[[str, str], set[str]], list_name: str, caption: str, classes: set[str]
) -> None:
    assert named(list_name, caption) == classes


class _Slow:
    """Regular expressions, longest phrase first, one caption at a time."""

    def __init__(self, matcher: Matcher) -> None:
        self.phrases = {" ".join(w.decode() for w in key.split()): said for key, said in matcher.phrases.items()}
        longest = sorted(self.phrases, key=len, reverse=True)
        self.search = re.compile("(?<!\\S)(?:" + "|".join(map(re.escape, longest)) + ")(?!\\S)")

    def label(self, caption: str) -> list[int]:
        text = " ".join(word.decode() for word in fold_text(caption).split())
        labels: set[int] = set()
        for match in self.search.finditer(text):
            labels |= self.phrases[match[0]].labels
            after = [word.encode() for word in text[match.end() :].split()[:2]]
            free = not after or after[0] in FOLLOWERS
            free |= bool(after) and after[0] in LINKS and (len(after) == 1 or after[1] in DETERMINERS)
            labels |= self.phrases[match[0]].alone if free else frozenset()
        return sorted(labels)


@pytest.mark.parametrize("name", SHIPPED)
def test_equals_regular_expressions_on_random_captions(name: str) -> None:
    matcher, rng = Matcher(name), random.Random(name)
    words = sorted({word.decode() for key in rng.sample(sorted(matcher.phrases), 200) for word in key.split()})
    words += ["a", "an", "the", "and", "on", "of", "orange", "hot", "dog", "dogma", "scar", "."]
    glue = [" ", " ", " ", "-", ", ", "  ", "", "'s ", " \x01 ", "é "]
    captions = ["".join(w + rng.choice(glue) for w in rng.choices(words, k=rng.randrange(14))) for _ in range(200)]
    slow = _Slow(matcher)
    assert matcher.label(captions).to_lists() == [slow.label(caption) for caption in captions]


@pytest.mark.parametrize("seed", range(20))
def test_equals_regular_expressions_on_random_phrases(seed: int) -> None:
    """Few letters, so that phrases overlap, nest and touch in every way."""
    rng = random.Random(seed)

    def phrase() -> str:
        return " ".join("".join(rng.choices("ab", k=rng.choice([1, 1, 2]))) for _ in range(rng.choice([1, 1, 2, 3])))

    pool = sorted({phrase() for _ in range(30)})
    rng.shuffle(pool)
    entries = [
        ClassEntry(f"class {i}", (pool.pop(),), (pool.pop(),), (), (pool.pop(),), line=i) for i in range(len(pool) // 3)
    ]
    matcher = Matcher(Vocabulary(tuple(entries)))
    captions = [" ".join("".join(rng.choices("ab", k=rng.choice([1, 1, 2]))) for _ in range(12)) for _ in range(50)]
    slow = _Slow(matcher)
    assert matcher.label(captions).to_lists() == [slow.label(caption) for caption in captions]


def test_no_caption_leaks_into_the_next() -> None:
    matcher = Matcher(["hot dog", "dog"])
    assert matcher.label(["hot", "dog", "", "a hot", "dog hot", "dog"]).to_lists() == [[], [1], [], [], [1], [1]]


@pytest.mark.parametrize("n", [0, 1, 16384, 16385, 40000])
def test_any_number_of_captions(n: int) -> None:
    labels = Matcher(["cat", "dog"]).label(["a dog", "nothing", "dogs and cats"] * (n // 3) + ["cat"] * (n % 3))
    assert len(labels) == n
    assert labels.values.dtype == np.int32
    assert labels.values.sum() == 2 * (n // 3)
    assert labels.counts().sum() == 3 * (n // 3) + n % 3


def test_matched_phrases_are_told_in_order() -> None:
    assert Matcher("coco2014").matched(fold_text("a hot dog and a dog")) == [b" hot  dog ", b" dog "]


def test_labels_are_taken_by_index_and_as_multi_hot() -> None:
    labels = Labels.from_lists([[2, 0], [], [1, 1]])
    assert labels.to_lists() == [[0, 2], [], [1]]
    assert labels[-1].tolist() == [1]
    assert labels.multi_hot([2, 0, 2, 1], 3).tolist() == [[0, 1, 0], [1, 0, 1], [0, 1, 0], [0, 0, 0]]
    assert Labels.concatenate([labels, labels]).to_lists() == labels.to_lists() * 2
    with pytest.raises(IndexError, match="caption 3 of 3"):
        labels[3]
