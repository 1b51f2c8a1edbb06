from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from clipprompt.cli.eval import app
from clipprompt.evaluation.protocols._tuning import tuned_learners
from clipprompt.evaluation.protocols.planning import load_protocol, plan_jobs
from clipprompt.evaluation.records import read_records
from clipprompt.learners import learner_class, list_learners
from clipprompt.mini.styles import STYLES

PROMPTS = [name for name in list_learners() if name not in tuned_learners()]
METHODS = [name for name in PROMPTS if learner_class(name).trains_on == "images"]
LEARNING = [name for name in METHODS if name != "zero_shot"]


@pytest.mark.parametrize("protocol", ["base-to-novel", "few-shot", "cross-dataset", "domain"])
def test_all_methods_have_settings_for_drawn_sets_on_one_backbone(protocol: str) -> None:
    jobs = plan_jobs(load_protocol(protocol), ["all"], list(STYLES))
    assert {job.method for job in jobs} == set(METHODS)
    for job in jobs:
        config = job.config()
        assert config.backbone.name == "mini-vit"
        if job.learns:
            assert config.data.augment is None  # a crop of a small drawing shows nothing
            assert 0 < config.train.epochs <= 100
            assert not config.learner.get("class_specific"), "contexts of single classes serve no other"


def test_what_is_learnt_across_sets_is_worn_prints() -> None:
    jobs = plan_jobs(load_protocol("domain"), ["coop"], list(STYLES), seeds=[1])
    assert [job.dataset for job in jobs] == ["mini-objects"]
    assert [test.dataset for test in jobs[0].tests] == list(STYLES)


@pytest.mark.slow
def test_every_method_runs_from_base_to_novel_offline(tmp_path: Path) -> None:
    settings = [part for name in LEARNING for part in ("--set", f"{name}:train.epochs=1")]
    request = ["--dataset", "mini-objects", "--methods", "all", "--seeds", "1", "--shots", "1", "--part", "val"]
    result = CliRunner().invoke(app, ["base-to-novel", *request, *settings, "-o", str(tmp_path / "sweep")])
    assert result.exit_code == 0, result.stderr
    found = [record for path in (tmp_path / "sweep").rglob("results.jsonl") for record in read_records(path)]
    assert sorted((r["method"], r["tested_subset"]) for r in found) == [
        (m, s) for m in METHODS for s in ("base", "novel")
    ]
    assert {r["n_images"] for r in found} == {600}
    assert all(r["accuracy"] > 0 for r in found)
    assert all(method in result.stdout for method in METHODS)
