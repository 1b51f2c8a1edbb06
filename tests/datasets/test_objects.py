from __future__ import annotations

import hashlib
import pickle
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from clipprompt.backbone import load_backbone
from clipprompt.datasets.classification.sets import PARTS, ClassificationSet, Sample, hash_samples
from clipprompt.datasets.objects import CLASSES, load_drawn
from clipprompt.errors import UserError
from clipprompt.evaluation.scoring import score_images
from clipprompt.learners import Learner, create_learner
from clipprompt.mini.render import render_scene
from clipprompt.mini.scenes import KINDS, SPLITS, VOC_CLASSES, sample_object_scene
from clipprompt.mini.styles import STYLES


def pixels(name: str, sample: Sample) -> npt.NDArray[np.uint8]:
    return np.asarray(load_drawn(name).open_item(sample.path))


@pytest.mark.parametrize("name", STYLES)
def test_parts_are_disjoint_and_hold_every_class_equally_often(name: str) -> None:
    dataset = load_drawn(name)
    assert tuple(dataset.parts) == PARTS
    for part in PARTS:
        counts = np.bincount([sample.label for sample in dataset.part(part)], minlength=len(CLASSES))
        assert set(counts) == {len(dataset.part(part)) // len(CLASSES)}
    paths = [sample.path for part in PARTS for sample in dataset.part(part)]
    assert len(set(paths)) == len(paths)
    assert len({hash_samples(dataset.part(part)) for part in PARTS}) == len(PARTS)


def test_parts_show_scenes_of_their_own() -> None:
    shown = {
        part: {sample_object_scene(SPLITS[part] + int(sample.path.split("/")[-1]), CLASSES) for sample in samples[:80]}
        for part, samples in load_drawn("mini-objects").parts.items()
    }
    assert sum(map(len, shown.values())) == len(set.union(*shown.values())) == 240


def test_labels_are_in_alphabetical_order_and_both_halves_have_kinds_of_voc() -> None:
    names = load_drawn("mini-objects").classnames
    assert list(names) == sorted(KINDS)
    assert all(5 <= len(set(half) & set(VOC_CLASSES)) <= 15 for half in (names[:20], names[20:]))


@pytest.mark.parametrize("kinds", [CLASSES, VOC_CLASSES, ("zebra", "cat", "bus")], ids=len)
def test_label_is_the_kind_that_is_drawn(kinds: tuple[str, ...]) -> None:
    for part, samples in load_drawn("mini-night", kinds).parts.items():
        for sample in samples[:: len(samples) // 9]:
            (thing,) = sample_object_scene(SPLITS[part] + int(sample.path.split("/")[-1]), kinds).objects
            assert thing.kind == sample.classname == kinds[sample.label]
            assert thing.present


# Any change of a look, or of what is drawn, makes older numbers stand for other pictures.
PIXELS = {
    "mini-objects": "9151b766f89bf580",
    "mini-sketch": "4b3f2fe05a77752c",
    "mini-night": "e029838bc8260e90",
    "mini-noise": "cc952e5744bded29",
}


@pytest.mark.parametrize("name", STYLES)
def test_pictures_are_the_same_bytes_every_time(name: str) -> None:
    digest = hashlib.sha256()
    for sample in load_drawn(name).part("test")[:40:13]:
        digest.update(pixels(name, sample).tobytes())
    assert digest.hexdigest()[:16] == PIXELS[name]


def test_styles_show_the_same_objects_in_another_look() -> None:
    plain = np.asarray(render_scene(sample_object_scene(SPLITS["val"], CLASSES)), dtype=float)
    looks = [pixels(name, load_drawn(name).part("val")[0]).astype(float) for name in STYLES]
    assert {look.shape for look in looks} == {(64, 64, 3)}
    everything = [plain, *looks]
    for i, one in enumerate(everything):
        assert all(np.abs(one - other).mean() > 5 for other in everything[i + 1 :])


def test_a_print_is_faded_a_sketch_has_no_colour_and_a_night_is_dark() -> None:
    plain = np.asarray(render_scene(sample_object_scene(SPLITS["val"], CLASSES)), dtype=int)
    print_, sketch, night, _ = (pixels(name, load_drawn(name).part("val")[0]).astype(int) for name in STYLES)
    assert 0 < np.ptp(print_, axis=-1).mean() < 0.5 * np.ptp(plain, axis=-1).mean()
    assert np.ptp(sketch, axis=-1).max() == 0
    assert np.median(sketch) > 200
    assert night.mean() < 0.4 * plain.mean()


def test_set_goes_to_another_process() -> None:
    dataset = load_drawn("mini-noise")
    copy = pickle.loads(pickle.dumps(dataset))
    path = dataset.part("train")[7].path
    assert np.array_equal(np.asarray(copy.open_item(path)), np.asarray(dataset.open_item(path)))


@pytest.mark.parametrize("backbone", ["mini", "mini-vit"])
def test_hand_written_prompts_name_some_objects_and_far_fewer_than_in_the_usual_look(backbone: str) -> None:
    learner = create_learner("zero_shot", load_backbone(backbone, device="cpu"), CLASSES)
    accuracies = {name: _accuracy(learner, load_drawn(name)) for name in STYLES}
    usual = _accuracy(learner, replace(load_drawn("mini-objects"), open_item=_usual_look))
    chance = 1 / len(CLASSES)
    assert usual > 0.6
    assert all(3 * chance < accuracy < usual - 0.2 for accuracy in accuracies.values()), accuracies


def _usual_look(path: str) -> Image.Image:
    return render_scene(sample_object_scene(SPLITS["val"] + int(path.split("/")[-1]), CLASSES))


def _accuracy(learner: Learner, dataset: ClassificationSet) -> float:
    images = dataset.images(dataset.name, dataset.part("val")[:400], CLASSES)
    scores = score_images({"": learner}, images, batch_size=100).by_key[""]["global"]
    return float((scores.argmax(axis=1) == images.targets.argmax(axis=1)).mean())


@pytest.mark.parametrize(
    ("name", "kinds", "message"),
    [
        ("mini-sketsh", CLASSES, "no drawn set 'mini-sketsh'.*mini-sketch.*; there are mini-objects, "),
        ("mini-night", ("unicorn",), "draws no 'unicorn'"),
    ],
)
def test_wrong_request_is_refused(name: str, kinds: tuple[str, ...], message: str) -> None:
    with pytest.raises(UserError, match=message):
        load_drawn(name, kinds)
