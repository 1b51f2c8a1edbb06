"""The harness over miniatures of all 15 named sets in their true formats, on the bundled backbone."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from clipprompt.backbone import Backbone, load_backbone
from clipprompt.backbone import resolve_templates as sentences_of
from clipprompt.datasets.classification.load import load_classification
from clipprompt.datasets.classification.sets import hash_samples
from clipprompt.datasets.classification.specifications import ELEVEN, FIFTEEN, VARIANTS
from clipprompt.evaluation.job_tests.one_class import Evaluation, evaluate_tests
from clipprompt.evaluation.job_tests.one_class_records import ClassificationRecord
from clipprompt.evaluation.protocols.planning import Job, load_protocol, plan_jobs
from clipprompt.learners import create_learner, load_learner
from clipprompt.training.run import run_training
from tests.datasets.classification.miniatures import classnames_of, make_miniature

ON_MINI = ["backbone.name=mini", "backbone.device=cpu"]


@pytest.fixture(scope="module")
def mini() -> Backbone:
    return load_backbone("mini", device="cpu")


@pytest.fixture(scope="module", params=[True, False], ids=["split files", "official files"])
def root(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a user gives as ``--root``."""
    folder = tmp_path_factory.mktemp("data")
    for name in FIFTEEN:
        make_miniature(name, folder, per_class=4, split_file=request.param)
    return folder


def _evaluate(job: Job, mini: Backbone, root: Path) -> Iterator[ClassificationRecord]:
    learner = create_learner(job.method, mini, ["a", "b"], **job.config(root).learner)
    yield from evaluate_tests(learner, job, job.config(root), Evaluation(root=root))


def _plainly(name: str, mini: Backbone, root: Path) -> float:
    """Zero-shot accuracy from the two towers alone."""
    found = load_classification(name, root)
    assert mini.preprocess is not None
    pictures = torch.stack([mini.preprocess(found.open_item(found.item(sample))) for sample in found.part("test")])
    (sentence,) = sentences_of([name])
    names = [re.sub(r" \[n\d{8}\]$", "", classname.replace("_", " ")) for classname in found.classnames]
    spoken = [sentence.replace("{}", name) for name in names]
    texts = mini.encode_text(mini.tokenize(spoken))
    with torch.no_grad():
        images = mini.vision.pool(mini.vision.trunk(pictures))
        cosines = torch.nn.functional.normalize(images, dim=-1) @ torch.nn.functional.normalize(texts, dim=-1).T
    first = [names.index(name) for name in names]  # ImageNet has names twice
    predicted = np.array(first)[cosines.argmax(dim=1).numpy()]
    return float((predicted == [sample.label for sample in found.part("test")]).mean())


@pytest.mark.parametrize("name", FIFTEEN)
def test_zero_shot_accuracy_is_that_of_the_towers_alone(name: str, mini: Backbone, root: Path) -> None:
    (job,) = plan_jobs(load_protocol("zero-shot"), ["zero_shot"], [name], settings=ON_MINI)
    (record,) = _evaluate(job, mini, root)
    assert (record["dataset"], record["classnames"]) == (name, classnames_of(name))
    assert record["options"]["learner.templates"] == [name]
    assert record["accuracy"] == _plainly(name, mini, root)
    assert (record["n_images"], record["n_skipped"]) == (4, 0)
    tested = load_classification(name, root, parts=("test",))
    assert record["split_hash"] == hash_samples(tested.part("test"))
    assert (record["split_source"], record["split_sha256"]) == (tested.source, tested.source_sha256)


@pytest.mark.parametrize("name", ELEVEN)
def test_base_and_novel_part_the_classes_of_every_set(name: str, mini: Backbone, root: Path) -> None:
    (job,) = plan_jobs(load_protocol("base-to-novel"), ["zero_shot"], [name], settings=ON_MINI)
    base, novel = _evaluate(job, mini, root)
    names = classnames_of(name)
    assert (base["classnames"], novel["classnames"]) == (names[:2], names[2:])
    assert (base["n_images"], novel["n_images"]) == (2, 2)


def test_a_prompt_that_was_learnt_on_imagenet_is_tested_on_all_the_others(
    mini: Backbone, root: Path, tmp_path: Path
) -> None:
    settings = [*ON_MINI, "train.epochs=1", "data.augment=none"]
    tested = dict[str, list[str]]()
    for protocol in ("cross-dataset", "domain"):
        (job,) = plan_jobs(load_protocol(protocol), ["coop"], ["all"], seeds=[1], shots=[2], settings=settings)
        config = job.config(root)
        run_training(config, tmp_path / "run", load=lambda _: mini)  # the second finds it complete
        records = list(evaluate_tests(load_learner(tmp_path / "run", mini), job, config, Evaluation(root=root)))
        assert {record["trained_on"] for record in records} == {"imagenet"}
        assert len({record["draw_hash"] for record in records}) == 1
        assert all(0 <= record["accuracy"] <= 1 for record in records)
        tested[protocol] = [record["dataset"] for record in records]
    assert tested == {"cross-dataset": list(ELEVEN), "domain": ["imagenet", *VARIANTS]}
