from __future__ import annotations

import time
from pathlib import Path

import pytest
import yaml

from clipprompt.config import RunConfig, load_config, read_config
from clipprompt.errors import UserError
from clipprompt.training.run_folder import compared_settings, config_hash, open_run
from tests.training._worker import hold_folder, start_process

BASE = ["data.corpus=a.parquet", "data.fingerprint=d1"]


def config(*settings: str) -> RunConfig:
    return load_config("tai_dpt", [*BASE, *settings])


BEGUN = ["checkpoints/last.safetensors", "cache/features-1/rows.bin", "prompt.json"]


def begin(folder: Path, name: str = BEGUN[0]) -> None:
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    (folder / name).touch()


def claim(folder: Path, settings: RunConfig) -> None:
    with open_run(folder) as run:
        run.claim(settings)


def test_a_new_folder_gets_the_resolved_configuration(tmp_path: Path) -> None:
    claim(tmp_path / "a" / "b", config("lr=0.3"))
    assert read_config(tmp_path / "a" / "b" / "config.yaml") == config("lr=0.3")


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("lr=0.3", "train.lr is 0.0001 there and 0.3 here"),
        ("seed=2", "train.seed is 1 there and 2 here"),
        ("n_ctx=4", "learner.n_ctx is 16 there and 4 here"),
        ("backbone.name=RN50", "backbone.name is 'mini' there and 'RN50' here"),
        ("data.fingerprint=d2", "it was trained on a.parquet, as it was then"),
    ],
)
def test_another_configuration_is_refused_by_its_first_key(setting: str, message: str, tmp_path: Path) -> None:
    claim(tmp_path, config())
    begin(tmp_path)
    with pytest.raises(UserError, match="holds another run") as error:
        claim(tmp_path, config(setting))
    assert message in str(error.value)
    assert "choose another folder with -o" in str(error.value)
    assert read_config(tmp_path / "config.yaml") == config()


@pytest.mark.parametrize("name", BEGUN)
def test_what_was_begun_is_not_taken_over(name: str, tmp_path: Path) -> None:
    claim(tmp_path, config())
    begin(tmp_path, name)
    with pytest.raises(UserError, match="holds another run"):
        claim(tmp_path, config("lr=0.3"))


def test_a_run_that_was_refused_before_it_began_leaves_its_folder_to_the_next(tmp_path: Path) -> None:
    claim(tmp_path, config("lr=0.3"))
    claim(tmp_path, config())
    assert read_config(tmp_path / "config.yaml") == config()


@pytest.mark.parametrize("setting", ["data.corpus=moved.parquet", "checkpoint_steps=3", "log_steps=1", "data.cache=x"])
def test_what_changes_no_number_may_change(setting: str, tmp_path: Path) -> None:
    claim(tmp_path, config())
    begin(tmp_path)
    claim(tmp_path, config(setting))
    assert config_hash(config()) == config_hash(config(setting))


def test_a_fingerprint_that_is_not_known_yet_is_no_difference(tmp_path: Path) -> None:
    claim(tmp_path, config("backbone.fingerprint=b1"))
    begin(tmp_path)
    claim(tmp_path, config())
    assert config_hash(config()) != config_hash(config("backbone.fingerprint=b1"))


def test_a_folder_that_is_not_ours_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("precious")
    with pytest.raises(UserError, match="is not empty and not a run folder"), open_run(tmp_path):
        pass
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


def test_what_a_kill_left_before_the_configuration_is_no_obstacle(tmp_path: Path) -> None:
    (tmp_path / ".config.yaml.abc.part").write_text("meth")
    claim(tmp_path, config())
    assert read_config(tmp_path / "config.yaml") == config()


@pytest.mark.parametrize("content", ["", "method: 3", "method: nothing_known", "{", "train: {lr: 0}"])
def test_a_damaged_configuration_is_named(content: str, tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text(content)
    with pytest.raises(UserError):
        claim(tmp_path, config())


def test_a_run_from_before_a_setting_existed_is_the_same_run(tmp_path: Path) -> None:
    settings = compared_settings(config())
    assert not {"train.optimizer", "train.cosine", "data.share", "data.with_val"} & set(settings)
    assert "train.optimizer" in compared_settings(config("train.optimizer=adamw"))
    claim(tmp_path, config())
    written = yaml.safe_load((tmp_path / "config.yaml").read_text())
    for section, key in (("train", "optimizer"), ("train", "cosine"), ("data", "share"), ("data", "with_val")):
        del written[section][key]
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(written))
    (tmp_path / "cache").mkdir()  # begun
    claim(tmp_path, config())
    with pytest.raises(UserError, match=r"holds another run: train\.optimizer is 'sgd' there and 'adamw' here"):
        claim(tmp_path, config("train.optimizer=adamw"))


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"cannot use .*file.run as a run folder"), open_run(tmp_path / "file" / "run"):
        pass


def test_a_folder_in_use_is_refused_and_free_again_after_a_kill(tmp_path: Path) -> None:
    process = start_process(hold_folder, str(tmp_path))
    while not (tmp_path / "held").exists():
        assert process.is_alive()
        time.sleep(0.01)
    (tmp_path / "held").unlink()
    with pytest.raises(UserError, match="is in use by another running process"), open_run(tmp_path):
        pass
    process.kill()
    process.join()
    claim(tmp_path, config())


def test_the_log_has_a_time_on_every_line(tmp_path: Path) -> None:
    with open_run(tmp_path) as run:
        run.log("first")
        run.log("second")
    lines = (tmp_path / "log.txt").read_text(encoding="utf-8").splitlines()
    assert [line.split(" ", 1)[1] for line in lines] == ["first", "second"]
    assert all(line[:4].isdigit() for line in lines)
