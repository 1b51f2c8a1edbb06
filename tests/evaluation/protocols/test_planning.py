from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml

from clipprompt.config import load_config
from clipprompt.datasets.classification.specifications import ELEVEN, VARIANTS
from clipprompt.errors import UserError
from clipprompt.evaluation.protocols._tuning import tuned_learners
from clipprompt.evaluation.protocols.planning import Job, Test, list_protocols, load_protocol, plan_jobs, read_protocol
from clipprompt.learners import learner_class, list_learners
from clipprompt.mini.styles import STYLES
from clipprompt.resources import resource
from tests.cli.test_train import run

ONE_CLASS = ["base-to-novel", "cross-dataset", "domain", "few-shot", "zero-shot"]  # to each picture
SEVERAL = ["few-shot-multilabel", "multilabel-zero-shot", "partial-label"]
LEARNING = [name for name in list_learners() if name not in ("tai_dpt", "zero_shot", *tuned_learners())]


def _plan(protocol: str, methods: str, datasets: str = "all", **more: Any) -> list[Job]:
    return plan_jobs(load_protocol(protocol), methods.split(","), datasets.split(","), **more)


def _differing(jobs: list[Job]) -> list[Job]:
    """One job of each method and settings; that takes less time than all."""
    return list({(job.method, job.settings): job for job in jobs}.values())


def _options(job: Job, *keys: str) -> list[Any]:
    config = job.config().model_dump()
    return [config[key.partition(".")[0]][key.partition(".")[2]] for key in keys]


def test_protocols_are_the_files_of_their_folder() -> None:
    assert list_protocols() == sorted([*ONE_CLASS, *SEVERAL, "visual-tuning"])
    assert [name for name in list_protocols() if load_protocol(name).multilabel] == SEVERAL


@pytest.mark.parametrize("name", ONE_CLASS)
@pytest.mark.parametrize("datasets", ["all", ",".join(STYLES)])
def test_every_method_has_a_configuration_in_every_protocol(name: str, datasets: str) -> None:
    jobs = _plan(name, "all", datasets)
    for job in _differing(jobs):
        assert job.config().method == job.method
    methods = {job.method for job in jobs}
    assert methods == {"zero_shot"} | (set(LEARNING) if load_protocol(name).learns else set())
    assert all(job.learns == (job.method != "zero_shot") for job in jobs)


@pytest.mark.parametrize("name", ONE_CLASS)
def test_jobs_have_folders_of_their_own(name: str) -> None:
    names = [job.name for job in _plan(name, "all")]
    assert len(set(names)) == len(names)


def test_base_to_novel_learns_base_and_tests_both() -> None:
    jobs = _plan("base-to-novel", "coop", seeds=[1, 2])
    assert [job.dataset for job in jobs] == [name for name in ELEVEN for _ in range(2)]
    job = jobs[-1]
    assert job.name == "coop/ucf101/base-16shots-seed2"
    assert job.tests == (Test("ucf101", "base"), Test("ucf101", "novel"))
    data, train = job.config("/data").data, job.config("/data").train
    found = (data.dataset, data.root, data.shots, data.subset, data.class_split, data.parts, train.seed)
    assert found == ("ucf101", "/data", 16, "base", 0, True, 2)


def test_few_shot_learns_and_tests_all_classes_with_every_number_of_shots() -> None:
    jobs = _plan("few-shot", "coop", "dtd", seeds=[3])
    assert [job.name for job in jobs] == [f"coop/dtd/all-{shots}shots-seed3" for shots in (1, 2, 4, 8, 16)]
    assert all(job.tests == (Test("dtd", "all"),) for job in jobs)


@pytest.mark.parametrize(("name", "tested"), [("cross-dataset", ELEVEN), ("domain", ("imagenet", *VARIANTS))])
def test_one_run_on_imagenet_is_tested_on_many_sets(name: str, tested: Sequence[str]) -> None:
    jobs = _plan(name, "coop,maple")
    assert [(job.method, job.dataset, job.seed) for job in jobs] == [
        (method, "imagenet", seed) for method in ("coop", "maple") for seed in (1, 2, 3)
    ]
    assert all(job.tests == tuple(Test(dataset) for dataset in tested) for job in jobs)


def test_zero_shot_learns_nothing() -> None:
    jobs = _plan("zero-shot", "all")
    assert [job.name for job in jobs] == [f"zero_shot/{name}/all" for name in ELEVEN]
    assert all(job.config("/data").data.dataset is None for job in jobs)


@pytest.mark.parametrize("name", ONE_CLASS)
def test_what_has_no_parameters_runs_once_on_each_set_with_its_own_sentence(name: str) -> None:
    jobs = _plan(name, "zero_shot", seeds=[1, 2, 3])
    assert [job.dataset for job in jobs] == list(load_protocol(name).datasets)
    for job in jobs:
        assert {test.dataset for test in job.tests} == {job.dataset}
        assert (job.seed, job.shots, job.learns) == (None, None, False)
        assert _options(job, "learner.templates") == [[job.dataset]]


def test_sets_without_a_sentence_have_the_plain_one() -> None:
    settings = ["learner.templates=['{dataset}']"]
    for job in _plan("zero-shot", "zero_shot", "mini-objects", settings=settings):
        assert _options(job, "learner.templates") == [["a photo of a {}."]]


def test_class_splits_make_jobs_of_every_method() -> None:
    jobs = _plan("base-to-novel", "zero_shot,coop", "mini-objects", class_splits=[0, 2], seeds=[1])
    assert [job.name for job in jobs] == [
        "zero_shot/mini-objects/all",
        "zero_shot/mini-objects/all-split2",
        "coop/mini-objects/base-16shots-seed1",
        "coop/mini-objects/base-16shots-split2-seed1",
    ]
    assert jobs[-1].config().data.class_split == 2


# Published settings: ../shared/published/settings.csv of those who have it; rows of base-to-novel are the files' own.
EPOCHS = ("train.epochs", "train.batch_size", "train.lr")
PUBLISHED = [
    ("coop", "few-shot", "dtd", 1, [50, 32, 0.002]),
    ("coop", "few-shot", "dtd", 2, [100, 32, 0.002]),
    ("coop", "few-shot", "dtd", 4, [100, 32, 0.002]),
    ("coop", "few-shot", "dtd", 8, [200, 32, 0.002]),
    ("coop", "few-shot", "dtd", 16, [200, 32, 0.002]),
    ("coop", "few-shot", "imagenet", 16, [50, 32, 0.002]),
    ("coop", "base-to-novel", "dtd", 16, [200, 32, 0.002]),
    ("coop", "base-to-novel", "imagenet", 16, [50, 32, 0.002]),
    ("cocoop", "base-to-novel", "dtd", 16, [10, 1, 0.002]),
    ("vpt", "base-to-novel", "dtd", 16, [5, 4, 0.0025]),
    ("ivlp", "base-to-novel", "dtd", 16, [20, 4, 0.0025]),
    ("maple", "base-to-novel", "dtd", 16, [5, 4, 0.0035]),
    ("maple", "cross-dataset", "all", 16, [2, 4, 0.0026]),
    ("maple", "domain", "all", 16, [2, 4, 0.0026]),
    ("promptsrc", "base-to-novel", "dtd", 16, [20, 4, 0.0025]),
    ("promptsrc", "cross-dataset", "all", 16, [20, 4, 0.0025]),
    ("promptsrc", "few-shot", "dtd", 1, [50, 4, 0.0025]),
]


@pytest.mark.parametrize(("method", "protocol", "dataset", "shots", "expected"), PUBLISHED)
def test_epochs_batches_and_rates_are_the_published_ones(
    method: str, protocol: str, dataset: str, shots: int, expected: list[float]
) -> None:
    (job,) = _plan(protocol, method, dataset, seeds=[1], shots=[shots])
    assert _options(job, *EPOCHS) == expected


@pytest.mark.parametrize(
    ("method", "protocol", "expected"),
    [
        ("coop", "few-shot", {"n_ctx": 16, "ctx_init": None}),
        ("coop", "base-to-novel", {"n_ctx": 4, "ctx_init": "a photo of a"}),
        ("cocoop", "base-to-novel", {"n_ctx": 4, "ctx_init": "a photo of a"}),
        ("vpt", "base-to-novel", {"n_ctx": 8, "depth": 12}),
        ("ivlp", "base-to-novel", {"n_ctx_text": 4, "n_ctx_visual": 4, "depth_text": 9, "depth_visual": 9}),
        ("maple", "base-to-novel", {"n_ctx": 2, "depth": 9, "ctx_init": "a photo of a"}),
        ("maple", "domain", {"n_ctx": 2, "depth": 3, "ctx_init": "a photo of a"}),
        ("promptsrc", "base-to-novel", {"depth_text": 9, "gaussian_mean": 15.0, "gaussian_std": 1.0}),
        (
            "promptsrc",
            "cross-dataset",
            {"depth_text": 3, "depth_visual": 3, "gaussian_mean": 6.0, "gaussian_std": 10.0},
        ),
        ("promptsrc", "few-shot", {"depth_text": 9, "gaussian_mean": 30.0, "gaussian_std": 30.0}),
    ],
)
def test_options_are_the_published_ones(method: str, protocol: str, expected: dict[str, Any]) -> None:
    job = _plan(protocol, method)[0]
    assert dict(zip(expected, _options(job, *(f"learner.{key}" for key in expected)), strict=True)) == expected


def test_published_settings_are_those_of_the_papers_table(shared: Path) -> None:
    with (shared / "published" / "settings.csv").open() as file:
        rows = [row for row in csv.DictReader(file) if row["protocol"].split(" ")[0] in ONE_CLASS]
    found = {(method, protocol) for method, protocol, *_ in PUBLISHED}
    stated = {(row["method"], name) for row in rows for name in row["protocol"].split(" and ")}
    assert found >= stated
    for row in (row for row in rows if row["epochs"].isdigit() and "MaPLe" not in row["notes"]):
        job = _plan(row["protocol"].split(" ")[0], row["method"])[0]
        assert _options(job, *EPOCHS) == [int(row["epochs"]), int(row["batch"]), float(row["lr"])]


def test_contexts_of_single_classes_are_not_learnt_where_others_are_tested() -> None:
    for protocol in ("base-to-novel", "cross-dataset", "domain"):
        for datasets in ("all", "mini-objects"):
            for job in _differing(_plan(protocol, "all", datasets)):
                options = job.config().learner
                assert not options.get("class_specific", False), job.name


@pytest.mark.parametrize("name", ONE_CLASS)
def test_the_backbone_is_that_of_papers_and_on_drawn_sets_the_bundled_one(name: str) -> None:
    for datasets, expected in (("all", ("ViT-B-16", "openai")), ("mini-objects", ("mini-vit", None))):
        for job in _differing(_plan(name, "all", datasets)):
            backbone = job.config().backbone
            assert (backbone.name, backbone.pretrained) == expected, job.name


def test_one_set_of_files_among_drawn_ones_is_no_drawn_protocol() -> None:
    jobs = _plan("base-to-novel", "coop", "mini-objects,dtd", seeds=[1])
    assert {job.config().backbone.name for job in jobs} == {"ViT-B-16"}


def test_drawn_sets_that_are_tested_with_what_files_taught_are_no_drawn_protocol() -> None:
    (job,) = _plan("domain", "coop", "mini-sketch", seeds=[1], source="imagenet")
    assert (job.config().backbone.name, job.config().train.epochs) == ("ViT-B-16", 50)


def test_a_backbone_of_the_users_takes_the_place_of_the_protocols_with_its_tag() -> None:
    (job,) = _plan("zero-shot", "zero_shot", "dtd", settings=["backbone.name=mini"])
    assert job.config().backbone.model_dump(include={"name", "pretrained"}) == {"name": "mini", "pretrained": None}
    jobs = _plan("few-shot", "coop", "dtd", settings=["backbone.name=RN50", "backbone.pretrained=openai"])
    assert {(job.config().backbone.name, job.config().backbone.pretrained) for job in jobs} == {("RN50", "openai")}


def test_settings_of_the_user_come_last_and_may_be_for_one_method() -> None:
    settings = ["train.epochs=3", "coop:train.epochs=7", "coop:learner.ctx_init=none"]
    coop, cocoop = _plan("base-to-novel", "coop,cocoop", "imagenet", seeds=[1], settings=settings)
    assert _options(coop, "train.epochs", "learner.ctx_init") == [7, None]
    assert _options(cocoop, "train.epochs", "learner.ctx_init") == [3, "a photo of a"]


def test_where_runs_take_place_is_no_part_of_a_job() -> None:
    job = _plan("few-shot", "coop", "dtd")[0]
    config = job.config("/elsewhere", ["backbone.device=cpu", "data.workers=1"])
    assert (config.backbone.device, config.data.workers, config.data.root) == ("cpu", 1, "/elsewhere")
    assert not any("device" in setting or "root" in setting for setting in job.settings)


def test_drawn_sets_take_no_root() -> None:
    assert _plan("few-shot", "coop", "mini-objects")[0].config("/data").data.root is None


@pytest.mark.parametrize("name", ["cross-dataset", "domain"])
def test_drawn_sets_are_tested_with_what_was_learnt_from_a_drawn_set(name: str) -> None:
    jobs = _plan(name, "coop,zero_shot", "mini-objects,mini-sketch,mini-night", seeds=[1])
    assert [job.dataset for job in jobs] == ["mini-objects", "mini-objects", "mini-sketch", "mini-night"]
    other = _plan(name, "coop", "mini-sketch", seeds=[1], source="mini-night")
    assert [(job.dataset, job.tests) for job in other] == [("mini-night", (Test("mini-sketch"),))]


def test_settings_may_be_chosen_on_the_part_val() -> None:
    jobs = _plan("base-to-novel", "zero_shot,coop", "dtd", part="val")
    assert {test.part for job in jobs for test in job.tests} == {"val"}


def test_own_data_are_named_by_their_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "photos").mkdir()
    monkeypatch.chdir(tmp_path)
    (job,) = _plan("few-shot", "coop", "./photos", shots=[None], seeds=[1])
    assert job.name == "coop/photos/all-seed1"
    assert job.dataset == str(tmp_path / "photos")
    assert job.config("/data").data.model_dump(include={"dataset", "root", "shots", "parts"}) == {
        "dataset": str(tmp_path / "photos"),
        "root": None,
        "shots": None,
        "parts": True,
    }


def test_everything_that_comes_twice_counts_once() -> None:
    jobs = _plan("few-shot", "coop,coop", "DTD,dtd", shots=[1, 1], seeds=[1, 1])
    assert [job.name for job in jobs] == ["coop/dtd/all-1shots-seed1"]


def test_settings_are_over_the_methods_own_configuration() -> None:
    job = _plan("base-to-novel", "coop", "dtd")[0]
    shipped = load_config("coop").train
    assert job.config().train == shipped.model_copy(update={"seed": 1})


def test_shipped_configurations_say_what_has_nothing_to_learn() -> None:
    for name in list_learners():
        has_none = load_config(name).train.epochs == 0
        assert has_none == (name in ("zero_shot", "tip_adapter"))
    assert [name for name in list_learners() if learner_class(name).trains_on == "captions"] == ["tai_dpt"]


DOCUMENT = (Path(__file__).parents[3] / "docs" / "protocols.md").read_text(encoding="utf-8")
COMMANDS = [line.partition(" #")[0].split() for line in DOCUMENT.splitlines() if line.startswith("clipprompt eval ")]


@pytest.mark.parametrize("command", COMMANDS, ids=lambda words: " ".join(words[2:6]))
def test_commands_of_the_documentation_can_be_run(
    command: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for folder in ("data", "photos", "others"):
        (tmp_path / folder).mkdir()
    monkeypatch.chdir(tmp_path)
    code, out, err = run(*command[1:], "--dry-run")
    assert code == 0, err
    assert "pending" in out


BAD_REQUESTS = {
    "unknown method": ("few-shot", {"methods": ["cop"]}, r"no method 'cop' \(did you mean 'coop'\?\)"),
    "no method": ("few-shot", {"methods": []}, r"no method is given; choose among .*coop.*, or all"),
    "method of captions": (
        "few-shot",
        {"methods": ["tai_dpt"]},
        r"tai_dpt learns from captions, and few-shot has only",
    ),
    "learner in zero-shot": (
        "zero-shot",
        {"methods": ["coop"]},
        r"coop learns, and in zero-shot nothing is .*zero_shot",
    ),
    "unknown set": (
        "few-shot",
        {"datasets": ["caltec101"]},
        r"'caltec101' \(did you mean 'caltech101'\?\); give imagenet",
    ),
    "no set": ("few-shot", {"datasets": []}, r"no dataset is given"),
    "several classes": ("few-shot", {"datasets": ["voc2007"]}, r"voc2007 has several classes to a picture"),
    "no shots": ("few-shot", {"shots": []}, r"no shots is given"),
    "shots of 0": ("few-shot", {"shots": [0]}, r"shots 0 is too low; give 1 or more"),
    "seed below 0": ("few-shot", {"seeds": [-1]}, r"seed -1 is too low; give 0 or more"),
    "no seed": ("few-shot", {"seeds": []}, r"no seed is given"),
    "class split below 0": ("base-to-novel", {"class_splits": [-1]}, r"class split -1 is too low"),
    "class split of all": ("few-shot", {"class_splits": [1]}, r"--class-splits has no use in few-shot"),
    "shots of nothing": ("zero-shot", {"methods": ["all"], "shots": [4]}, r"--shots has no use in zero-shot"),
    "source of itself": ("few-shot", {"source": "dtd"}, r"--source dtd has no use in few-shot"),
    "unknown source": ("domain", {"source": "imagenett"}, r"'imagenett' \(did you mean 'imagenet'\?\)"),
    "part train": ("few-shot", {"part": "train"}, r"part 'train' cannot be tested on; choose val or test"),
    "misspelt part": ("few-shot", {"part": "tst"}, r"part 'tst' cannot be tested on \(did you mean 'test'\?\)"),
    "unknown key": (
        "few-shot",
        {"settings": ["train.epoch=3"]},
        r"coop: train.epoch=3: unknown key 'train.epoch' .*epochs",
    ),
    "key of another method": (
        "few-shot",
        {"methods": ["coop", "vpt"], "settings": ["learner.ctx_init=none"]},
        r"vpt: learner.ctx_init=none: unknown key .*METHOD:KEY=VALUE",
    ),
    "setting for a method that is not run": (
        "few-shot",
        {"settings": ["cocop:train.epochs=3"]},
        r"'cocop:train.epochs=3' is for method 'cocop' \(did you mean 'coop'\?\), which is not run",
    ),
    "seed as a setting": (
        "few-shot",
        {"settings": ["coop:seed=3"]},
        r"'coop:seed=3': train.seed is .*; give --seeds in",
    ),
    "subset as a setting": (
        "few-shot",
        {"settings": ["data.subset=base"]},
        r"data.subset is decided by .*; leave it out",
    ),
    "known as a setting": (
        "partial-label",
        {"methods": ["dualcoop"], "datasets": ["mini"], "settings": ["data.known=0.3"]},
        r"'data.known=0.3': data.known is decided by the protocol; give --known in its place",
    ),
    "pictures for captions": (
        "partial-label",
        {"methods": ["tai_dpt"], "datasets": ["mini"], "settings": ["tai_dpt:data.dataset=mini:val"]},
        r"data.dataset is decided by the protocol; give --datasets in its place",
    ),
    "no setting": ("few-shot", {"settings": ["epochs"]}, r"'epochs' is not of the form key=value"),
    "wrong value": ("few-shot", {"settings": ["train.epochs=many"]}, r"train.epochs is 'many'"),
}


@pytest.mark.parametrize(("protocol", "request_", "message"), BAD_REQUESTS.values(), ids=BAD_REQUESTS)
def test_a_wrong_request_is_one_line_that_names_it(protocol: str, request_: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message) as caught:
        plan_jobs(load_protocol(protocol), **{"methods": ["coop"], "datasets": ["dtd"], **request_})
    assert "\n" not in str(caught.value)


def test_two_folders_of_one_name_cannot_share_a_job(tmp_path: Path) -> None:
    for folder in ("a", "b"):
        (tmp_path / folder / "photos").mkdir(parents=True)
    with pytest.raises(UserError, match=r"share the folder coop/photos/.*; rename one"):
        _plan("few-shot", "coop", f"{tmp_path}/a/photos,{tmp_path}/b/photos")


@pytest.mark.parametrize(
    ("name", "message"),
    [("few-sho", r"no protocol 'few-sho' \(did you mean 'few-shot'\?\)"), ("demo", "no protocol 'demo'")],
)
def test_an_unknown_protocol_is_named_with_the_nearest(name: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        load_protocol(name)


BAD_FILES: dict[str, tuple[dict[str, Any], str]] = {
    "unknown key": ({"shot": [1]}, r"unknown key 'shot' \(did you mean 'shots'\?\)"),
    "share above 1": ({"known": [1.5]}, r"known is 1.5"),
    "share that is text": ({"known": ["half"]}, r"known is 'half'"),
    "no share": ({"known": []}, r"known is \[\]"),
    "set of several classes": ({"datasets": ["voc2007"]}, r"no set 'voc2007'"),
    "set of one class": ({"multilabel": True, "datasets": ["dtd"]}, r"no set 'dtd'"),
    "unknown source of a method": ({"methods": ["tai_dpt:image"]}, r"mine.yaml: tai_dpt:image: .*'images'"),
    "no list": ({"shots": 16}, r"shots is 16, but it should be a valid list"),
    "shots of 0": ({"shots": [0]}, r"shots is 0"),
    "no test": ({"tests": []}, r"tests is \[\]"),
    "unknown subset": ({"tests": ["bas"]}, r"tests is 'bas', but .* \(did you mean 'base'\?\)"),
    "novel to learn": ({"subset": "novel"}, r"subset is 'novel'"),
    "seed that is text": ({"seeds": ["1"]}, r"seeds is '1'"),
    "its own name": ({"name": "mine"}, r"unknown key 'name'"),
    "unknown method": ({"settings": {"cop": []}}, r"no method 'cop' \(did you mean 'coop'\?\)"),
    "unknown set": ({"datasets": ["dtdd"]}, r"no set 'dtdd' \(did you mean 'dtd'\?\)"),
    "unknown source": ({"source": "imagenett"}, r"no set 'imagenett'"),
    "unknown set of a rule": ({"settings": {"coop": [{"datasets": ["dtdd"], "set": {}}]}}, r"no set 'dtdd'"),
    "rule without settings": ({"settings": {"coop": [{"shots": [1]}]}}, r"key 'settings.coop.0.set' is missing"),
    "misspelt rule": (
        {"settings": {"coop": [{"dataset": ["dtd"], "set": {}}]}},
        r"unknown key 'settings.coop.0.dataset' \(did you mean 'datasets'\?\); allowed here: datasets, shots, known",
    ),
    "misspelt backbone": (
        {"backbone": {"name": "RN50", "nam": "RN50"}},
        r"unknown key 'backbone.nam' \(did you mean 'name'\?\)",
    ),
    "drawn of another": ({"drawn": {"settings_of": "few-sho"}}, r"no protocol 'few-sho'"),
    "drawn of itself": ({"drawn": {"settings_of": "mine"}}, r"drawn.settings_of is the protocol itself"),
}


@pytest.mark.parametrize(("change", "message"), BAD_FILES.values(), ids=BAD_FILES)
def test_a_wrong_protocol_file_is_one_line_that_names_it(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    shipped = yaml.safe_load(resource("configs/protocols/zero-shot.yaml").read_text())
    path = tmp_path / "mine.yaml"
    path.write_text(yaml.safe_dump(shipped))
    assert read_protocol(path).name == "mine"
    path.write_text(yaml.safe_dump(shipped | change))
    with pytest.raises(UserError, match=message) as caught:
        read_protocol(path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("method", ["linear", "full"])
def test_a_head_is_not_asked_about_classes_that_it_does_not_learn(method: str) -> None:
    assert {job.method for job in _plan("few-shot", method, "dtd")} == {method}
    with pytest.raises(UserError, match=f"{method} answers with a head .* base-to-novel tests novel classes") as caught:
        _plan("base-to-novel", f"coop,{method}", "dtd")
    assert "\n" not in str(caught.value)
