"""What protocols with several classes a picture come down to."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import pytest

from clipprompt.datasets.specifications import SPECIFICATIONS
from clipprompt.errors import UserError
from clipprompt.evaluation.protocols._tuning import tuned_learners
from clipprompt.evaluation.protocols.planning import Job, Test, load_protocol, plan_jobs
from clipprompt.learners import list_learners

SEVERAL = ["few-shot-multilabel", "multilabel-zero-shot", "partial-label"]
SHARES = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9]


def _plan(protocol: str, methods: str = "", datasets: str = "mini", **more: Any) -> list[Job]:
    return plan_jobs(load_protocol(protocol), [one for one in methods.split(",") if one], datasets.split(","), **more)


def _names(*plan: Any, **more: Any) -> list[str]:
    return [job.name for job in _plan(*plan, **more)]


def _write_table(path: Path, *splits: str) -> Path:
    rows = [f"{n}.png,{'cat|dog' if n % 2 else 'dog'}" for n in range(6)]
    rows = [f"{row},{splits[n % len(splits)]}" if splits else row for n, row in enumerate(rows)]
    path.write_text("\n".join([f"path,labels{',split' if splits else ''}", *rows]) + "\n")
    return path


@pytest.mark.parametrize("name", SEVERAL)
def test_without_a_request_everything_is_there_for_drawn_pictures(name: str) -> None:
    jobs = _plan(name)
    assert jobs
    assert {job.multilabel for job in jobs} == {True}
    assert len({job.name for job in jobs}) == len(jobs)
    for job in {job.spelling: job for job in jobs if not job.members}.values():
        config = job.config()
        assert (config.backbone.name, config.data.augment if job.learns_from_pictures else None) == ("mini", None)


@pytest.mark.parametrize("name", SEVERAL)
def test_every_learner_has_a_configuration_of_each_source(name: str) -> None:
    sources = ["tai_dpt:images", "tai_dpt:both", "caption_dual:captions", "caption_dual:both"]
    for datasets, corpus in (("mini", None), ("all", "c.parquet")):
        jobs = _plan(name, ",".join(["all", *sources]), datasets, corpus=corpus, seeds=[1], known=[0.5], shots=[1])
        assert {job.spelling for job in jobs} == {*list_learners(), *sources} - tuned_learners()
        for job in {(job.method, job.settings): job for job in jobs}.values():
            data = job.config("/data").data
            assert (data.corpus is not None) == (job.learns and job.learns_from != "images")
            assert (data.dataset is not None) == job.learns_from_pictures


def test_shares_are_learnt_and_all_labels_of_the_test_split_tested() -> None:
    jobs = _plan("partial-label", "dualcoop", "voc2007", seeds=[1])
    assert [job.known for job in jobs] == SHARES
    assert [job.name for job in jobs][:2] == [
        "dualcoop/voc2007/all-known0.1-seed1",
        "dualcoop/voc2007/all-known0.2-seed1",
    ]
    assert {job.tests for job in jobs} == {(Test("voc2007"),)}
    data, train = jobs[0].config("/data").data, jobs[0].config("/data").train
    found = (data.dataset, data.root, data.known, data.shots, data.parts, train.seed, train.select)
    assert found == ("voc2007:trainval", "/data", 0.1, None, False, 1, "val_map")


def test_single_positives_have_nothing_to_select_by() -> None:
    (job,) = _plan("partial-label", "dualcoop", "coco2014", seeds=[2], known=["single-positive"])
    assert job.name == "dualcoop/coco2014/all-single-positive-seed2"
    config = job.config("/data")
    assert (config.data.dataset, config.data.known, config.train.select) == (
        "coco2014:train",
        "single-positive",
        "last",
    )


def test_a_share_of_all_labels_is_no_share() -> None:
    assert _names("partial-label", "dualcoop", known=[1, 1.0, None], seeds=[1]) == ["dualcoop/mini/all-seed1"]


def test_captions_are_learnt_from_once_a_seed_whatever_is_known_or_drawn() -> None:
    assert _names("partial-label", "tai_dpt", seeds=[1, 2]) == ["tai_dpt/mini/all-seed1", "tai_dpt/mini/all-seed2"]
    assert _names("few-shot-multilabel", "tai_dpt,zero_shot", seeds=[1]) == [
        "tai_dpt/mini/all-seed1",
        "zero_shot/mini/all",
    ]


def test_methods_with_a_source_have_folders_and_settings_of_their_own() -> None:
    settings = ["train.epochs=3", "tai_dpt:images:train.epochs=4", "tai_dpt:train.epochs=5"]
    jobs = _plan("few-shot-multilabel", "tai_dpt,tai_dpt:images,tai_dpt:both", seeds=[1], shots=[2], settings=settings)
    assert [job.name for job in jobs] == [
        "tai_dpt/mini/all-seed1",
        "tai_dpt-images/mini/all-2shots-seed1",
        "tai_dpt-both/mini/all-2shots-seed1",
    ]
    assert [job.config().train.epochs for job in jobs] == [5, 4, 3]
    assert [(job.config().data.dataset, job.config().data.corpus) for job in jobs] == [
        (None, "mini"),
        ("mini:train", None),
        ("mini:train", "mini"),
    ]


def test_an_ensemble_comes_last_and_names_its_members() -> None:
    jobs = _plan("partial-label", "tai_dpt+dualcoop", seeds=[1, 2], known=[0.1])
    assert [job.name for job in jobs] == [
        "dualcoop/mini/all-known0.1-seed1",
        "dualcoop/mini/all-known0.1-seed2",
        "tai_dpt/mini/all-seed1",
        "tai_dpt/mini/all-seed2",
        "dualcoop+tai_dpt/mini/all-known0.1-seed1",
        "dualcoop+tai_dpt/mini/all-known0.1-seed2",
    ]
    ensemble = jobs[-1]
    assert ensemble.members == (jobs[1].name, jobs[3].name)
    assert (ensemble.learns, ensemble.learns_from, ensemble.settings) == (False, "both", ())
    with pytest.raises(ValueError, match="members have configurations"):
        ensemble.config()


@pytest.mark.parametrize("name", SEVERAL)
@pytest.mark.parametrize("ensemble", ["dualcoop+tai_dpt:both", "tai_dpt+zero_shot", "coop+tai_dpt+zero_shot"])
def test_members_of_every_ensemble_are_run_and_tested_on_the_same(name: str, ensemble: str) -> None:
    jobs = {job.name: job for job in _plan(name, f"{ensemble},zero_shot", "voc2007,coco2014", corpus="c.parquet")}
    ensembles = [job for job in jobs.values() if job.members]
    assert ensembles
    for job in ensembles:
        assert {jobs[member].tests for member in job.members} == {job.tests}
        assert job.seed is not None


def test_seen_classes_are_learnt_and_unseen_and_all_are_tested() -> None:
    jobs = _plan("multilabel-zero-shot", "zero_shot,dualcoop", "coco2014", seeds=[1])
    assert [job.name for job in jobs] == ["zero_shot/coco2014/all", "dualcoop/coco2014/base-seed1"]
    assert {job.tests for job in jobs} == {(Test("coco2014", "novel"), Test("coco2014", "all"))}
    assert jobs[1].config("/data").data.subset == "base"


def test_contexts_of_single_classes_are_not_learnt_where_others_are_tested() -> None:
    methods = "all,tai_dpt:images,tai_dpt:both,caption_dual:captions,caption_dual:both"
    for datasets in ("mini", "coco2014"):
        for job in _plan("multilabel-zero-shot", methods, datasets, corpus="c.parquet", seeds=[1]):
            assert not job.config().learner.get("class_specific", False), job.name


def test_class_splits_draw_other_halves() -> None:
    jobs = _plan("multilabel-zero-shot", "dualcoop", seeds=[1], class_splits=[0, 3], known=[0.5])
    assert [job.name for job in jobs] == [
        "dualcoop/mini/base-known0.5-seed1",
        "dualcoop/mini/base-known0.5-split3-seed1",
    ]
    assert jobs[1].config().data.class_split == 3


TRAIN = ("backbone.name", "backbone.image_size", "learner.n_ctx", "train.batch_size", "train.epochs", "train.lr")
PUBLISHED: list[tuple[str, str, str, list[Any]]] = [
    ("dualcoop", "partial-label", "coco2014", ["RN101", 448, 16, 32, 50, 0.002]),
    ("dualcoop", "partial-label", "voc2007", ["RN101", 448, 16, 32, 50, 0.001]),
    ("caption_dual", "partial-label", "voc2007", ["RN101", 448, 16, 64, 50, 0.002]),
    ("caption_dual", "partial-label", "nuswide", ["RN101", 448, 16, 192, 50, 0.002]),
    ("caption_dual", "few-shot-multilabel", "nuswide", ["RN101", 448, 16, 192, 50, 0.002]),
    ("tai_dpt", "partial-label", "voc2007", ["RN101", 448, 16, 512, 20, 0.0001]),
    ("tai_dpt", "partial-label", "nuswide", ["RN101", 448, 16, 512, 20, 0.001]),
    ("dualcoop", "multilabel-zero-shot", "coco2014", ["RN50", None, 64, 32, 50, 0.002]),
]


def _options(job: Job) -> list[Any]:
    config = job.config().model_dump()
    return [config[key.partition(".")[0]][key.partition(".")[2]] for key in TRAIN]


@pytest.mark.parametrize(("method", "protocol", "dataset", "expected"), PUBLISHED)
def test_settings_are_the_published_ones(method: str, protocol: str, dataset: str, expected: list[Any]) -> None:
    job = _plan(protocol, method, dataset, seeds=[1], corpus="c.parquet" if method == "tai_dpt" else None)[0]
    assert _options(job) == expected
    assert job.config().backbone.pretrained == "openai"


def test_published_settings_are_those_of_the_papers_table(shared: Path) -> None:
    with (shared / "published" / "settings.csv").open() as file:
        rows = {row["method"]: row for row in csv.DictReader(file) if row["protocol"] == "partial labels"}
    row = rows["caption_dual"]
    for dataset, batch in (("voc2007", "64"), ("coco2014", "64"), ("nuswide", "192")):
        job = _plan("partial-label", "caption_dual", dataset, seeds=[1])[0]
        assert _options(job) == [
            row["backbone"],
            448,
            int(row["n_ctx"]),
            int(batch),
            int(row["epochs"]),
            float(row["lr"]),
        ]
        assert job.config().learner["class_specific"]
        assert batch in row["batch"]


def test_a_backbone_of_the_users_takes_the_place_of_the_protocols_with_its_size() -> None:
    (job,) = _plan("partial-label", "zero_shot", "voc2007", settings=["backbone.name=mini"])
    backbone = job.config().backbone
    assert (backbone.name, backbone.pretrained, backbone.image_size) == ("mini", None, None)


@pytest.mark.parametrize(
    ("part", "dataset", "expected"),
    [("test", "voc2007", "voc2007:trainval"), ("val", "voc2007", "voc2007:train"), ("val", "mini", "mini:train")],
)
def test_settings_are_chosen_on_the_part_val_without_learning_from_it(part: str, dataset: str, expected: str) -> None:
    (job,) = _plan("few-shot-multilabel", "dualcoop", dataset, part=part, shots=[1], seeds=[1])
    assert job.config().data.dataset == expected
    assert job.tests == (Test(dataset, "all", part),)


def test_own_tables_are_learnt_from_by_their_training_part(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _write_table(tmp_path / "birds.csv", "train", "test")
    monkeypatch.chdir(tmp_path)
    (job,) = _plan("partial-label", "dualcoop", "birds.csv", known=[0.5], seeds=[1])
    assert job.name == "dualcoop/birds/all-known0.5-seed1"
    assert job.dataset == str(tmp_path / "birds.csv")
    assert job.config("/data").data.model_dump(include={"dataset", "root"}) == {
        "dataset": f"{tmp_path}/birds.csv:train",
        "root": None,
    }


def test_a_source_is_learnt_from_whole(tmp_path: Path) -> None:
    files = [tmp_path / name for name in ("learn.json", "test.json")]
    jobs = _plan(
        "partial-label", "zero_shot,dualcoop,dualcoop+tai_dpt", str(files[1]), source=str(files[0]), known=[0.5],
        seeds=[1], corpus="c.parquet",
    )  # fmt: skip
    assert [job.name for job in jobs] == [
        "zero_shot/test/all",
        "dualcoop/learn/all-known0.5-seed1",
        "tai_dpt/test/all-seed1",
        "dualcoop+tai_dpt/learn/all-known0.5-seed1",
    ]
    assert jobs[1].config().data.dataset == str(files[0])
    assert {job.tests for job in jobs} == {(Test(str(files[1])),)}


def test_own_data_without_parts_may_be_tested_by_what_learns_from_no_picture(tmp_path: Path) -> None:
    table = _write_table(tmp_path / "birds.csv")
    assert _names("partial-label", "zero_shot", str(table)) == ["zero_shot/birds/all"]


def test_captions_are_named_by_their_whole_path(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    for corpus, expected in (("c.parquet", f"{tmp_path}/c.parquet"), ("mini", "mini")):
        (job,) = _plan("partial-label", "tai_dpt", "voc2007", corpus=corpus, seeds=[1])
        assert job.config("/data").data.corpus == expected


BAD_REQUESTS: dict[str, tuple[str, dict[str, Any], str]] = {
    "labels of one class": ("base-to-novel", {"known": [0.1]}, r"--known has no use in base-to-novel.*is known"),
    "ensemble of one class": (
        "few-shot",
        {"methods": ["coop+vpt"]},
        r"coop\+vpt is an ensemble, .* and few-shot has one",
    ),
    "captions of one class": ("few-shot", {"corpus": "mini"}, r"--captions mini has no use in few-shot without"),
    "source of captions of one class": ("domain", {"methods": ["tai_dpt:both"]}, r"tai_dpt:both learns from captions"),
    "pictures of one class": ("partial-label", {"datasets": ["caltech101"]}, r"caltech101 has one class to a picture"),
    "drawn pictures of one class": ("partial-label", {"datasets": ["mini-objects"]}, r"mini-objects has one class"),
    "no captions": (
        "partial-label",
        {"methods": ["tai_dpt"]},
        r"tai_dpt learns from captions, and voc2007.*--captions",
    ),
    "no captions for a member": ("partial-label", {"methods": ["dualcoop+tai_dpt"]}, r"tai_dpt learns.*leave the met"),
    "captions for nobody": (
        "partial-label",
        {"corpus": "mini"},
        r"--captions mini has no use in partial-label without",
    ),
    "ensemble of one": ("partial-label", {"methods": ["dualcoop+"]}, r"'dualcoop\+' lacks a member"),
    "a member twice": ("partial-label", {"methods": ["dualcoop+dualcoop:images"]}, r"has dualcoop twice"),
    "unknown source": ("partial-label", {"methods": ["tai_dpt:pictures"]}, r"not from 'pictures'"),
    "share of 0": ("partial-label", {"known": [0.0]}, r"known labels 0 are no share; give a number above 0"),
    "share above 1": ("partial-label", {"known": [10.0]}, r"known labels 10 are no share"),
    "share that is none": ("partial-label", {"known": [float("nan")]}, r"known labels nan are no share"),
    "misspelt positives": ("partial-label", {"known": ["single"]}, r"'single' are neither a share, such as 0.1, nor"),
    "no share": ("partial-label", {"known": []}, r"no known labels are given"),
    "setting of an ensemble": (
        "partial-label",
        {"methods": ["dualcoop+zero_shot"], "settings": ["dualcoop+zero_shot:train.lr=1"]},
        r"is for an ensemble, which has none; give it to one of its members",
    ),
    "setting of another source": (
        "partial-label",
        {"settings": ["dualcoop:captions:train.lr=1"]},
        r"for method 'dualcoop:captions' \(did you mean 'dualcoop'\?\), which is not run",
    ),
    "members of several backbones": (
        "partial-label",
        {"methods": ["dualcoop+zero_shot"], "settings": ["dualcoop:backbone.name=RN50"]},
        r"dualcoop\+zero_shot: its members have backbones of their own \(RN50 and RN101\); give them one",
    ),
    "split": ("partial-label", {"datasets": ["voc2007:test"]}, r"voc2007:test: leave out :test; a protocol says"),
    "unknown set": ("partial-label", {"datasets": ["voc207"]}, r"'voc207' \(did you mean 'voc2007'\?\); give voc2007"),
    "no set": ("partial-label", {"datasets": []}, r"no dataset is given"),
    "folder": ("partial-label", {"datasets": ["/"]}, r"/ is a folder; pictures with several classes come in a table"),
    "no part val": ("partial-label", {"datasets": ["coco2014"], "part": "val"}, r"coco2014 has no part val .*its val"),
    "part val of a file": ("partial-label", {"datasets": ["a.json"], "part": "val"}, r"a COCO file has no splits"),
    "file without parts": ("partial-label", {"datasets": ["a.json"]}, r"a.json is a COCO file, .*--source DATA"),
    "source of many": ("partial-label", {"datasets": ["all"], "source": "mini"}, r"--source mini goes with one of"),
    "class splits": ("partial-label", {"class_splits": [1]}, r"--class-splits has no use in partial-label"),
}


@pytest.mark.parametrize(("protocol", "request_", "message"), BAD_REQUESTS.values(), ids=BAD_REQUESTS)
def test_a_wrong_request_is_one_line_that_names_it(protocol: str, request_: dict[str, Any], message: str) -> None:
    several = load_protocol(protocol).multilabel
    asked = {"methods": ["dualcoop"], "datasets": ["voc2007" if several else "dtd"], **request_}
    with pytest.raises(UserError, match=message) as caught:
        plan_jobs(load_protocol(protocol), **asked)
    assert "\n" not in str(caught.value)


def test_the_tested_file_is_no_source(tmp_path: Path) -> None:
    file = str(tmp_path / "test.json")
    with pytest.raises(
        UserError, match=r"--source .*test.json is the tested file itself, and it is a COCO file"
    ) as error:
        _plan("partial-label", "dualcoop", file, source=file)
    assert "--source DATA" not in str(error.value)


@pytest.mark.parametrize("lacking", ["learn", "test"])
def test_pictures_of_a_file_that_lie_elsewhere_are_to_be_linked(lacking: str, tmp_path: Path) -> None:
    files = {name: tmp_path / "annotations" / f"instances_{name}.json" for name in ("learn", "test")}
    files["test"].parent.mkdir()
    for name, file in files.items():
        file.write_text("{}")
        if name != lacking:
            (tmp_path / "images" / name).mkdir(parents=True)
    with pytest.raises(UserError) as error:
        _plan("partial-label", "dualcoop", str(files["test"]), source=str(files["learn"]))
    folders = f"{tmp_path / lacking} or {tmp_path / 'images' / lacking}"
    assert str(error.value) == f"{files[lacking]} has no pictures: link their folder as {folders}"


def test_a_table_without_parts_is_refused_with_what_can_be_done(tmp_path: Path) -> None:
    table = _write_table(tmp_path / "birds.csv")
    with pytest.raises(UserError, match=r"birds.csv has no column 'split': add one, or name .* with --source DATA"):
        _plan("partial-label", "dualcoop", str(table))
    assert _plan("partial-label", "dualcoop", str(table), source=str(_write_table(tmp_path / "more.csv")))


@pytest.mark.parametrize("name", sorted(SPECIFICATIONS))
def test_every_named_set_has_a_split_to_learn_from(name: str) -> None:
    (job,) = _plan("partial-label", "dualcoop", name, known=[0.5], seeds=[1])
    learnt = str(job.config("/data").data.dataset)
    assert learnt.partition(":")[2] in {"train", "trainval"} - {SPECIFICATIONS[name].default}
