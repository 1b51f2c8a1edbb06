"""Synonym files: what ships is sound, and what a user gets wrong is said in one line."""

from __future__ import annotations

from pathlib import Path

import pytest

from clipprompt.captions._fold import fold_text
from clipprompt.captions._phrases import phrase_table
from clipprompt.captions.matcher import Matcher
from clipprompt.captions.synonyms import SHIPPED, Vocabulary, load_classes
from clipprompt.errors import UserError

VOC = (
    "aeroplane, bicycle, bird, boat, bottle, bus, car, cat, chair, cow, diningtable, dog, horse, motorbike, "
    "person, pottedplant, sheep, sofa, train, tvmonitor"
)
COCO = (
    "person, bicycle, car, motorcycle, airplane, bus, train, truck, boat, traffic light, fire hydrant, stop sign, "
    "parking meter, bench, bird, cat, dog, horse, sheep, cow, elephant, bear, zebra, giraffe, backpack, umbrella, "
    "handbag, tie, suitcase, frisbee, skis, snowboard, sports ball, kite, baseball bat, baseball glove, "
    "skateboard, surfboard, tennis racket, bottle, wine glass, cup, fork, knife, spoon, bowl, banana, apple, "
    "sandwich, orange, broccoli, carrot, hot dog, pizza, donut, cake, chair, couch, potted plant, bed, "
    "dining table, toilet, tv, laptop, mouse, remote, keyboard, cell phone, microwave, oven, toaster, sink, "
    "refrigerator, book, clock, vase, scissors, teddy bear, hair drier, toothbrush"
)
NUS_WIDE = (
    "airport, animal, beach, bear, birds, boats, book, bridge, buildings, cars, castle, cat, cityscape, clouds, "
    "computer, coral, cow, dancing, dog, earthquake, elk, fire, fish, flags, flowers, food, fox, frost, garden, "
    "glacier, grass, harbor, horses, house, lake, leaf, map, military, moon, mountain, nighttime, ocean, person, "
    "plane, plants, police, protest, railroad, rainbow, reflection, road, rocks, running, sand, sign, sky, snow, "
    "soccer, sports, statue, street, sun, sunset, surf, swimmers, tattoo, temple, tiger, tower, town, toy, train, "
    "tree, valley, vehicle, water, waterfall, wedding, whales, window, zebra"
)


@pytest.mark.parametrize(
    ("name", "classes", "count"), [("voc2007", VOC, 20), ("coco2014", COCO, 80), ("nuswide", NUS_WIDE, 81)]
)
def test_shipped_lists_have_the_official_names_in_the_official_order(name: str, classes: str, count: int) -> None:
    assert ", ".join(load_classes(name).classnames) == classes
    assert len(load_classes(name).entries) == count


@pytest.mark.parametrize("name", SHIPPED)
def test_every_class_of_a_shipped_list_is_found_by_a_phrase(name: str) -> None:
    vocabulary = load_classes(name)
    reached = {label for m in phrase_table(vocabulary).values() for label in m.labels | m.alone}
    assert reached == set(range(len(vocabulary.entries)))


@pytest.mark.parametrize("name", SHIPPED)
def test_every_shipped_blocking_phrase_has_a_word_of_its_class_in_it(name: str) -> None:
    vocabulary = load_classes(name)
    for entry in vocabulary.entries:
        own = phrase_table(Vocabulary((type(entry)(entry.name, entry.words, entry.alone, entry.shared, also=()),)))
        for phrase in entry.blocked:
            folded = fold_text(phrase)
            assert any(key in folded for key in own), f"{entry.name}: {phrase!r} blocks nothing"


@pytest.mark.parametrize("name", SHIPPED)
def test_shipped_phrases_that_are_shared_have_two_owners(name: str) -> None:
    shared = [phrase for entry in load_classes(name).entries for phrase in entry.shared]
    assert {phrase for phrase in shared if shared.count(phrase) < 2} == set()


def _labels(path: Path, caption: str) -> set[str]:
    matcher = Matcher(path)
    return {matcher.classnames[i] for i in matcher.label([caption])[0]}


def _write(folder: Path, text: str, name: str = "my.yaml") -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize("name", ["names.txt", "names", "names.lst"])
def test_a_text_file_gives_names_and_their_inflections(tmp_path: Path, name: str) -> None:
    path = _write(tmp_path, "\ufeff# mine\nwine glass\n\n  birds \nfire_hydrant\r\nglass\n", name)
    assert load_classes(path).classnames == ["wine glass", "birds", "fire_hydrant", "glass"]
    assert _labels(path, "two wine glasses") == {"wine glass"}
    assert _labels(path, "a bird and glasses by fire hydrants") == {"birds", "glass", "fire_hydrant"}


@pytest.mark.parametrize(
    ("text", "caption", "classes"),
    [
        ("cat:\ndog:\n", "cats and dogs", {"cat", "dog"}),
        ("cat: [kitten]\n", "two kittens", {"cat"}),
        ("dog:\n  not: [hot dog]\n", "hot dogs", set()),
        ("dog:\n  not: [hot dog stand]\nhot dog:\n", "a hot dog stand", {"hot dog"}),
        ("apple:\n  not: [apple laptop]\nlaptop:\n", "an apple laptop", {"laptop"}),
        ("orange:\n  words: [oranges]\n  not: [orange]\n", "orange", set()),
        ("orange:\n  words: [oranges]\n  not: [orange]\n", "oranges", {"orange"}),
        ("orange:\n  alone: [an orange]\n  words: [orange slice]\n  not: [orange]\n", "an orange slice", {"orange"}),
        ("remote:\n  alone: [remote]\n", "remote villages", set()),
        ("remote:\n  alone: [remote]\n", "the remote on a chair", {"remote"}),
        ("person:\n  shared: [surfer]\nboard:\n  shared: [surfer]\n", "surfers", {"person", "board"}),
        ("dog:\n  also: [animal]\nanimal:\n  also: [thing]\nthing:\n", "a dog", {"dog", "animal", "thing"}),
        ("glass:\nspectacles: [glasses]\n", "glasses", {"spectacles"}),
        ("axe:\naxis:\n", "axes", {"axe", "axis"}),
        ("no:\n  not: [no way]\n", "no", {"no"}),
        ("train:\n  not: [train the]\n", "a train the size", set()),
    ],
)
def test_keys_of_a_synonym_file(tmp_path: Path, text: str, caption: str, classes: set[str]) -> None:
    assert _labels(_write(tmp_path, text), caption) == classes


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "my.yaml: no classes in it"),
        ("# nothing\n", "my.yaml: no classes in it"),
        ("- cat\n- dog\n", "my.yaml:1: class names must stand at the left edge"),
        ("cat:\n  words: [kitten\ndog:\n", "my.yaml:3: broken YAML"),
        ("cat:\n\twords: [kitten]\n", "my.yaml:2: broken YAML: a tab; indent with spaces"),
        ("cat:\ndog:\nCat:\n", "my.yaml:3: class 'Cat' is already on line 1"),
        ("cat:\n  word: [kitten]\n", "my.yaml:2: 'cat' has the unknown key 'word' (did you mean 'words'?)"),
        ("cat:\n  words: kitten\n", "my.yaml:2: 'words' of 'cat' must be a list, such as [kitten, tabby cat]"),
        ("cat:\n  words: [{a: b}]\n", "my.yaml:2: 'words' of 'cat' must be a list of phrases"),
        ("cat:\n  words: [~]\n", "my.yaml:2: 'words' of 'cat' must be a list of phrases"),
        ("cat:\n  words: ['...']\n", "my.yaml:2: 'words' of 'cat' has the phrase '...', which has no word in it"),
        ("cat: kitten\n", "my.yaml:1: 'cat' has 'kitten'; write a list, cat: [kitten], or the keys words"),
        ("cat:\n  words: [a]\n  words: [b]\n", "my.yaml:3: 'cat' has the key 'words' twice"),
        ("'':\n", "my.yaml:1: the class name '' has no word in it"),
        ("[a]:\n", "my.yaml:1: a class name must be plain text"),
        (
            "dog:\n  also: [animl]\nanimal:\n",
            "my.yaml:1: 'dog' implies 'animl', which is no class of this file (did you",
        ),
        ("cat: [pet]\ndog: [pet]\n", "my.yaml:2: 'pet' belongs to 'cat' (line 1) and to 'dog'; drop it from one"),
        ("cat:\ndog: [cat]\n", "my.yaml:2: 'cat' belongs to 'cat' (line 1) and to 'dog'"),
        ("cat:\n  shared: [pet]\ndog: [pet]\n", "my.yaml:3: 'pet' belongs to"),
        ("cat:\n  words: [tom]\n  not: [tom]\n", "my.yaml:1: 'cat' has 'tom' under 'words' and 'not'; keep one"),
        ("\x00", "my.yaml: broken YAML"),
    ],
)
def test_a_wrong_synonym_file_is_one_line_with_its_place(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(UserError) as caught:
        Matcher(_write(tmp_path, text))
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_tag_in_a_synonym_file_builds_nothing(tmp_path: Path) -> None:
    path = _write(tmp_path, "cat: !!python/object/apply:os.mkdir [kitten]\n")
    assert load_classes(path).entries[0].words == ("kitten",)
    assert [p.name for p in tmp_path.iterdir()] == ["my.yaml"]


@pytest.mark.parametrize(
    ("data", "name", "message"),
    [
        (b"caf\xe9\n", "a.txt", ":1: not UTF-8 text"),
        (b"cat\ndog\ncaf\xe9\n", "a.yaml", ":3: not UTF-8 text"),
        (b"", "a.txt", "no classes in it"),
        (b"# only a comment\n", "a.txt", "no classes in it"),
        (b"cat\ndog\n\nCAT\n", "a.txt", ":4: class 'CAT' is already on line 1"),
        (b"cat\n...\n", "a.txt", ":2: the class name '...' has no word in it"),
    ],
)
def test_a_wrong_text_file_is_one_line(tmp_path: Path, data: bytes, name: str, message: str) -> None:
    path = tmp_path / name
    path.write_bytes(data)
    with pytest.raises(UserError) as caught:
        load_classes(path)
    assert message in str(caught.value)


def test_a_missing_list_names_the_nearest_shipped_one() -> None:
    with pytest.raises(UserError, match=r"no class list 'coco2041' \(did you mean 'coco2014'\?\)"):
        load_classes("coco2041")


def test_a_folder_is_no_class_list(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="is a folder"):
        load_classes(tmp_path)


def test_the_example_in_the_documentation_means_what_it_says(tmp_path: Path) -> None:
    text = (Path(__file__).resolve().parents[2] / "docs" / "captions.md").read_text("utf-8")
    path = _write(tmp_path, text.partition("```yaml\n")[2].partition("```")[0])
    assert _labels(path, "two puppies, a hot dog and an orange cat") == {"dog", "animal", "cat"}
    assert _labels(path, "a surfer eats an orange.") == {"person", "surfboard", "orange"}
