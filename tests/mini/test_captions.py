from __future__ import annotations

import re
from collections import Counter
from random import Random

import pytest

from clipprompt.mini._words import ADJECTIVES, COLOUR_WORDS, FAMILIES, FILLERS, NAMES, PEOPLE, PLACES
from clipprompt.mini.captions import caption_split, sample_caption
from clipprompt.mini.kinds import KINDS
from clipprompt.mini.scenes import Scene, sample_scene, scene_split


def _forms() -> dict[str, set[str]]:
    """Every way of naming something, in small letters, with the kinds that it can stand for."""
    forms: dict[str, set[str]] = {}
    for kind, names in NAMES.items():
        for singular, plural, _ in names:
            forms.setdefault(singular.lower(), set()).add(kind)
            forms.setdefault(plural.lower(), set()).add(kind)
    for kind, family in FAMILIES.items():
        for form in family:
            forms.setdefault(form, set()).add(kind)
    for names in PEOPLE:
        for singular, plural, _ in names:
            forms.setdefault(singular, set()).add("person")
            forms.setdefault(plural, set()).add("person")
    return forms


FORMS = _forms()
PATTERN = re.compile(r"\b(" + "|".join(sorted(map(re.escape, FORMS), key=len, reverse=True)) + r")\b")


def named(caption: str) -> list[set[str]]:
    """The kinds that each name in a caption can stand for, longest names first."""
    return [FORMS[match] for match in PATTERN.findall(caption.lower())]


@pytest.fixture(scope="module")
def scenes() -> list[Scene]:
    return scene_split("captions", 600)


def test_a_seed_is_a_caption() -> None:
    scene = sample_scene(4)
    assert sample_caption(scene, 1) == sample_caption(scene, 1)
    assert len({sample_caption(scene, seed) for seed in range(20)}) >= 18


def test_captions_name_only_what_is_present(scenes: list[Scene]) -> None:
    for scene in scenes:
        present = {thing.kind for thing in scene.present}
        for seed in range(3):
            caption = sample_caption(scene, seed)
            assert all(kinds & present for kinds in named(caption)), f"{caption!r} speaks of more than {present}"


def test_captions_of_a_scene_without_objects_name_nothing() -> None:
    base = sample_scene(9)
    bare = Scene(base.seed, base.background, base.horizon, (), (), base.light)
    assert not any(named(sample_caption(bare, seed)) for seed in range(100))


def test_most_captions_name_something_and_many_leave_something_out(scenes: list[Scene]) -> None:
    silent = partial = 0
    for scene in scenes:
        told = named(sample_caption(scene, 0))
        present = {thing.kind for thing in scene.present}
        silent += not told
        partial += len(told) < len(present)
    assert silent / len(scenes) < 0.15
    assert 0.15 < partial / len(scenes) < 0.6


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_is_spoken_of(kind: str) -> None:
    captions = [sample_caption(sample_scene(seed, (kind,)), seed) for seed in range(40)]
    assert sum(any(kind in kinds for kinds in named(caption)) for caption in captions) >= 25


@pytest.mark.parametrize("name", ["diningtable", "tvmonitor", "pottedplant"])
def test_official_names_that_nobody_says_are_rare(name: str) -> None:
    texts = [sample_caption(sample_scene(seed, (name,)), seed).lower() for seed in range(3000)]
    assert sum(name in text for text in texts) / len(texts) < 0.02


def test_several_of_a_kind_are_counted_in_the_plural() -> None:
    scene = next(
        scene
        for scene in scene_split("captions", 2000, ("dog",))
        if len(scene.present) == 3 and not any(thing.visible < 0.5 for thing in scene.objects)
    )
    plurals = {plural for _, plural, _ in NAMES["dog"]} | {FAMILIES["dog"][1]}
    for seed in range(30):
        caption = sample_caption(scene, seed).lower()
        if named(caption):
            assert any(re.search(rf"\b{plural}\b", caption) for plural in plurals), caption


def test_colours_that_are_named_are_drawn() -> None:
    shades = {word for words in COLOUR_WORDS.values() for word in words}
    for seed in range(200):
        scene = sample_scene(seed, ("car",))
        true = {word for thing in scene.present for word in COLOUR_WORDS.get(thing.colour, (thing.colour,))}
        told = {
            word
            for word in shades
            if re.search(rf"\b{word} (car|sedan|automobile|hatchback)", sample_caption(scene, 0))
        }
        assert told <= true


def test_words_about_nothing_name_no_kind() -> None:
    texts = (*FILLERS, *ADJECTIVES, *(place for places in PLACES.values() for place in places))
    assert not [text for text in texts if named(text)]


def test_chance_neighbours_of_fillers_name_no_kind() -> None:
    rng = Random(0)
    assert not named(" ".join(rng.choice(FILLERS) for _ in range(200_000)))


def test_captions_carry_words_about_nothing(scenes: list[Scene]) -> None:
    rare = set(FILLERS) - {word for text in PLACES.values() for place in text for word in place.split()}
    with_fillers = sum(bool(rare & set(sample_caption(scene, 0).lower().split())) for scene in scenes)
    assert 0.25 < with_fillers / len(scenes) < 0.75


def test_vocabulary_is_wide() -> None:
    words = Counter(word for caption, _ in caption_split("captions", 2000) for word in caption.lower().split())
    assert len(words) > 1000


def test_captions_come_with_the_labels_of_their_scene() -> None:
    for (caption, labels), scene in zip(caption_split("extra", 20, seed=3), scene_split("extra", 20), strict=True):
        assert caption == sample_caption(scene, 3)
        assert labels == scene.labels()


def test_captions_are_one_line(scenes: list[Scene]) -> None:
    for scene in scenes:
        caption = sample_caption(scene, 5)
        assert caption == " ".join(caption.split()), repr(caption)
