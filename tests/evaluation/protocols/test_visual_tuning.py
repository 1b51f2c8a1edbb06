"""From ``visual-tuning`` to its jobs: variants of learners, points of grids, and what takes the best of them."""

from __future__ import annotations

from typing import Any

import pytest

from clipprompt.config import load_config
from clipprompt.errors import UserError
from clipprompt.evaluation.protocols.planning import Job, Test, load_protocol, plan_jobs
from clipprompt.learners import learner_class

PROTOCOL = load_protocol("visual-tuning")
TIMM = "backbone.name=timm:vit_base_patch16_224.orig_in21k"


def _plan(*methods: str, dataset: str = "mini-objects", **more: Any) -> list[Job]:
    return plan_jobs(PROTOCOL, methods, [dataset], **more)


def _rates(jobs: list[Job]) -> list[float]:
    return [job.config().train.lr for job in jobs]


@pytest.mark.parametrize("method", PROTOCOL.methods)
@pytest.mark.parametrize("dataset", ["mini-objects", "fgvc-cub", "vtab-dtd"])
def test_every_variant_has_a_configuration_of_its_learner(method: str, dataset: str) -> None:
    settings = [] if dataset == "mini-objects" else ["backbone.name=ViT-B-16", "backbone.pretrained=openai"]
    jobs = _plan(method, dataset=dataset, seeds=[1], settings=settings)
    for job in jobs[-1], jobs[0]:
        config = job.config("/data")
        assert (job.spelling, config.method) == (method, job.method)
        assert config.data.augment == ("crop_flip" if dataset == "fgvc-cub" else None)
    assert jobs[-1].grid == tuple(job.name for job in jobs[:-1])


def test_texts_are_read_by_what_has_text_features() -> None:
    for name, variant in PROTOCOL.variants.items():
        assert variant.reads_texts == learner_class(variant.learner).has_text_features, name


def test_epochs_for_all_are_not_for_a_variant_without_any() -> None:
    jobs = _plan("tip-adapter", "tip-adapter-f", seeds=[1], searches=False, settings=["train.epochs=1"])
    assert {job.spelling: job.config().train.epochs for job in jobs} == {"tip-adapter": 0, "tip-adapter-f": 1}


@pytest.mark.parametrize(
    ("method", "key", "value"),
    [
        ("partial-2", "n_blocks", 2),
        ("partial-1", "n_blocks", 1),
        ("mlp-5", "n_layers", 5),
        ("vpt-shallow", "depth", 1),
        ("vpt-deep", "depth", None),
        ("vpt-bias", "bias", True),
        ("vpt-pad", "where", "pad"),
        ("tip-adapter-f", "tuned", True),
    ],
)
def test_a_variant_is_its_learner_with_its_settings(method: str, key: str, value: Any) -> None:
    (job,) = _plan(method, seeds=[1], searches=False)
    assert job.config().learner[key] == value
    assert job.name == f"{method}/mini-objects/all-share0.1-seed1"


def test_points_learn_from_train_and_are_tested_on_val_and_the_best_learns_from_both() -> None:
    *points, final = _plan("linear", seeds=[2])
    assert {(job.tests, job.with_val, job.seed) for job in points} == {
        ((Test("mini-objects", "all", "val"),), False, 1)
    }
    assert (final.tests, final.with_val, final.seed) == ((Test("mini-objects"),), True, 2)
    assert final.needs == final.grid == tuple(job.name for job in points)
    assert points[0].name == "linear/mini-objects/all-share0.1-seed1-grid/lr0.2"
    assert final.config().data.with_val
    assert not points[0].config().data.with_val


def test_one_search_serves_all_seeds_and_every_share_has_its_own() -> None:
    jobs = _plan("linear", seeds=[1, 2, 3], shares=[0.5, 1])
    finals = [job for job in jobs if job.grid]
    assert [(job.share, job.seed) for job in finals] == [(0.5, 1), (None, 1), (0.5, 2), (None, 2), (0.5, 3), (None, 3)]
    assert len({job.grid for job in finals}) == 2
    assert len(jobs) == 6 + len({name for job in finals for name in job.grid})
    assert jobs[-6:] == finals


def test_the_study_s_rates_go_by_the_size_of_a_batch() -> None:
    *points, final = _plan("linear", dataset="vtab-dtd", seeds=[1])
    batch = load_config("linear").train.batch_size
    assert len(points) == 40
    assert final.config().train.batch_size == batch
    assert sorted(set(_rates(points)))[:2] == [0.05 * batch / 256, 0.1 * batch / 256]
    assert len(_plan("full", dataset="vtab-dtd", seeds=[1])) == 17


def test_axes_of_a_request_stand_in_place_of_the_protocol_s_or_beside_them() -> None:
    jobs = _plan("linear", "vpt-deep", seeds=[1], grid=["lr=0.5,0.05", "vpt-deep:n_ctx=1,5"])
    points = [job for job in jobs if job.point]
    assert [job.point for job in points if job.variant == "linear"] == [("train.lr=0.5",), ("train.lr=0.05",)]
    deep = [job for job in points if job.variant == "vpt-deep"]
    assert [(job.config().train.lr, job.config().learner["n_ctx"]) for job in deep] == [
        (0.5, 1),
        (0.5, 5),
        (0.05, 1),
        (0.05, 5),
    ]


def test_without_a_grid_settings_are_taken_as_they_are() -> None:
    jobs = _plan("linear", seeds=[1, 2], searches=False, settings=["linear:train.lr=0.3"])
    assert [(job.grid, job.point, job.with_val) for job in jobs] == [((), (), True)] * 2
    assert _rates(jobs) == [0.3, 0.3]


def test_what_is_tested_on_val_does_not_learn_from_it() -> None:
    (job,) = _plan("linear", seeds=[1], searches=False, part="val")
    assert (job.with_val, job.tests) == (False, (Test("mini-objects", "all", "val"),))


def test_all_leaves_out_on_a_backbone_without_texts_what_reads_them_and_says_so() -> None:
    said = list[str]()
    jobs = _plan("all", dataset="fgvc-cub", settings=[TIMM], searches=False, seeds=[1], say=said.append)
    assert {job.variant for job in jobs} == {
        name for name in PROTOCOL.methods if "clip" not in name and "tip" not in name
    }
    assert len(said) == 1
    assert said[0].startswith("left out: clip-adapter, tip-adapter, tip-adapter-f, clip-lora; they read class names")


def test_groups_are_their_sets() -> None:
    jobs = plan_jobs(PROTOCOL, ["linear"], ["vtab-structured", "fgvc"], seeds=[1], searches=False)
    assert len(jobs) == 8 + 5
    assert jobs[-1].dataset.startswith("fgvc-")


def test_other_protocols_take_these_learners_by_name_alone() -> None:
    everything = {job.method for job in plan_jobs(load_protocol("few-shot"), ["all"], ["mini-objects"], shots=[1])}
    assert "linear" not in everything
    assert "coop" in everything
    (job,) = plan_jobs(load_protocol("few-shot"), ["linear"], ["mini-objects"], shots=[1], seeds=[1])
    assert (job.method, job.variant) == ("linear", "")


BAD: dict[str, tuple[dict[str, Any], str]] = {
    "misspelt variant": ({"methods": ["vpt-dep"]}, r"no method 'vpt-dep' \(did you mean 'vpt-deep'\?\); choose among"),
    "a learner": ({"methods": ["vpt_head"]}, r"there is no method 'vpt_head'"),
    "number lacks": ({"methods": ["partial"]}, r"'partial' needs a number, as in partial-1: its learner\.n_blocks"),
    "number 0": ({"methods": ["mlp-0"]}, r"there is no method 'mlp-0'"),
    "number of none": ({"methods": ["linear-2"]}, r"there is no method 'linear-2'"),
    "share set": ({"settings": ["share=0.5"]}, r"data\.share is decided by the protocol; give --shares"),
    "name": (
        {"methods": ["vpt-shallow"], "settings": ["vpt-shallow:depth=3"]},
        r"by its name vpt-shallow has learner\.depth=1; leave it out",
    ),
    "val set": ({"settings": ["data.with_val=false"]}, r"data\.with_val is decided by the protocol; leave it out"),
    "no axis": ({"grid": ["train.lr"]}, r"--grid 'train\.lr' is not of the form KEY=VALUES"),
    "empty axis": ({"grid": ["train.lr="]}, r"--grid 'train\.lr=' is not of the form KEY=VALUES"),
    "value twice": ({"grid": ["train.lr=0.1,0.1"]}, r"has a value twice"),
    "axis of nobody": ({"grid": ["learner.n_ctx=1,5"]}, r"no method that is run searches learner\.n_ctx; name one"),
    "axis of another": ({"grid": ["vpt-deep:n_ctx=1"]}, r"is for 'vpt-deep', which is not run"),
    "unknown axis": (
        {"grid": ["linear:train.lrr=1"]},
        r"linear has no setting 'train\.lrr' \(did you mean 'train\.lr'",
    ),
    "seed as axis": ({"grid": ["linear:train.seed=1,2"]}, r"linear has no setting 'train\.seed'"),
    "negative rate": ({"grid": ["train.lr=-1"]}, r"linear: train\.lr=-1: .*greater than 0"),
    "given and searched": ({"settings": ["train.lr=0.1"]}, r"train\.lr is searched for linear; give --grid train\.lr="),
    "grid and none": ({"grid": ["train.lr=1"], "searches": False}, r"has no use with --no-grid"),
    "val twice": ({"part": "val"}, r"--part val: the grid chooses by val already; add --no-grid"),
    "share 0": ({"shares": [0.0]}, r"share 0 is no part of the training pictures"),
    "share in percent": ({"shares": [10.0]}, r"share 10 is no part"),
    "no texts": (
        {"methods": ["tip-adapter"], "settings": [TIMM]},
        r"tip-adapter reads class names with a text tower, and timm:.* has none: take a CLIP",
    ),
    "misspelt group": ({"datasets": ["vtab-naturel"]}, r"unknown dataset 'vtab-naturel' \(did you mean 'vtab-natural'"),
}


@pytest.mark.parametrize("wrong", BAD)
def test_a_wrong_request_is_one_line(wrong: str) -> None:
    changes, message = BAD[wrong]
    request: dict[str, Any] = {"methods": ["linear"], "datasets": ["mini-objects"], "seeds": [1], **changes}
    with pytest.raises(UserError, match=message) as error:
        plan_jobs(PROTOCOL, **request)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("options", [{"grid": ["train.lr=1"]}, {"searches": False}, {"shares": [0.5]}])
def test_grids_and_shares_are_for_visual_tuning_alone(options: dict[str, Any]) -> None:
    with pytest.raises(UserError, match=r"has no use in few-shot; it is for visual-tuning"):
        plan_jobs(load_protocol("few-shot"), ["coop"], ["mini-objects"], **options)
