from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from clipprompt.backbone import Backbone
from clipprompt.config import RunConfig, load_config, read_config
from clipprompt.errors import UserError
from clipprompt.learners import load_learner
from clipprompt.training.metrics_log import read_metrics
from clipprompt.training.run import run_training
from clipprompt.training.sentences import load_sentences
from tests.training._worker import write_corpus
from tests.training.conftest import CAPTIONS, CLASSNAMES, LABELS

SMALL = ["n_ctx=2", "epochs=2", "batch_size=4", "lr=0.1", "templates=false"]
Configure = Callable[..., RunConfig]


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    return write_corpus(tmp_path / "corpus.parquet", CAPTIONS, LABELS, CLASSNAMES)


@pytest.fixture
def configure(corpus: Path, tiny_rn_backbone: Backbone, monkeypatch: pytest.MonkeyPatch) -> Configure:
    """Makes configurations for the tiny backbone and the small corpus."""
    monkeypatch.setattr("clipprompt.training.run.load_backbone", lambda *_, **__: tiny_rn_backbone)

    def make(*settings: str, method: str = "tai_dpt") -> RunConfig:
        base = SMALL if method == "tai_dpt" else []
        return load_config(method, [f"data.corpus={corpus}", *base, *settings])

    return make


def test_a_run_makes_its_folder(configure: Configure, tmp_path: Path, tiny_rn_backbone: Backbone) -> None:
    said = list[str]()
    result = run_training(configure(), tmp_path / "run", said.append)
    assert result is not None
    assert (result.steps, result.epoch) == (4, 2)
    learner = load_learner(tmp_path / "run", tiny_rn_backbone)
    assert learner.classnames == CLASSNAMES
    assert dict(learner.named_parameters())["ctx"].shape == (2, 128)
    assert said[-1] == f"Done: epoch 2, 4 steps, in {tmp_path / 'run'}"
    log = (tmp_path / "run" / "log.txt").read_text(encoding="utf-8")
    assert f"torch {torch.__version__}" in log
    assert said[-1] in log
    assert len(read_metrics(tmp_path / "run" / "metrics.jsonl")) == 2


def test_the_recorded_configuration_has_the_fingerprints(
    configure: Configure, tmp_path: Path, tiny_rn_backbone: Backbone
) -> None:
    run_training(configure(), tmp_path / "run")
    recorded = read_config(tmp_path / "run" / "config.yaml")
    assert recorded.backbone.fingerprint == tiny_rn_backbone.fingerprint()
    assert recorded.data.fingerprint == load_sentences(configure().data).fingerprint()
    assert recorded.train == configure().train


def test_a_complete_folder_is_left_alone(configure: Configure, tmp_path: Path) -> None:
    run_training(configure(), tmp_path / "run")
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "run").glob("prompt.*")}
    said = list[str]()
    assert run_training(configure(), tmp_path / "run", said.append) is None
    assert said == [f"{tmp_path / 'run'} is complete; nothing to do"]
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "run").glob("prompt.*")} == before


def test_features_that_a_killed_run_left_behind_are_removed_from_a_complete_folder(
    configure: Configure, tmp_path: Path
) -> None:
    run_training(configure(), tmp_path / "run")
    (tmp_path / "run" / "cache" / "features-0").mkdir(parents=True)
    assert run_training(configure(), tmp_path / "run") is None
    assert not (tmp_path / "run" / "cache").exists()


@pytest.mark.parametrize("missing", ["prompt.json", "prompt.safetensors"])
def test_a_folder_without_all_of_its_prompt_is_finished(missing: str, configure: Configure, tmp_path: Path) -> None:
    run_training(configure(), tmp_path / "run")
    before = (tmp_path / "run" / missing).read_bytes()
    (tmp_path / "run" / missing).unlink()
    assert run_training(configure(), tmp_path / "run") is not None
    assert (tmp_path / "run" / missing).read_bytes() == before


def test_a_complete_folder_of_another_configuration_is_refused(configure: Configure, tmp_path: Path) -> None:
    run_training(configure(), tmp_path / "run")
    with pytest.raises(UserError, match=r"train\.seed is 1 there and 9 here"):
        run_training(configure("seed=9"), tmp_path / "run")


def test_a_moved_corpus_is_the_same_and_a_changed_one_is_not(
    configure: Configure, corpus: Path, tmp_path: Path
) -> None:
    run_training(configure(), tmp_path / "run")
    shutil.copy(corpus, tmp_path / "moved.parquet")
    assert run_training(configure(f"data.corpus={tmp_path / 'moved.parquet'}"), tmp_path / "run") is None
    write_corpus(corpus, CAPTIONS[1:], LABELS[1:], CLASSNAMES)
    with pytest.raises(UserError, match=r"data\.fingerprint .*it was trained on .*corpus\.parquet, as it was then"):
        run_training(configure(), tmp_path / "run")


@pytest.mark.parametrize("section", ["data", "backbone"])
def test_a_given_fingerprint_is_insisted_on(section: str, configure: Configure, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=rf"{section}\.fingerprint is abc, but this {section}'s is"):
        run_training(configure(f"{section}.fingerprint=abc"), tmp_path / "run")


def test_the_untrained_control_writes_its_prompt_and_trains_nothing(
    configure: Configure, tmp_path: Path, tiny_rn_backbone: Backbone
) -> None:
    result = run_training(configure("epochs=0"), tmp_path / "run")
    assert result is not None
    assert result.steps == 0
    assert load_learner(tmp_path / "run", tiny_rn_backbone).name == "tai_dpt"
    assert not (tmp_path / "run" / "checkpoints").exists()


def test_zero_shot_writes_a_prompt_folder(configure: Configure, tmp_path: Path, tiny_rn_backbone: Backbone) -> None:
    assert run_training(configure(method="zero_shot"), tmp_path / "run") is not None
    assert load_learner(tmp_path / "run", tiny_rn_backbone).classnames == CLASSNAMES


def test_zero_shot_cannot_be_trained(configure: Configure, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"zero_shot learns from images, but .*corpus\.parquet holds captions"):
        run_training(configure("epochs=1", method="zero_shot"), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_template_sentences_join_the_corpus(configure: Configure) -> None:
    plain, joined = load_sentences(configure().data), load_sentences(configure("templates=true").data)
    assert joined.texts[: len(CAPTIONS)] == plain.texts == CAPTIONS
    assert "a photo of a traffic light." in joined.texts
    assert joined.labels[joined.texts.index("a photo of a traffic light.")] == [2]
    assert len(joined.groups) == len(plain.groups) == len(CAPTIONS)
    assert joined.fingerprint() != plain.fingerprint()


@pytest.mark.parametrize(("keep", "n_kept"), [("false", 2), ("true", 3)])
def test_captions_without_a_class_are_left_out_unless_wanted(
    keep: str, n_kept: int, configure: Configure, tmp_path: Path
) -> None:
    path = write_corpus(tmp_path / "some.parquet", ["a cat", "nothing", "a dog"], [[0], [], [1]], CLASSNAMES)
    found = load_sentences(configure(f"data.corpus={path}", f"keep_empty={keep}").data)
    assert len(found.texts) == len(found.labels) == len(found.groups) == n_kept


def test_validation_holds_out_captions_of_whole_images_and_no_templates(
    configure: Configure, corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    images = [str(i // 2) for i in range(len(CAPTIONS))]
    write_corpus(corpus, CAPTIONS, LABELS, CLASSNAMES, images)
    seen: dict[str, Any] = {}

    def record(learner: Any, data: Any, config: Any, **options: Any) -> Any:
        seen.update(data=data, validation=options["validation"])
        raise KeyboardInterrupt

    monkeypatch.setattr("clipprompt.training.run.train", record)
    config = configure("select=val_loss", "val_fraction=0.34", "templates=true")
    with pytest.raises(KeyboardInterrupt):
        run_training(config, tmp_path / "run")
    n_templates = len(load_sentences(config.data).texts) - len(CAPTIONS)
    assert len(seen["validation"]) == 4
    assert len(seen["data"]) == len(CAPTIONS) - 4 + n_templates


@pytest.mark.parametrize("select", ["val_loss", "val_map"])
def test_selection_by_validation_says_which_epoch_it_kept(select: str, configure: Configure, tmp_path: Path) -> None:
    said = list[str]()
    result = run_training(configure(f"select={select}", "val_fraction=0.4", "epochs=3"), tmp_path / "run", said.append)
    assert result is not None
    lines = read_metrics(tmp_path / "run" / "metrics.jsonl")
    scores = [line["val_map"] if select == "val_map" else -line["val_loss"] for line in lines]
    assert result.epoch == 1 + scores.index(max(scores))
    assert said[-1].startswith(f"Done: epoch {result.epoch},")


def test_a_full_disk_is_one_line_and_loses_nothing(
    configure: Configure, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tiny_rn_backbone: Backbone
) -> None:
    run_training(configure(), tmp_path / "whole")
    write, left = Path.write_bytes, [1]

    def full(path: Path, data: bytes) -> int:
        left[0] -= 1
        if left[0] < 0:
            raise OSError(28, "No space left on device")
        return write(path, data)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_bytes", full)
        with pytest.raises(
            UserError, match=r"No space left on device; the last checkpoint, .*last\.safetensors, is kept"
        ):
            run_training(configure(), tmp_path / "run")
    run_training(configure(), tmp_path / "run")
    one, other = (load_learner(tmp_path / name, tiny_rn_backbone) for name in ("whole", "run"))
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), other.parameters(), strict=True))


@pytest.mark.skipif(not hasattr(os, "posix_fallocate"), reason="space cannot be reserved on this system")
def test_a_disk_too_small_for_the_cache_is_told_before_encoding(
    configure: Configure, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(UserError, match=r"cannot write the feature cache .*: No space left on device"):
        run_training(configure("cache_memory_gb=0"), tmp_path / "run")


def test_a_checkpoint_that_was_damaged_is_named(configure: Configure, tmp_path: Path) -> None:
    run_training(configure(), tmp_path / "run")
    (tmp_path / "run" / "prompt.json").unlink()
    path = tmp_path / "run" / "checkpoints" / "last.safetensors"
    path.write_bytes(path.read_bytes()[:50])
    with pytest.raises(UserError, match=r"last\.safetensors is not a readable checkpoint; remove it"):
        run_training(configure(), tmp_path / "run")
    path.unlink()
    assert run_training(configure(), tmp_path / "run") is not None


def _foreign(path: Path) -> None:
    pq.write_table(pa.table({"a": [1]}), path)


CORPUS_MISTAKES: dict[str, tuple[Callable[[Path], Any], str]] = {
    "missing": (lambda path: None, "there is no corpus"),
    "foreign": (_foreign, "was not made by `clipprompt corpus build`"),
    "junk": (lambda path: path.write_bytes(b"PAR1junk"), "is not a readable Parquet file"),
    "folder": (lambda path: path.mkdir(), "is a folder"),
    "without labels": (
        lambda path: write_corpus(path, ["a", "b"], [[], []], CLASSNAMES),
        "none of its 2 captions names",
    ),
    "empty": (lambda path: write_corpus(path, [], [], CLASSNAMES), "none of its 0 captions names a class"),
    "foreign label": (lambda path: write_corpus(path, ["a"], [[7]], CLASSNAMES), "label 7 is no class"),
}


@pytest.mark.parametrize("mistake", CORPUS_MISTAKES)
def test_a_wrong_corpus_is_named_in_one_line(mistake: str, configure: Configure, tmp_path: Path) -> None:
    make, message = CORPUS_MISTAKES[mistake]
    path = tmp_path / "wrong.parquet"
    make(path)
    with pytest.raises(UserError) as error:
        run_training(configure(f"data.corpus={path}"), tmp_path / "run")
    assert message in str(error.value)
    assert str(path) in str(error.value)
    assert not (tmp_path / "run").exists()


def test_no_corpus_at_all_is_told(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no training data: give --dataset"):
        run_training(load_config("tai_dpt"), tmp_path / "run")


def test_metrics_are_json_lines(configure: Configure, tmp_path: Path) -> None:
    run_training(configure("log_steps=1"), tmp_path / "run")
    for line in (tmp_path / "run" / "metrics.jsonl").read_text(encoding="utf-8").splitlines():
        assert json.loads(line)["step"] > 0


@pytest.mark.parametrize("method", ["tai_dpt", "coop", "tip_adapter"])
def test_texts_on_a_tower_of_images_alone_are_refused_before_anything_is_read(method: str, tmp_path: Path) -> None:
    config = load_config(method, ["backbone.name=timm:vit_base_patch16_224.mae"])
    with pytest.raises(UserError, match=f"^{method} needs a text tower, and timm:vit_base_patch16_224.mae has images"):
        run_training(config, tmp_path / "run")
    assert not (tmp_path / "run").exists()
