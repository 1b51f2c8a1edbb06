from __future__ import annotations

import json
import random
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from clipprompt.datasets.classification.draw import MAX_VAL_SHOTS, SUBSETS, draw, few_shot, halves
from clipprompt.datasets.classification.sets import ClassificationSet, Sample, hash_samples
from clipprompt.datasets.classification.split_file import read_split_file
from clipprompt.errors import UserError

GOLDEN = Path(__file__).parents[2] / "golden"
CASES: dict[str, Any] = json.loads((GOLDEN / "caltech101_fewshot.json").read_text())["cases"]


@pytest.fixture(scope="module")
def caltech101() -> ClassificationSet:
    return ClassificationSet("caltech101", read_split_file(GOLDEN / "split_zhou_Caltech101.json").parts)


def make(sizes: dict[str, list[int]], name: str = "tiny") -> ClassificationSet:
    """A set with so many pictures of each class in each part, not ordered by class."""
    rng = random.Random(0)
    parts = {}
    for part, counts in sizes.items():
        samples = [Sample(f"{part}/{c}/{i}.jpg", c, f"kind {c}") for c, n in enumerate(counts) for i in range(n)]
        parts[part] = rng.sample(samples, len(samples))
    return ClassificationSet(name, parts)


@pytest.fixture
def tiny() -> ClassificationSet:
    return make({"train": [9, 3, 7, 20, 5], "val": [6, 2, 6, 6, 6], "test": [2, 2, 2, 2, 2]})


@pytest.mark.parametrize("case", CASES)
def test_draw_is_the_originals(case: str, caltech101: ClassificationSet) -> None:
    seed, shots, subset = case.split("/")
    subset = subset.replace("new", "novel")
    drawn = draw(caltech101, int(shots.removeprefix("shots")), int(seed.removeprefix("seed")), subset)
    for part in ("train", "val", "test"):
        assert len(drawn.part(part)) == CASES[case][part]["n"]
        assert hash_samples(drawn.part(part)) == CASES[case][part]["sha256"]
    first, last = drawn.train[0], drawn.train[-1]
    assert [[first.path, first.label], [last.path, last.label]] == [CASES[case]["train"][k] for k in ("first", "last")]
    assert CASES[case]["classnames"] in (list(drawn.classnames), len(drawn.classnames))  # written out for 1 shot only
    assert drawn.hash == CASES[case]["train"]["sha256"]


def test_all_30_cases_are_there() -> None:
    shots = {f"seed{seed}/shots{n}" for seed in (1, 2) for n in (1, 2, 4, 8, 16)}
    assert len(CASES) == 30
    assert {case.rpartition("/")[0] for case in CASES} == shots


@pytest.mark.parametrize("n_shots", [1, 4, 6])
def test_every_class_has_its_shots_or_all_that_it_has(tiny: ClassificationSet, n_shots: int) -> None:
    drawn = draw(tiny, n_shots, seed=1)
    for part, limit in (("train", n_shots), ("val", min(n_shots, MAX_VAL_SHOTS))):
        there, taken = (Counter(s.label for s in samples) for samples in (tiny.part(part), drawn.part(part)))
        assert taken == {label: min(n, limit) for label, n in there.items()}
        assert set(drawn.part(part)) <= set(tiny.part(part))
    assert list(drawn.test) == list(tiny.part("test"))


def test_classes_with_fewer_pictures_than_shots_are_named(tiny: ClassificationSet) -> None:
    (note,) = draw(tiny, 6, seed=1).notes
    assert note == "tiny: fewer than 6 training pictures, all of them taken: kind 1 (3), kind 4 (5)"
    assert draw(tiny, 3, seed=1).notes == ()
    assert draw(tiny, 6, seed=1, subset="novel").notes[0].endswith("taken: kind 4 (5)")
    assert draw(make({"train": [1] * 8}), 2, seed=1).notes[0].endswith("kind 4 (1) and 3 more")


def test_without_shots_everything_is_taken_in_its_order(tiny: ClassificationSet) -> None:
    drawn = draw(tiny, None, seed=1)
    assert [drawn.train, drawn.val, drawn.test] == [tuple(tiny.part(part)) for part in ("train", "val", "test")]


def test_equal_seeds_are_equal_draws_and_others_are_not(tiny: ClassificationSet) -> None:
    assert draw(tiny, 2, seed=1).parts == draw(tiny, 2, seed=1).parts
    assert len({draw(tiny, 2, seed).hash for seed in range(5)}) == 5


def test_global_random_state_is_left_alone(tiny: ClassificationSet) -> None:
    before = random.getstate()
    draw(tiny, 2, seed=1, subset="base", class_split=3)
    assert random.getstate() == before


def test_labels_decide_nothing_but_their_own_numbers(tiny: ClassificationSet) -> None:
    """Numbering the classes otherwise gives the same pictures: classes are drawn in the order of their appearance."""
    other = [3, 0, 4, 2, 1]
    parts = {part: [s._replace(label=other[s.label]) for s in samples] for part, samples in tiny.parts.items()}
    renumbered = draw(ClassificationSet("tiny", parts), 2, seed=1)
    assert [s.path for s in renumbered.train] == [s.path for s in draw(tiny, 2, seed=1).train]


@pytest.mark.parametrize("class_split", [0, 1, 2])
@pytest.mark.parametrize("n_classes", [2, 7, 100])
def test_halves_part_the_classes(n_classes: int, class_split: int) -> None:
    base, novel = halves(n_classes, class_split)
    assert sorted(base + novel) == list(range(n_classes))
    assert len(base) - len(novel) == n_classes % 2
    assert [base, novel] == [sorted(base), sorted(novel)]


def test_class_splits_differ_and_0_is_the_first_half() -> None:
    assert halves(5) == ([0, 1, 2], [3, 4])
    assert len({tuple(halves(20, class_split)[0]) for class_split in range(5)}) == 5


@pytest.mark.parametrize("class_split", [0, 4])
@pytest.mark.parametrize("subset", ["base", "novel"])
def test_a_half_has_the_pictures_of_the_whole_draw(tiny: ClassificationSet, subset: str, class_split: int) -> None:
    whole, half = draw(tiny, 2, seed=1), draw(tiny, 2, seed=1, subset=subset, class_split=class_split)
    assert half.classnames == tuple(
        f"kind {label}" for label in halves(5, class_split)[("base", "novel").index(subset)]
    )
    for part in ("train", "val", "test"):
        assert [s.path for s in half.part(part)] == [s.path for s in whole.part(part) if s.classname in half.classnames]
        assert all(half.classnames[s.label] == s.classname for s in half.part(part))


def test_a_drawn_part_is_one_hot(tiny: ClassificationSet) -> None:
    images = draw(tiny, 2, seed=1, subset="novel").images("val")
    assert images.name == "tiny:val, novel classes"
    assert images.classnames == ("kind 3", "kind 4")
    assert sorted(images.targets.tolist()) == [[0, 1]] * 2 + [[1, 0]] * 2
    kinds = [images.classnames[row.argmax()] for row in images.targets]
    assert [f"kind {path.split('/')[1]}" for path in images.ids] == kinds


def test_a_set_with_a_test_part_alone_is_drawn_too() -> None:
    drawn = draw(make({"test": [2, 2]}), 16, seed=1)
    assert (drawn.train, drawn.val, len(drawn.test), drawn.notes) == ((), (), 4, ())
    with pytest.raises(UserError, match="tiny has no part 'train'; it has test"):
        drawn.part("train")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"shots": 0}, "shots=0 leaves nothing to learn from"),
        ({"shots": -1}, "shots=-1 leaves nothing"),
        ({"subset": "new"}, "subset 'new' is none of all, base, novel"),
        ({"subset": "bases"}, "did you mean 'base'"),
        ({"class_split": -1}, "class_split=-1 is below 0"),
        ({"seed": -1}, "seed -1 is below 0"),
    ],
    ids=str,
)
def test_a_wrong_argument_is_named(tiny: ClassificationSet, arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        draw(tiny, **({"shots": 1, "seed": 1} | arguments))


def test_a_single_class_has_no_novel_half() -> None:
    assert SUBSETS == ("all", "base", "novel")
    with pytest.raises(UserError, match="tiny has a single class, 'kind 0', so none of them is novel"):
        draw(make({"train": [3]}), 1, seed=1, subset="novel")


def test_a_name_of_two_labels_is_refused() -> None:
    samples = [Sample(f"{label}.jpg", label, name) for label, name in enumerate(["cat", "hot_dog", "Hot dog"])]
    with pytest.raises(UserError, match=r"tiny: labels 1 and 2 are both called 'Hot dog' in x\.json"):
        draw(ClassificationSet("tiny", {"train": samples}, files="x.json"), 1, seed=1)


def test_few_shot_goes_on_with_its_generator() -> None:
    samples = make({"train": [9, 9]}).part("train")
    rng = random.Random(1)
    assert few_shot(samples, 3, rng) != few_shot(samples, 3, rng)
