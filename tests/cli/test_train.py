from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from typer.testing import CliRunner

from clipprompt.cli import app
from clipprompt.cli.train import FLAGS, default_folder
from clipprompt.config import RunConfig, describe_config, load_config, read_config
from clipprompt.errors import UserError
from tests.training._worker import write_backbone, write_corpus
from tests.training.conftest import CAPTIONS, CLASSNAMES, LABELS

SMALL = ["n_ctx=2", "epochs=2", "batch_size=4", "templates=false"]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A corpus and a tiny backbone, as files."""
    folder = tmp_path_factory.mktemp("world")
    write_corpus(folder / "corpus.parquet", CAPTIONS, LABELS, CLASSNAMES)
    write_backbone(folder / "tiny")
    return folder


def command(world: Path, *more: str) -> list[str]:
    tiny = ["--backbone", str(world / "tiny"), "--device", "cpu"]
    return ["train", "tai_dpt", "--dataset", str(world / "corpus.parquet"), *tiny, *SMALL, *more]


def run(*arguments: str) -> tuple[int, str, str]:
    result = CliRunner().invoke(app, list(arguments))
    if isinstance(result.exception, UserError):
        return 2, result.stdout, str(result.exception)
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result.exit_code, result.stdout, result.stderr


def test_a_run_prints_its_folder_and_nothing_else_on_stdout(world: Path, tmp_path: Path) -> None:
    code, out, err = run(*command(world, "-o", str(tmp_path / "run")))
    assert (code, out) == (0, f"{tmp_path / 'run'}\n")
    assert "Done: epoch 2" in err
    code, out, err = run(*command(world, "-o", str(tmp_path / "run")))
    assert (code, out) == (0, f"{tmp_path / 'run'}\n")
    assert "is complete; nothing to do" in err


def test_flags_and_settings_reach_the_configuration(world: Path, tmp_path: Path) -> None:
    run(*command(world, "-o", str(tmp_path / "run"), "--seed", "7", "train.lr=0.5"))
    config = read_config(tmp_path / "run" / "config.yaml")
    assert config.backbone.name == str(world / "tiny")
    assert (config.train.seed, config.train.lr, config.backbone.device) == (7, 0.5, "cpu")
    assert config.data.corpus == str(world / "corpus.parquet")


def test_a_file_of_settings_lies_below_the_command_line(world: Path, tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text("train: {seed: 4, lr: 0.2}\n")
    run(*command(world, "-o", str(tmp_path / "run"), "-c", str(tmp_path / "mine.yaml"), "lr=0.4"))
    train = read_config(tmp_path / "run" / "config.yaml").train
    assert (train.seed, train.lr, train.epochs) == (4, 0.4, 2)


def test_resume_takes_the_folders_own_settings(world: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    run(*command(world, "-o", str(folder), "lr=0.3"))
    before = (folder / "prompt.safetensors").read_bytes()
    (folder / "prompt.safetensors").unlink()
    code, _, err = run("train", "tai_dpt", "-o", str(folder), "--resume")
    assert (code, "Going on with" in err) == (0, True)
    assert (folder / "prompt.safetensors").read_bytes() == before


@pytest.mark.parametrize("flag", FLAGS)
def test_a_flags_help_is_its_fields_description(flag: str) -> None:
    key, text = FLAGS[flag]
    section, name = key.split(".")
    model = RunConfig.model_fields[section].annotation
    assert model is not None
    assert model.model_fields[name].description == text


def test_keys_lists_every_key_with_value_and_meaning() -> None:
    code, out, _ = run("train", "tai_dpt", "--keys")
    assert code == 0
    assert out.count("\n") == len(describe_config("tai_dpt"))
    assert "train.lr=0.0001  # learning rate" in out
    assert "backbone.pretrained=none  # " in out


def test_the_default_folder_names_method_corpus_backbone_and_seed() -> None:
    config = load_config("tai_dpt", ["data.corpus=/x/coco.parquet", "backbone.name=hf-hub:org/clip", "seed=3"])
    assert default_folder(config) == Path("runs/tai_dpt-coco-org_clip-seed3")


@pytest.mark.parametrize(
    ("settings", "name"),
    [
        (["data.corpus=/x/coco.parquet", "data.dataset=coco2014"], "coco2014+coco"),
        (["data.corpus=mini", "data.dataset=mini:train", "known=0.1"], "mini_train+mini-known0.1"),
        (["data.dataset=voc2007", "known=single-positive", "shots=4"], "voc2007-4shots-single-positive"),
    ],
)
def test_the_default_folder_names_both_sources_and_the_known_labels(settings: list[str], name: str) -> None:
    assert default_folder(load_config("tai_dpt", settings)) == Path(f"runs/tai_dpt-{name}-mini-seed1")


@pytest.mark.parametrize(
    ("method", "given", "expected"),
    [
        ("tai_dpt", ["x.parquet"], {"corpus": "{}/x.parquet", "dataset": None}),
        ("tai_dpt", ["mini", "--captions", "mini"], {"corpus": "mini", "dataset": "mini"}),
        ("tai_dpt", ["photos"], {"corpus": None, "dataset": "{}/photos"}),
        ("tai_dpt", ["captions.txt"], {"corpus": "{}/captions.txt", "dataset": None}),
        ("caption_dual", ["voc2007", "--captions", "x.parquet"], {"corpus": "{}/x.parquet", "dataset": "voc2007"}),
        ("coop", ["table.csv"], {"corpus": None, "dataset": "{}/table.csv"}),
    ],
)
def test_data_are_captions_or_images_by_what_they_are(
    method: str, given: list[str], expected: dict[str, str | None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = list[Any]()
    monkeypatch.setattr("clipprompt.cli.train._run", lambda config, folder: seen.append(config.data))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "photos").mkdir()
    for name in ("x.parquet", "captions.txt", "table.csv"):
        (tmp_path / name).touch()
    assert CliRunner().invoke(app, ["train", method, "-d", *given, "-o", "run"]).exit_code == 0
    for key, value in expected.items():
        assert getattr(seen[0], key) == (value and value.format(tmp_path))


OUT = ["-o", "run"]
MISTAKES = {
    "unknown method": (["train", "taidpt", *OUT], "unknown method 'taidpt' (did you mean 'tai_dpt'?)"),
    "no corpus": (["train", "tai_dpt", *OUT], "no training data: give --dataset"),
    "no corpus and no folder": (["train", "tai_dpt"], "no training data: give --dataset"),
    "missing corpus": (["train", "tai_dpt", "-d", "absent.parquet", *OUT], "there is no corpus"),
    "unknown key": (["epoch=3", *OUT], "unknown key 'epoch' (did you mean 'epochs'?)"),
    "wrong type": (["epochs=many", *OUT], "train.epochs is 'many', but it should be a valid integer"),
    "no value": (["epochs", *OUT], "setting 'epochs' is not of the form key=value"),
    "no batch": (["batch_size=0", *OUT], "train.batch_size is 0"),
    "negative rate": (["lr=-0.1", *OUT], "train.lr is -0.1, but it should be greater than 0"),
    "wrong seed": (["--seed", "x", *OUT], "train.seed is 'x', but it should be a valid integer"),
    "unknown device": (["--device", "gpu", *OUT], "backbone.device is 'gpu', but it should be auto, cpu"),
    "absent device": (["--device", "cuda:99", *OUT], "device 'cuda:99' is not there"),
    "fp16 on a CPU": (["precision=fp16", *OUT], "fp16 does not work on a CPU"),
    "unknown backbone": (["--backbone", "RN5O", *OUT], "there is no backbone 'RN5O' (did you mean 'RN50"),
    "unwritable folder": (["-o", "file/run"], "cannot use file/run as a run folder"),
    "foreign folder": (["-o", "full"], "is not empty and not a run folder"),
    "missing file": (["-c", "absent.yaml", *OUT], "cannot read absent.yaml"),
    "missing templates": (["templates=absent.yaml", *OUT], "cannot read absent.yaml"),
    "resume nothing": (["train", "tai_dpt", "--resume", *OUT], "nothing to resume: run is not a run folder"),
    "resume nowhere": (["train", "tai_dpt", "--resume"], "--resume needs the run folder"),
    "resume with a file": (["train", "tai_dpt", "--resume", "-c", "x.yaml", *OUT], "leave out -c x.yaml"),
    "no room for the name": (["n_ctx=75", *OUT], "n_ctx 75 is too large"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_one_line_and_exit_code_2(
    mistake: str, world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_text("")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.tex").write_text("precious")
    arguments, message = MISTAKES[mistake]
    code, out, err = run(*(arguments if arguments[0] == "train" else command(world, *arguments)))
    assert (code, out) == (2, "")
    assert message in err
    assert "\n" not in err
    assert not list(tmp_path.glob("**/prompt.*"))


def start(arguments: list[str], cwd: Path) -> subprocess.Popen[str]:
    root = str(Path(__file__).parents[2])
    environment = {**os.environ, "PYTHONPATH": root, "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        [sys.executable, "-m", "clipprompt", *arguments],
        cwd=cwd,
        env=environment,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.slow
@pytest.mark.parametrize(("signum", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130), (signal.SIGKILL, -9)])
def test_the_command_survives_its_own_end(signum: int, code: int, world: Path, tmp_path: Path) -> None:
    arguments = command(world, "epochs=60", "checkpoint_steps=7", "-o")
    process = start([*arguments, "run"], tmp_path)
    while not (tmp_path / "run" / "checkpoints" / "last.safetensors").exists():
        assert process.poll() is None
        time.sleep(0.01)
    process.send_signal(signum)
    _, err = process.communicate(timeout=120)
    assert process.returncode == code
    assert "Traceback" not in err
    if signum != signal.SIGKILL:
        assert "the same command goes on with run" in err.splitlines()[-1]
    for folder in ("run", "whole"):
        process = start([*arguments, folder], tmp_path)
        _, err = process.communicate(timeout=300)
        assert (process.returncode, "Going on with" in err) == (0, folder == "run")
    one, other = (load_file(tmp_path / folder / "prompt.safetensors") for folder in ("run", "whole"))
    assert all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="no file size limit there")
def test_a_disk_that_fills_up_is_one_line_and_the_run_goes_on_later(world: Path, tmp_path: Path) -> None:
    arguments = command(world, "epochs=60", "log_steps=1", "-o", "run")
    limit = "import resource, runpy; resource.setrlimit(resource.RLIMIT_FSIZE, (8000, 8000));"
    script = f"{limit} import sys; sys.argv[1:] = {arguments!r}; runpy.run_module('clipprompt', run_name='__main__')"
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2]), "OMP_NUM_THREADS": "1"}
    full = subprocess.run(
        [sys.executable, "-c", script], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert full.returncode == 2
    assert "File too large; the last checkpoint is kept" in full.stderr.splitlines()[-1]
    assert "Traceback" not in full.stderr
    process = start(arguments, tmp_path)
    _, err = process.communicate(timeout=300)
    assert (process.returncode, "Going on with" in err) == (0, True)
