from __future__ import annotations

import itertools
import os
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import clipprompt
from clipprompt import Tagger, inference
from clipprompt.backbone import Backbone, load_backbone
from clipprompt.datasets import open_image
from clipprompt.errors import UserError
from clipprompt.inference import ImageTags, tagger
from clipprompt.inference.calibration import Calibration, ClassCalibration, write_calibration
from clipprompt.learners import Learner, create_learner

LABELS = ["dog", "red bus", "tree", "umbrella"]


@pytest.fixture(scope="module")
def backbone() -> Backbone:
    return load_backbone("mini", device="cpu")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Nine pictures of several sizes and two files that are none."""
    folder = tmp_path_factory.mktemp("pictures")
    rng = np.random.default_rng(0)
    for number in range(9):
        small = rng.integers(0, 255, (4, 5, 3), dtype=np.uint8)
        Image.fromarray(small).resize((90 + 10 * number, 130)).save(folder / f"{number}.jpg")
    (folder / "3.jpg").write_bytes(b"")
    (folder / "8.jpg").write_text("no picture")
    return folder


@pytest.fixture
def paths(folder: Path) -> list[Path]:
    return sorted(folder.iterdir())


@pytest.fixture(scope="module")
def prompts(backbone: Backbone, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A trained prompt without a calibration."""
    folder = tmp_path_factory.mktemp("prompt")
    create_learner("tai_dpt", backbone, ["cat", "tree", "dog"], n_ctx=2).save(folder)
    return folder


def calibrate(folder: Path, backbone: Backbone, thresholds: tuple[float, ...] = (0.5, 0.5, 0.5)) -> None:
    names = ("cat", "tree", "dog")
    classes = [
        ClassCalibration(name=name, threshold=threshold, n_present=5, f1=0.5)
        for name, threshold in zip(names, thresholds, strict=True)
    ]
    found = Calibration(
        format=1,
        source="test",
        n_samples=10,
        method="tai_dpt",
        fingerprint=backbone.fingerprint(),
        slope=1.0,
        offset=0.0,
        threshold=0.5,
        reference=names,
        classes=tuple(classes),
    )
    write_calibration(folder, found)


@pytest.fixture
def calibrated(backbone: Backbone, tmp_path: Path) -> Path:
    create_learner("tai_dpt", backbone, ["cat", "tree", "dog"], n_ctx=2).save(tmp_path / "prompt")
    calibrate(tmp_path / "prompt", backbone)
    return tmp_path / "prompt"


def read(results: Iterator[ImageTags]) -> dict[str, list[tuple[str, float]]]:
    return {
        os.path.basename(one.path): [(tag.label, round(tag.score, 4)) for tag in one.tags]  # noqa: PTH119
        for one in results
        if one.error is None
    }


def test_the_tagger_is_found_where_people_look() -> None:
    assert clipprompt.Tagger is inference.Tagger is tagger.Tagger
    with pytest.raises(AttributeError, match="no attribute 'Taggre'"):
        _ = inference.Taggre


def test_results_come_in_order_with_errors_in_their_places(backbone: Backbone, paths: list[Path]) -> None:
    results = list(Tagger(backbone, labels=LABELS, batch_size=2).tag(paths))
    assert [one.path for one in results] == [str(path) for path in paths]
    errors = {Path(one.path).name: one.error for one in results if one.error is not None}
    assert errors.keys() == {"3.jpg", "8.jpg"}
    assert errors["3.jpg"] == "the file is empty"
    assert all(one.tags == () and one.size is None for one in results if one.error)


def test_scores_are_those_of_the_learner_best_first(backbone: Backbone, paths: list[Path]) -> None:
    learner = create_learner("zero_shot", backbone, LABELS)
    for one in Tagger(backbone, labels=LABELS).tag(paths[:2]):
        assert backbone.preprocess is not None
        logits = learner(backbone.preprocess(open_image(one.path))[None])[0]
        expected = sorted(zip(logits.tolist(), LABELS, strict=True), reverse=True)
        assert [tag.label for tag in one.tags] == [label for _, label in expected]
        assert [tag.score for tag in one.tags] == pytest.approx([score for score, _ in expected], rel=1e-4)
        assert all(tag.probability is None and tag.heat is None for tag in one.tags)


@pytest.mark.parametrize(
    "options", [{"batch_size": 1}, {"batch_size": 3, "workers": 0}, {"workers": 1}, {"heat_maps": 2, "thumbnails": 20}]
)
def test_tags_do_not_depend_on_how_pictures_are_grouped(
    backbone: Backbone, paths: list[Path], options: dict[str, Any]
) -> None:
    assert read(Tagger(backbone, labels=LABELS, **options).tag(paths)) == read(
        Tagger(backbone, labels=LABELS).tag(paths)
    )


@pytest.mark.parametrize("top_k", [1, 3, 4, 100])
def test_no_more_than_top_k_labels(backbone: Backbone, paths: list[Path], top_k: int) -> None:
    (first,) = Tagger(backbone, labels=LABELS, top_k=top_k).tag(paths[:1])
    assert len(first.tags) == min(top_k, 4)


def test_none_of_these_is_an_answer(backbone: Backbone, paths: list[Path]) -> None:
    (first,) = Tagger(backbone, labels=LABELS, threshold=1e6).tag(paths[:1])
    assert (first.tags, first.error) == ((), None)


def test_a_threshold_without_a_calibration_is_one_of_scores(backbone: Backbone, paths: list[Path]) -> None:
    (every,) = Tagger(backbone, labels=LABELS).tag(paths[:1])
    limit = every.tags[1].score
    (above,) = Tagger(backbone, labels=LABELS, threshold=limit - 1e-3).tag(paths[:1])
    assert [tag.label for tag in above.tags] == [tag.label for tag in every.tags[:2]]


@pytest.mark.parametrize("method", ["zero_shot", "tai_dpt", "dualcoop", "caption_dual", "coop", "cocoop"])
def test_any_learner_tags(backbone: Backbone, paths: list[Path], method: str) -> None:
    learner = create_learner(method, backbone, LABELS)
    results = read(Tagger(None, learner).tag(paths[:2]))
    assert len(results) == 2
    with torch.no_grad():
        assert backbone.preprocess is not None
        logits = learner(backbone.preprocess(open_image(paths[0]))[None])[0]
    assert results["0.jpg"][0] == (LABELS[int(logits.argmax())], pytest.approx(float(logits.max()), abs=1e-3))


def test_a_learner_whose_image_side_learns_is_called_with_images(backbone: Backbone, paths: list[Path]) -> None:
    class Visual(type(create_learner("zero_shot", backbone, LABELS))):  # type: ignore[misc]
        image_side_is_frozen = False

        def forward(self, images: torch.Tensor) -> torch.Tensor:
            return images.new_tensor([[1.0, 4.0, 3.0, 2.0]]).expand(len(images), -1)

        def features_from(self, hidden: Any) -> Any:
            raise AssertionError

    plain = create_learner("zero_shot", backbone, LABELS)
    learner = Visual(backbone, plain.options, torch.Generator(), 4)
    learner.set_classes(LABELS)
    assert read(Tagger(backbone, learner, heat_maps=2).tag(paths[:1])) == {
        "0.jpg": [("red bus", 4.0), ("tree", 3.0), ("umbrella", 2.0), ("dog", 1.0)]
    }


def test_a_prompt_takes_any_labels_and_stays_as_it_is(backbone: Backbone, paths: list[Path]) -> None:
    learner = create_learner("tai_dpt", backbone, ["cat", "dog"], n_ctx=2)
    assert Tagger(None, learner, LABELS).labels == tuple(LABELS)
    assert learner.classnames == ("cat", "dog")
    assert Tagger(backbone, learner).labels == ("cat", "dog")


def test_no_class_is_tagged_with_the_context_of_another(backbone: Backbone) -> None:
    learner = create_learner("tai_dpt", backbone, ["cat", "dog"], n_ctx=2, class_specific=True)
    with torch.no_grad():
        own, some = learner.class_features(), Tagger(None, learner, ["dog", "cat"]).learner.class_features()
    torch.testing.assert_close(some, own[[1, 0]])
    with pytest.raises(UserError, match="made for 2 classes and cannot serve 3"):
        Tagger(None, learner, ["dog", "cat", "zebra"])


def test_a_prompt_folder_brings_labels_and_backbone(prompts: Path, paths: list[Path]) -> None:
    tags = Tagger(None, prompts)
    assert tags.labels == ("cat", "tree", "dog")
    assert tags.backbone.name == "mini"
    assert len(read(tags.tag(paths))) == 7


# Probabilities


def test_a_calibrated_prompt_gives_probabilities(backbone: Backbone, calibrated: Path, paths: list[Path]) -> None:
    tags = Tagger(backbone, calibrated, threshold=0)
    for one in tags.tag(paths[:2]):
        assert len(one.tags) == 3
        assert all(tag.probability is not None and 0 <= tag.probability <= 1 for tag in one.tags)
        values = [tag.probability or 0 for tag in one.tags]
        assert values == sorted(values, reverse=True)


def test_probabilities_use_the_reference_classes_whatever_the_labels(
    backbone: Backbone, calibrated: Path, paths: list[Path]
) -> None:
    def probability(labels: list[str]) -> float:
        (one,) = Tagger(backbone, calibrated, labels, threshold=0).tag(paths[:1])
        return next(tag.probability or 0 for tag in one.tags if tag.label == "red bus")

    assert probability(["red bus"]) == pytest.approx(probability(["tree", "red bus", "dog"]), abs=1e-5)


def test_calibrated_thresholds_are_the_default(backbone: Backbone, calibrated: Path, paths: list[Path]) -> None:
    calibrate(calibrated, backbone, (0.0, 1.0, 1.0))
    for threshold in (None, "auto"):
        (one,) = Tagger(backbone, calibrated, threshold=threshold).tag(paths[:1])
        assert [tag.label for tag in one.tags] == ["cat"]
    (one,) = Tagger(backbone, calibrated, threshold=0.0).tag(paths[:1])
    assert len(one.tags) == 3


@pytest.mark.parametrize("elsewhere", [False, True])
def test_a_calibration_with_another_backbone_is_told(
    backbone: Backbone,
    calibrated: Path,
    elsewhere: bool,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if elsewhere:
        with monkeypatch.context() as patch:
            patch.setattr(Backbone, "fingerprint", lambda self: "0" * 16)
            calibrate(calibrated, backbone)
    Tagger(backbone, calibrated)
    assert ("calibration.json was made with another backbone" in caplog.text) == elsewhere


# What comes with the tags


@pytest.mark.parametrize("method", ["tai_dpt", "dualcoop", "caption_dual"])
def test_heat_maps_are_of_the_best_labels_and_their_places(backbone: Backbone, paths: list[Path], method: str) -> None:
    learner = create_learner(method, backbone, LABELS, n_ctx=2)
    (one,) = Tagger(None, learner, heat_maps=2).tag(paths[:1])
    assert backbone.preprocess is not None
    images = backbone.preprocess(open_image(one.path))[None]
    rows, columns = backbone.vision.trunk(images).grid
    with torch.no_grad():
        cosines = learner.local_logits_map(learner.encode_images(images))[0]  # type: ignore[operator]
    assert [tag.heat is not None for tag in one.tags] == [True, True, False, False]
    for tag in one.tags[:2]:
        assert tag.heat is not None
        expected = cosines[:, LABELS.index(tag.label)].reshape(rows, columns).numpy()
        np.testing.assert_allclose(tag.heat, expected, atol=1e-4)


def test_a_learner_without_a_local_branch_gives_no_heat(backbone: Backbone, paths: list[Path]) -> None:
    (one,) = Tagger(None, create_learner("coop", backbone, LABELS, n_ctx=2), heat_maps=2).tag(paths[:1])
    assert all(tag.heat is None for tag in one.tags)


def test_size_thumbnail_and_view_come_with_the_tags(backbone: Backbone, paths: list[Path]) -> None:
    (one,) = Tagger(backbone, labels=LABELS, thumbnails=20).tag(paths[:1])
    assert one.size == (90, 130)
    assert one.thumbnail is not None
    assert max(one.thumbnail.size) == 20
    assert backbone.preprocess is not None
    assert one.crop == backbone.preprocess.view((90, 130))


def test_a_draft_is_faster_and_says_the_same_size(
    backbone: Backbone, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Image.linear_gradient("L").convert("RGB").resize((1000, 800)).save(tmp_path / "a.jpg")
    seen: list[tuple[int, int]] = []
    decode = tagger.decode_image

    def watched(*args: Any, **options: Any) -> Any:
        decoded = decode(*args, **options)
        seen.append(decoded.image.size)
        return decoded

    monkeypatch.setattr(tagger, "decode_image", watched)
    results = [next(Tagger(backbone, labels=LABELS, draft=draft).tag([tmp_path / "a.jpg"])) for draft in (False, True)]
    assert [one.size for one in results] == [(1000, 800)] * 2
    assert seen[0] == (1000, 800)
    assert backbone.image_size <= min(seen[1]) < 2 * backbone.image_size
    scores = [{tag.label: tag.score for tag in one.tags} for one in results]
    assert scores[0] == pytest.approx(scores[1], abs=0.5)


def test_scores_that_are_not_finite_cost_one_picture(
    backbone: Backbone, calibrated: Path, paths: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    honest = tagger._scores

    def broken(learner: Learner, images: torch.Tensor, features: Any) -> Any:
        scores = honest(learner, images, features).copy()
        scores[1, 0] = np.nan
        return scores

    monkeypatch.setattr(tagger, "_scores", broken)
    for prompts in (None, calibrated):
        results = list(Tagger(backbone, prompts, ["cat", "tree", "dog"], threshold=0).tag(paths[:3]))
        assert [one.error is not None for one in results] == [False, True, False]
        assert "--precision fp32" in str(results[1].error)


# A stream


def test_memory_does_not_grow_with_the_number_of_pictures(
    backbone: Backbone, paths: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    alive: list[weakref.ref[Image.Image]] = []
    most, asked = 0, 0
    decode = tagger.decode_image

    def counting(*args: Any, **options: Any) -> Any:
        nonlocal most
        decoded = decode(*args, **options)
        alive[:] = [one for one in [*alive, weakref.ref(decoded.image)] if one() is not None]
        most = max(most, len(alive))
        return decoded

    def endless() -> Iterator[Path]:
        nonlocal asked
        for path in itertools.cycle(paths[:3]):
            asked += 1
            yield path

    monkeypatch.setattr(tagger, "decode_image", counting)
    stream = Tagger(backbone, labels=LABELS, batch_size=8, workers=3).tag(endless())
    for position, _ in enumerate(itertools.islice(stream, 300), 1):
        assert asked <= position + 4 * 8
    stream.close()  # type: ignore[attr-defined]
    assert 1 <= most <= 2 * 3  # a thread may hold its last picture while it opens the next


def test_any_kind_of_path_is_taken(backbone: Backbone, folder: Path) -> None:
    given = [folder / "0.jpg", str(folder / "0.jpg"), os.fsencode(folder / "0.jpg")]
    assert [one.path for one in Tagger(backbone, labels=LABELS).tag(given)] == [str(folder / "0.jpg")] * 3  # type: ignore[arg-type]


# Mistakes


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"labels": None}, "neither a prompt nor a list of labels"),
        ({"labels": []}, "no class names"),
        ({"labels": "dog"}, "not one string"),
        ({"labels": ["dog", "Dog"]}, "given twice"),
        ({"labels": LABELS, "backbone": None}, "neither a prompt nor a backbone"),
        ({"labels": LABELS, "backbone": "ViT-B-61"}, "ViT-B-16"),
        ({"labels": LABELS, "prompts": "nowhere"}, "nowhere"),
        ({"labels": LABELS, "top_k": 0}, "top k = 0"),
        ({"labels": LABELS, "heat_maps": -1}, "-1 heat maps"),
        ({"labels": LABELS, "thumbnails": 0}, "thumbnails of 0 pixels"),
        ({"labels": LABELS, "batch_size": 0}, "batch size 0"),
        ({"labels": LABELS, "workers": -1}, "-1 workers"),
        ({"labels": LABELS, "threshold": "auto"}, "clipprompt calibrate"),
        ({"labels": LABELS, "threshold": "many"}, "'many'"),
        ({"labels": LABELS, "threshold": float("nan")}, "nan"),
    ],
)
def test_a_mistake_is_one_line(backbone: Backbone, arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        Tagger(**{"backbone": backbone, **arguments})


def test_a_threshold_beyond_probabilities_is_refused(backbone: Backbone, calibrated: Path) -> None:
    with pytest.raises(UserError, match="threshold 25: these prompts give probabilities"):
        Tagger(backbone, calibrated, threshold=25)


def test_an_empty_list_of_labels_is_refused_for_a_learner_too(backbone: Backbone) -> None:
    with pytest.raises(UserError, match="no class names"):
        Tagger(None, create_learner("zero_shot", backbone, LABELS), [])


def test_a_batch_that_does_not_fit_into_memory_is_said_in_one_line(
    backbone: Backbone, paths: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any) -> Any:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(tagger, "_scores", full)
    with pytest.raises(UserError, match="2 pictures at once do not fit into the memory of cpu; try a smaller batch"):
        list(Tagger(backbone, labels=LABELS).tag(paths[:2]))


def test_one_string_for_paths_is_refused(backbone: Backbone) -> None:
    with pytest.raises(UserError, match="paths are a list"):
        next(Tagger(backbone, labels=LABELS).tag("photo.jpg"))


def test_a_learner_of_another_backbone_is_refused(backbone: Backbone) -> None:
    learner = create_learner("zero_shot", backbone, LABELS)
    with pytest.raises(UserError, match="backbone of its own"):
        Tagger(load_backbone("mini", device="cpu"), learner)


def with_band(folder: Path, backbone: Backbone) -> Path:
    """A prompt whose calibration answers; any probability of the cat is a yes, and any of the dog is uncertain."""
    create_learner("tai_dpt", backbone, ["cat", "tree", "dog"], n_ctx=2).save(folder)
    bands = {"cat": (0.0, 0.0, 0.0), "tree": (1.0, 1.0, 1.0), "dog": (0.0, 1.0, 1.0)}
    classes = tuple(
        ClassCalibration(
            name=name, certain_below=below, threshold=threshold, certain_from=above, n_present=5, n_absent=5, f1=0.5
        )
        for name, (below, threshold, above) in bands.items()
    )
    shared = {"certainty": 0.9, "certain_below": 0.2, "threshold": 0.5, "certain_from": 0.8}
    facts = {"source": "test", "n_samples": 10, "method": "tai_dpt", "fingerprint": backbone.fingerprint()}
    reference = ("cat", "tree", "dog")
    found = Calibration(**facts, slope=1.0, offset=0.0, **shared, reference=reference, classes=classes)
    write_calibration(folder, found)
    return folder


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, {"cat": "yes"}),
        ({"uncertain": True}, {"cat": "yes", "dog": "uncertain"}),
        ({"threshold": 0.0}, {"cat": "yes", "dog": "uncertain", "tree": "no"}),
    ],
    ids=["thresholds", "uncertain ones too", "all"],
)
def test_every_label_has_an_answer(
    backbone: Backbone, paths: list[Path], tmp_path: Path, options: dict[str, Any], expected: dict[str, str]
) -> None:
    folder = with_band(tmp_path / "prompt", backbone)
    for one in Tagger(backbone, folder, **options).tag(paths[:2]):
        assert {tag.label: tag.answer for tag in one.tags} == expected


def test_without_a_band_no_label_has_an_answer(backbone: Backbone, paths: list[Path], calibrated: Path) -> None:
    tagger = Tagger(backbone, calibrated, threshold=0.0)
    assert tagger.bands is None
    assert all(tag.answer is None for one in tagger.tag(paths[:1]) for tag in one.tags)
    with pytest.raises(UserError, match="of an older version"):
        Tagger(backbone, calibrated, uncertain=True)
