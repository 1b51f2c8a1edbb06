from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from clipprompt.backbone import Backbone
from clipprompt.datasets import MultiLabelImages, load_coco, open_image
from clipprompt.errors import UserError
from clipprompt.evaluation.metrics import average_precision
from clipprompt.evaluation.multilabel import Row, evaluate_multilabel, measure_rows, score_rows
from clipprompt.evaluation.records import read_records, write_records
from clipprompt.evaluation.rows import load_rows, zero_shot_rows
from clipprompt.evaluation.saved import evaluate_files
from clipprompt.evaluation.scores import write_scores
from clipprompt.evaluation.scoring import BRANCHES, score_images
from clipprompt.learners import create_learner
from tests.evaluation.conftest import CLASSES


def make_rows(backbone: Backbone) -> list[Row]:
    tai = create_learner("tai_dpt", backbone, CLASSES, n_ctx=4, seed=3)
    return [
        *zero_shot_rows(backbone, CLASSES),
        Row(tai, seed=3, source="runs/x"),
        Row(tai, variant="untrained", control=True),
    ]


def test_rows_stand_in_order_under_the_papers_names(backbone: Backbone, pictures: MultiLabelImages) -> None:
    records = list(evaluate_multilabel(make_rows(backbone), pictures))
    assert [record["row"] for record in records] == [
        "zero-shot CLIP",
        "zero-shot CLIP + local",
        "zero-shot CLIP, centred text",
        "zero-shot CLIP + local, centred text",
        "TaI",
        "TaI-DPT",
        "TaI, untrained",
        "TaI-DPT, untrained",
    ]
    assert [record["control"] for record in records] == [False, False, True, True, False, False, True, True]
    assert [record["seed"] for record in records[4:6]] == [3, 3]


@pytest.mark.parametrize(
    ("method", "answer"), [("dualcoop", "local"), ("caption_dual", "local"), ("tai_dpt", "merged")]
)
def test_what_a_learner_answers_with_is_in_the_table(
    backbone: Backbone, pictures: MultiLabelImages, method: str, answer: str
) -> None:
    row = Row(create_learner(method, backbone, CLASSES, n_ctx=2))
    assert [record["branch"] for record in evaluate_multilabel([row], pictures)] == ["global", answer]


def test_numbers_are_those_of_the_scores(backbone: Backbone, pictures: MultiLabelImages) -> None:
    rows = make_rows(backbone)
    records = list(evaluate_multilabel(rows, pictures, branches=["local", "merged"]))
    scores = score_images({"tai": rows[2].learner}, pictures).by_key["tai"]
    for record, branch in zip(records[4:6], ["local", "merged"], strict=True):
        expected = average_precision(scores[branch], pictures.targets)
        assert record["branch"] == branch
        assert record["mean_average_precision"] == expected.mean
        assert record["average_precision"] == list(expected.per_class)


def test_record_says_what_was_measured(backbone: Backbone, pictures: MultiLabelImages) -> None:
    record = next(evaluate_multilabel(make_rows(backbone), pictures))
    facts = ("labels", 7, pictures.split_hash(), pictures.class_hash(), list(CLASSES))
    keys = ("dataset", "n_images", "split_hash", "class_hash", "classnames")
    assert tuple(record[key] for key in keys) == facts  # type: ignore[literal-required]
    assert record["fingerprint"] == backbone.fingerprint()
    assert (record["backbone"], record["pretrained"], record["precision"]) == (backbone.name, None, "fp32")
    assert {"python", "torch", "open-clip-torch", "clipprompt"} <= set(record["versions"])
    assert record["seconds"] > 0


def test_class_without_positive_is_null_and_the_record_is_json(
    backbone: Backbone, pictures: MultiLabelImages, tmp_path: Path
) -> None:
    targets = pictures.targets.copy()
    targets[:, 1] = 0
    empty = MultiLabelImages("some", pictures.items, CLASSES, targets, pictures.ids)
    records = list(evaluate_multilabel(make_rows(backbone), empty))
    assert records[0]["average_precision"][1] is None
    write_records(tmp_path / "results.jsonl", records)
    assert read_records(tmp_path / "results.jsonl") == [json.loads(json.dumps(record)) for record in records]


def test_set_without_any_positive_is_refused(backbone: Backbone, pictures: MultiLabelImages) -> None:
    none = MultiLabelImages("none", pictures.items, CLASSES, np.zeros_like(pictures.targets), pictures.ids)
    with pytest.raises(UserError, match="no class has a positive"):
        list(evaluate_multilabel(make_rows(backbone), none))


def test_unreadable_image_is_left_out_named_and_counted(
    backbone: Backbone, pictures: MultiLabelImages, tmp_path: Path
) -> None:
    (tmp_path / "broken.png").write_bytes(b"\x89PNG\r\n")
    broken = replace(pictures, items=[*pictures.items[:6], tmp_path / "broken.png"])
    scored = score_rows(make_rows(backbone), broken)
    assert [image for image, _ in scored.skipped] == [pictures.ids[6]]
    assert "broken.png" in scored.skipped[0][1]
    record = next(measure_rows(scored))
    assert (record["n_images"], record["n_skipped"]) == (6, 1)
    rest = next(evaluate_multilabel(make_rows(backbone), pictures.subset(range(6))))
    assert record["average_precision"] == pytest.approx(rest["average_precision"])
    assert record["split_hash"] == rest["split_hash"]


def test_what_was_chosen_while_reading_is_recorded(backbone: Backbone, pictures: MultiLabelImages) -> None:
    chosen = replace(pictures, options={"difficult": "negative"})
    assert next(evaluate_multilabel(make_rows(backbone), chosen))["dataset_options"] == {"difficult": "negative"}


def test_saved_scores_give_the_same_numbers(backbone: Backbone, pictures: MultiLabelImages, tmp_path: Path) -> None:
    scored = score_rows(make_rows(backbone)[2:3], pictures)
    write_scores(tmp_path / "a.npz", scored.scores[0])
    for record in measure_rows(scored, BRANCHES, how="both"):
        (again,) = evaluate_files([tmp_path / "a.npz"], branch=record["branch"], how="both")
        shared = set(record) & set(again) - {"row", "versions"}
        assert {"mean_average_precision", "at_top3", "split_hash", "classnames", "fingerprint"} <= shared
        assert {key: again[key] for key in shared} == {key: record[key] for key in shared}  # type: ignore[literal-required]


def test_branch_that_no_row_has_is_refused(backbone: Backbone, pictures: MultiLabelImages) -> None:
    scored = score_rows(make_rows(backbone)[:1], pictures)
    plain = replace(scored.scores[0], by_branch={"global": scored.scores[0].by_branch["global"]})
    with pytest.raises(UserError, match="no row has a branch local"):
        list(measure_rows(replace(scored, scores=(plain,)), ["local"]))


def test_unknown_branch_is_refused_with_the_nearest(backbone: Backbone, pictures: MultiLabelImages) -> None:
    with pytest.raises(UserError, match=r"'globl' \(did you mean 'global'\?\)"):
        list(evaluate_multilabel(make_rows(backbone), pictures, branches=["globl"]))


def test_single_class_has_no_centred_row(backbone: Backbone) -> None:
    assert [row.variant for row in zero_shot_rows(backbone, ["cat"])] == [""]


def save(backbone: Backbone, folder: Path, seed: int) -> Path:
    create_learner("tai_dpt", backbone, ["dog", "cat"], n_ctx=2, seed=seed).save(folder)
    return folder


def test_saved_prompts_take_the_classes_of_the_images(backbone: Backbone, tmp_path: Path) -> None:
    (row,) = load_rows([str(save(backbone, tmp_path / "a", 1))], backbone, CLASSES)
    assert row.learner.classnames == CLASSES
    assert (row.variant, row.seed, row.source) == ("", None, str(tmp_path / "a"))


def test_several_prompts_of_one_method_are_told_apart(backbone: Backbone, tmp_path: Path) -> None:
    a, b, c = (save(backbone, tmp_path / name, seed) for seed, name in enumerate("abc"))
    rows = load_rows([f"mine={a}", str(b), str(c), f"mine={b}"], backbone, CLASSES)
    assert [row.variant for row in rows] == ["mine", "b", "c", "mine"]


def test_folder_with_an_equals_sign_is_found(backbone: Backbone, tmp_path: Path) -> None:
    folder = save(backbone, tmp_path / "lr=0.1", 1)
    (row,) = load_rows([str(folder)], backbone, CLASSES)
    assert row.source == str(folder)


@pytest.mark.parametrize("text", ["{}/nowhere", "mine={}/nowhere", "mine="])
def test_missing_prompt_folder_is_named(backbone: Backbone, tmp_path: Path, text: str) -> None:
    with pytest.raises(UserError, match=r"--prompts .*there is no folder"):
        load_rows([text.format(tmp_path)], backbone, CLASSES)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"a": 1}\n{"a"', "line 2: broken JSON"),
        ("[1]\n", "line 1: not a record"),
        (b"\xff", "cannot read"),
        ("[" * 100_000, "line 1: maximum recursion"),
    ],
)
def test_broken_results_are_named_with_their_line(tmp_path: Path, content: str | bytes, message: str) -> None:
    path = tmp_path / "results.jsonl"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    with pytest.raises(UserError, match=message):
        read_records(path)


def test_record_that_is_not_finite_is_never_written(tmp_path: Path) -> None:
    path = tmp_path / "results.jsonl"
    path.write_text("old\n")
    with pytest.raises(ValueError, match="JSON compliant"):
        write_records(path, [{"mean_average_precision": float("nan")}])
    assert path.read_text() == "old\n"


@pytest.mark.usefixtures("photos")
def test_real_photos_are_scored_end_to_end(backbone: Backbone, shared: Path) -> None:
    photos = load_coco(shared / "data" / "coco_mini" / "annotations" / "instances_train2017.json")
    records = list(evaluate_multilabel(zero_shot_rows(backbone, photos.classnames), photos, batch_size=16))
    assert {record["n_images"] for record in records} == {80}
    assert all(len(record["average_precision"]) == 80 for record in records)
    chance = (photos.targets == 1).mean(axis=0).mean()
    assert all(0.3 * chance < record["mean_average_precision"] < 0.5 for record in records)


@pytest.mark.parametrize("what", ["image files", "drawn scenes", "a learnt image side"])
def test_only_what_went_through_the_cache_is_recorded_as_cached(
    backbone: Backbone, pictures: MultiLabelImages, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    rows = make_rows(backbone)
    if what == "drawn scenes":
        pictures = replace(pictures, open_item=lambda path: open_image(path))
    if what == "a learnt image side":
        monkeypatch.setattr(rows[-1].learner, "image_side_is_frozen", False, raising=False)
    scored = score_rows(rows, pictures, cache=tmp_path / "cache", draft=True)
    assert scored.facts["cached"] == (tmp_path / "cache").exists() == (what == "image files")
    assert scored.facts["draft"] == (what != "drawn scenes")
