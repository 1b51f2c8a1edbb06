from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, get_type_hints

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from clipprompt.backbone import Backbone, load_backbone
from clipprompt.datasets import open_image
from clipprompt.datasets.classification.draw import draw
from clipprompt.datasets.classification.load import load_classification
from clipprompt.errors import UserError
from clipprompt.evaluation.job_tests.multilabel_records import MultiLabelTestRecord
from clipprompt.evaluation.job_tests.one_class import Evaluation, evaluate_tests
from clipprompt.evaluation.job_tests.one_class_records import ClassificationRecord
from clipprompt.evaluation.job_tests.tuning_records import TuningRecord
from clipprompt.evaluation.protocols._tuning import tuned_learners
from clipprompt.evaluation.protocols.planning import Job, Test, load_protocol, plan_jobs
from clipprompt.evaluation.records import read_records
from clipprompt.features.images import places_read_by, what_learners_read
from clipprompt.learners import Learner, create_learner, list_learners
from tests.conftest import GOLDEN
from tests.golden import tiny_clip

CLASSES = ("bus", "cat", "dog", "kite", "tree")
N_TEST = 3  # pictures of each class


def _paint(folder: Path, parts: dict[str, int]) -> Path:
    rng = np.random.default_rng(0)
    for part, count in parts.items():
        for name in CLASSES:
            (folder / part / name).mkdir(parents=True)
            for number in range(count):
                noise = rng.integers(0, 255, (4, 5, 3), dtype=np.uint8)
                Image.fromarray(noise).resize((90, 80)).save(folder / part / name / f"{number}.png")
    return folder


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Five classes; base are the first three."""
    return _paint(tmp_path / "photos", {"train": 3, "val": 2, "test": N_TEST})


@pytest.fixture
def own(tiny_folder: Path) -> Backbone:
    """A backbone of each test's own, so that nothing is kept for it yet."""
    return load_backbone(str(tiny_folder), device="cpu")


@pytest.fixture(scope="module")
def vit(tmp_path_factory: pytest.TempPathFactory) -> Backbone:
    folder = tmp_path_factory.mktemp("tiny_vit")
    scale = {"mean": [0.48, 0.46, 0.41], "std": [0.27, 0.26, 0.28]}
    config = {"model_cfg": json.loads((GOLDEN / "tiny_vit_open_clip.json").read_text()), "preprocess_cfg": scale}
    (folder / "open_clip_config.json").write_text(json.dumps(config))
    save_file(tiny_clip.tiny_vit_state_dict(0), folder / "open_clip_model.safetensors")
    return load_backbone(str(folder), device="cpu")


def _jobs(
    backbone: Backbone, photos: Path, methods: str, *settings: str, protocol: str = "base-to-novel", **more: Any
) -> list[Job]:
    request = {"seeds": [1], "settings": [f"backbone.name={backbone.name}", *settings], **more}
    if load_protocol(protocol).learns:
        request.setdefault("shots", [2])
    return plan_jobs(load_protocol(protocol), methods.split(","), [str(photos)], **request)


def _learner(job: Job, backbone: Backbone) -> Learner:
    """With untrained prompts, which tell seeds and classes apart as well as others."""
    source = load_classification(job.dataset)
    names = draw(source, job.shots, job.seed or 0, job.subset, job.class_split).classnames
    return create_learner(job.method, backbone, names, seed=job.seed or 0, **job.config().learner)


def _evaluate(jobs: Sequence[Job], backbone: Backbone, **how: Any) -> Iterator[tuple[Job, ClassificationRecord]]:
    for job in jobs:
        for record in evaluate_tests(_learner(job, backbone), job, job.config(), Evaluation(**how)):
            yield job, record


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> Callable[[Backbone], list[int]]:
    """Counts the pictures that pass a tower."""

    def watch(backbone: Backbone) -> list[int]:
        counts, trunk = list[int](), backbone.vision.trunk

        def count(images: torch.Tensor, *prompts: Any) -> Any:
            counts.append(len(images))
            return trunk(images, *prompts)

        monkeypatch.setattr(backbone.vision, "trunk", count)
        return counts

    return watch


def _plainly(learner: Learner, photos: Path, classes: Sequence[str]) -> float:
    """Accuracy without any of the machinery: argmax over the learner's own logits, picture by picture."""
    assert learner.backbone.preprocess is not None
    learner.set_classes(classes)
    right = []
    for label, name in enumerate(classes):
        for path in sorted((photos / "test" / name).iterdir()):
            with torch.no_grad():
                logits = learner(learner.backbone.preprocess(open_image(path))[None])
            right.append(int(logits.argmax()) == label)
    return sum(right) / len(right)


@pytest.mark.parametrize("method", ["zero_shot", "coop", "cocoop", "dualcoop"])
def test_accuracy_is_that_of_a_plain_argmax(own: Backbone, photos: Path, method: str) -> None:
    (job,) = _jobs(own, photos, method)
    base, novel = [record for _, record in _evaluate([job], own)]
    learner = _learner(job, own)
    assert base["accuracy"] == _plainly(learner, photos, CLASSES[:3])
    assert novel["accuracy"] == _plainly(learner, photos, CLASSES[3:])


@pytest.mark.parametrize("method", ["vpt", "maple"])
def test_accuracy_of_prompts_in_the_image_tower_is_that_of_a_plain_argmax(
    vit: Backbone, photos: Path, method: str
) -> None:
    (job,) = _jobs(vit, photos, method, "learner.depth=2")
    base, novel = [record for _, record in _evaluate([job], vit, batch_size=4)]
    learner = _learner(job, vit)
    assert base["accuracy"] == _plainly(learner, photos, CLASSES[:3])
    assert novel["accuracy"] == _plainly(learner, photos, CLASSES[3:])
    assert not base["cached"]


@pytest.mark.parametrize("cached", [False, True])
def test_the_tower_sees_every_test_picture_once(
    own: Backbone, photos: Path, tmp_path: Path, cached: bool, seen: Callable[[Backbone], list[int]]
) -> None:
    counts = seen(own)
    cache = tmp_path / "cache" if cached else None
    jobs = _jobs(own, photos, "zero_shot,coop,cocoop,kgcoop", seeds=[1, 2], class_splits=[0, 1])
    jobs += _jobs(own, photos, "coop", protocol="few-shot", shots=[1, 2])
    records = [record for _, record in _evaluate(jobs, own, cache=cache)]
    assert len(records) == (1 + 3 * 2) * 2 * 2 + 2
    assert sum(counts) == len(CLASSES) * N_TEST
    assert {record["cached"] for record in records} == {cached}


def test_learners_that_read_places_can_share_the_pass_too(
    own: Backbone, photos: Path, tmp_path: Path, seen: Callable[[Backbone], list[int]]
) -> None:
    counts = seen(own)
    jobs = _jobs(own, photos, "zero_shot,coop,dualcoop")
    plain = [record["accuracy"] for _, record in _evaluate(jobs, own)]
    counts.clear()
    places = tuple(kind for job in jobs for kind in places_read_by(job.method))
    shared = [record["accuracy"] for _, record in _evaluate(jobs, own, cache=tmp_path / "cache", places=places)]
    assert shared == plain
    assert sum(counts) == len(CLASSES) * N_TEST


@pytest.mark.parametrize("method", [name for name in list_learners() if name not in tuned_learners()])
def test_which_places_are_read_is_known_before_there_is_a_learner(own: Backbone, vit: Backbone, method: str) -> None:
    shallow = {"vpt": {"depth": 2}, "maple": {"depth": 2}, "ivlp": {"depth_text": 2, "depth_visual": 2}}
    shallow["promptsrc"] = shallow["ivlp"]
    learner = create_learner(method, vit if method in shallow else own, CLASSES, **shallow.get(method, {}))
    assert places_read_by(method) == what_learners_read([learner], own_branch=True).places


def test_drawn_pictures_are_encoded_for_all_processes(
    tiny_folder: Path, tmp_path: Path, seen: Callable[[Backbone], list[int]]
) -> None:
    records = []
    for n_seen in (1200, 0):
        backbone = load_backbone(str(tiny_folder), device="cpu")
        counts = seen(backbone)
        job = plan_jobs(load_protocol("zero-shot"), ["zero_shot"], ["mini-objects"])[0]
        records += list(evaluate_tests(_learner(job, backbone), job, job.config(), Evaluation(cache=tmp_path)))
        assert sum(counts) == n_seen
    first, again = records
    assert first["accuracy"] == again["accuracy"]
    assert not again["cached"]  # nothing was rounded


def test_other_processes_read_what_one_encoded(
    own: Backbone, tiny_folder: Path, photos: Path, tmp_path: Path, seen: Callable[[Backbone], list[int]]
) -> None:
    jobs = _jobs(own, photos, "coop")
    first = [record for _, record in _evaluate(jobs, own, cache=tmp_path)]
    other = load_backbone(str(tiny_folder), device="cpu")
    counts = seen(other)
    again = [record for _, record in _evaluate(jobs, other, cache=tmp_path)]
    assert counts == []
    assert [record["accuracy"] for record in again] == [record["accuracy"] for record in first]


def test_prompts_in_the_image_tower_make_passes_of_their_own(
    vit: Backbone, photos: Path, tmp_path: Path, seen: Callable[[Backbone], list[int]]
) -> None:
    counts = seen(vit)
    jobs = _jobs(vit, photos, "vpt", "learner.depth=2")
    for _ in range(2):
        list(_evaluate(jobs, vit, cache=tmp_path, batch_size=4))
    assert counts == [4, 4, 1, 4, 2] * 2  # nine base pictures, six novel ones


@pytest.mark.parametrize("method", ["zero_shot", "dualcoop"])
def test_only_the_learners_own_branch_is_computed(
    own: Backbone, photos: Path, method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    (job,) = _jobs(own, photos, method)
    learner, projected = _learner(job, own), list[bool]()
    project = own.vision.project

    def count(*args: Any, **how: Any) -> Any:
        projected.append(True)
        return project(*args, **how)

    monkeypatch.setattr(own.vision, "project", count)
    monkeypatch.setattr(type(learner), "branch_logits_from", None)
    records = list(evaluate_tests(learner, job, job.config()))
    assert len(records) == 2
    assert bool(projected) == (method == "dualcoop")


@pytest.mark.parametrize("method", ["zero_shot", "coop"])
def test_cached_features_give_the_same_probabilities_to_rounding(
    own: Backbone, photos: Path, tmp_path: Path, method: str
) -> None:
    (job,) = _jobs(own, photos, method)
    for name in ("direct", "cached"):
        cache = tmp_path / "cache" if name == "cached" else None
        list(_evaluate([job], own, cache=cache, predictions=tmp_path / f"{name}.jsonl"))
    direct, cached = (read_records(tmp_path / f"{name}.jsonl") for name in ("direct", "cached"))
    assert [line["path"] for line in cached] == [line["path"] for line in direct]
    moved = [abs(a["probability"] - b["probability"]) for a, b in zip(direct, cached, strict=True)]
    assert 0 < max(moved) < 1e-4 * own.logit_scale


@pytest.mark.parametrize("protocol", ["base-to-novel", "few-shot", "zero-shot"])
def test_records_are_complete_and_go_through_json(own: Backbone, photos: Path, protocol: str) -> None:
    methods = "zero_shot,coop" if load_protocol(protocol).learns else "zero_shot"
    for job, record in _evaluate(_jobs(own, photos, methods, protocol=protocol), own):
        assert record.keys() == get_type_hints(ClassificationRecord).keys()
        assert json.loads(json.dumps(record)) == record
        assert (record["protocol"], record["method"], record["setting"]) == (protocol, job.method, "inductive")
        assert (record["dataset"], record["part"]) == ("photos", "test")
        assert (record["backbone"], record["fingerprint"]) == (own.name, own.fingerprint())
        assert len(record["per_class_accuracy"]) == len(record["classnames"])
        assert record["n_images"] == N_TEST * len(record["classnames"])
        assert record["peak_memory_bytes"] > 1e6
        assert "Resize" in record["transform"]


def test_the_documentation_has_a_line_for_every_field() -> None:
    text = (Path(__file__).parents[3] / "docs" / "protocols.md").read_text(encoding="utf-8")
    table = text.partition("## A record")[2].partition("With `--predictions`")[0]
    named = [name for line in table.splitlines() if line.startswith("| `") for name in line.split("|")[1].split(",")]
    fields = {*get_type_hints(TuningRecord), *get_type_hints(MultiLabelTestRecord)}
    assert sorted(name.strip(" `") for name in named) == sorted(fields)


def test_records_say_how_the_prompt_was_learnt(own: Backbone, photos: Path) -> None:
    (job,) = _jobs(own, photos, "coop", "train.select=val", class_splits=[3], seeds=[7])
    record = next(evaluate_tests(_learner(job, own), job, job.config(), train_seconds=12.5))
    assert (record["trained_on"], record["shots"], record["subset"]) == ("photos", 2, "base")
    assert (record["class_split"], record["seed"], record["train_seconds"]) == (3, 7, 12.5)
    assert record["draw_hash"] == draw(load_classification(str(photos)), 2, 7, "base", 3).hash
    assert record["selection"] == "val on photos:val"
    assert record["training"] is not None
    assert record["training"]["epochs"] == record["options"]["train.epochs"] == 200
    assert record["options"]["learner.ctx_init"] == "a photo of a"
    assert "train.seed" not in record["options"]


def test_records_say_that_nothing_was_learnt(own: Backbone, photos: Path) -> None:
    for _, record in _evaluate(_jobs(own, photos, "zero_shot"), own):
        nothing = [record[key] for key in ("trained_on", "draw_hash", "training", "train_seconds", "seed", "shots")]
        assert nothing == [None] * 6
        assert record["selection"] == "none"
        assert all(key.startswith("learner.") for key in record["options"])


@pytest.mark.parametrize(
    ("parts", "settings", "selection"),
    [
        ({"train": 3, "test": 1}, ["train.select=val_loss"], "val_loss on 10% held out of the training pictures"),
        ({"train": 3, "val": 1, "test": 1}, ["train.select=val_loss"], "val_loss on photos:val"),
        ({"train": 3, "val": 1, "test": 1}, ["train.select=val", "data.validation=more"], "val on more"),
        ({"train": 3, "val": 1, "test": 1}, [], "last"),
    ],
    ids=["no val", "val", "named", "last"],
)
def test_records_name_the_rule_of_selection(
    own: Backbone, tmp_path: Path, parts: dict[str, int], settings: list[str], selection: str
) -> None:
    (job,) = _jobs(own, _paint(tmp_path / "photos", parts), "coop", *settings)
    assert next(evaluate_tests(_learner(job, own), job, job.config()))["selection"] == selection


@pytest.mark.parametrize("class_split", [0, 1, 2])
def test_base_and_novel_part_the_classes_and_the_pictures(
    own: Backbone, photos: Path, tmp_path: Path, class_split: int
) -> None:
    (job,) = _jobs(own, photos, "zero_shot", class_splits=[class_split])
    (whole,) = _jobs(own, photos, "zero_shot", protocol="zero-shot")
    base, novel = [record for _, record in _evaluate([job], own, predictions=tmp_path / "halves.jsonl")]
    ((_, both),) = _evaluate([whole], own, predictions=tmp_path / "whole.jsonl")
    assert (len(base["classnames"]), len(novel["classnames"])) == (3, 2)
    assert sorted(base["classnames"] + novel["classnames"]) == both["classnames"] == list(CLASSES)
    assert base["n_images"] + novel["n_images"] == both["n_images"]
    halves, all_ = (read_records(tmp_path / f"{name}.jsonl") for name in ("halves", "whole"))
    assert sorted(line["path"] for line in halves) == sorted(line["path"] for line in all_)
    assert len({base["class_hash"], novel["class_hash"], both["class_hash"]}) == 3
    assert len({base["split_hash"], novel["split_hash"], both["split_hash"]}) == 3


def test_predictions_can_be_opened_again_and_give_the_accuracy(own: Backbone, photos: Path, tmp_path: Path) -> None:
    path = tmp_path / "predictions.jsonl"
    records = [record for _, record in _evaluate(_jobs(own, photos, "coop"), own, predictions=path)]
    lines = read_records(path)
    assert len(lines) == len(CLASSES) * N_TEST
    for record in records:
        mine = [line for line in lines if line["tested_subset"] == record["tested_subset"]]
        assert sum(line["predicted"] == line["classname"] for line in mine) / len(mine) == record["accuracy"]
        assert {line["predicted"] for line in mine} <= set(record["classnames"])
        assert all(1 / len(record["classnames"]) <= line["probability"] <= 1 for line in mine)
    for line in lines:
        assert (line["dataset"], line["part"]) == ("photos", "test")
        picture = Path(line["folder"]) / line["path"]
        assert open_image(picture).size == (90, 80)
        assert picture.parent.name == line["classname"]


def test_predictions_of_a_job_that_was_cut_off_are_not_written(own: Backbone, photos: Path, tmp_path: Path) -> None:
    (job,) = _jobs(own, photos, "coop")
    how = Evaluation(predictions=tmp_path / "predictions.jsonl")
    assert len(list(islice(evaluate_tests(_learner(job, own), job, job.config(), how), 1))) == 1
    assert not (tmp_path / "predictions.jsonl").exists()


@pytest.mark.parametrize("cached", [False, True])
@pytest.mark.parametrize("method", ["coop", "vpt"])
def test_unreadable_pictures_are_named_left_out_and_counted(
    own: Backbone, vit: Backbone, photos: Path, tmp_path: Path, method: str, cached: bool
) -> None:
    backbone = vit if method == "vpt" else own
    (job,) = _jobs(backbone, photos, method, *(["learner.depth=2"] if method == "vpt" else []))
    whole = [record for _, record in _evaluate([job], backbone)]
    for name in ("cat/1.png", "tree/0.png", "tree/2.png"):
        (photos / "test" / name).write_bytes(b"\x89PNG")
    told, cache = list[str](), tmp_path / "cache" if cached else None
    base, novel = [record for _, record in _evaluate([job], backbone, cache=cache, say=told.append)]
    assert [(one["n_images"], one["n_skipped"]) for one in (base, novel)] == [(8, 1), (4, 2)]
    assert ["cat/1.png" in told[0], "tree/0.png" in told[1], "tree/2.png" in told[2]] == [True] * 3
    assert len(told) == 3
    assert base["split_hash"] != whole[0]["split_hash"]


def test_a_class_whose_pictures_cannot_be_read_has_no_accuracy(own: Backbone, photos: Path) -> None:
    for number in range(N_TEST):
        (photos / "test" / "kite" / f"{number}.png").write_bytes(b"")
    _, novel = [record for _, record in _evaluate(_jobs(own, photos, "zero_shot"), own)]
    assert novel["classnames"] == ["kite", "tree"]
    assert novel["per_class_accuracy"] == [None, novel["accuracy"]]


def test_half_a_download_is_an_error_and_no_number(own: Backbone, photos: Path, tmp_path: Path) -> None:
    files = sorted(path for path in (photos / "test").rglob("*.png"))
    lines = [f"photos/{path.relative_to(photos)},{path.parent.name},test" for path in files]
    (tmp_path / "labels.csv").write_text("\n".join(["path,label,split", *lines]) + "\n")
    files[-1].unlink()
    (job,) = _jobs(own, tmp_path / "labels.csv", "zero_shot")
    tests = evaluate_tests(_learner(job, own), job, job.config())
    assert next(tests)["tested_subset"] == "base"  # all of whose pictures are there
    with pytest.raises(UserError, match=r"2\.png"):
        next(tests)


def test_nothing_readable_is_an_error_that_names_a_picture(own: Backbone, photos: Path) -> None:
    for path in (photos / "test").rglob("*.png"):
        path.write_bytes(b"")
    with pytest.raises(UserError, match=r"photos:test, base classes: none of its 9 images can be read; .*png"):
        list(_evaluate(_jobs(own, photos, "zero_shot"), own))


def test_a_part_that_is_not_there_is_named(own: Backbone, tmp_path: Path) -> None:
    photos = _paint(tmp_path / "photos", {"train": 2, "test": 2})
    (job,) = _jobs(own, photos, "zero_shot", part="val")
    with pytest.raises(UserError, match=r"photos has no part 'val'; it has train, test"):
        list(_evaluate([job], own))


def test_settings_can_be_chosen_on_validation_pictures(own: Backbone, photos: Path) -> None:
    records = [record for _, record in _evaluate(_jobs(own, photos, "coop", part="val"), own)]
    assert [(record["part"], record["n_images"]) for record in records] == [("val", 6), ("val", 4)]


def test_contexts_of_single_classes_are_tested_on_their_own(own: Backbone, photos: Path) -> None:
    (job,) = _jobs(own, photos, "coop", "learner.class_specific=true", "learner.ctx_init=none", protocol="few-shot")
    learner = _learner(job, own)
    ((_, record),) = _evaluate([job], own)
    assert record["accuracy"] == _plainly(learner, photos, CLASSES)
    (refused,) = _jobs(own, photos, "coop", "learner.class_specific=true", "learner.ctx_init=none")
    with pytest.raises(UserError, match="class-specific contexts"):
        list(_evaluate([refused], own))


def test_a_learner_is_as_it_was(own: Backbone, photos: Path) -> None:
    (job,) = _jobs(own, photos, "coop")
    learner = _learner(job, own)
    before = {key: value.clone() for key, value in learner.state_dict().items()}
    list(evaluate_tests(learner, job, job.config()))
    assert learner.classnames == CLASSES[:3]
    assert all(torch.equal(value, before[key]) for key, value in learner.state_dict().items())


def test_one_prompt_is_tested_on_several_sets(own: Backbone, photos: Path, tmp_path: Path) -> None:
    other = _paint(tmp_path / "others", {"test": 1})
    (job,) = _jobs(own, photos, "coop", protocol="few-shot")
    tests = (Test(str(photos)), Test(str(other)), Test(str(photos), "novel"))
    job = Job(**{**vars(job), "protocol": "cross-dataset", "tests": tests})
    records = [record for _, record in _evaluate([job], own)]
    assert [(one["dataset"], one["tested_subset"], one["n_images"]) for one in records] == [
        ("photos", "all", 15),
        ("others", "all", 5),
        ("photos", "novel", 6),
    ]
    assert {record["trained_on"] for record in records} == {"photos"}
