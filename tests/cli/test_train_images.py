from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from clipprompt.cli.train import _absolute, _dataset, _in_full, default_folder
from clipprompt.config import load_config, read_config
from tests.cli.test_train import run
from tests.datasets.classification.miniatures import make_miniature
from tests.training._worker import write_backbone, write_corpus, write_photos

SMALL = ["n_ctx=2", "epochs=2", "batch_size=4", "device=cpu"]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Photos, a corpus and a tiny backbone, as files."""
    folder = tmp_path_factory.mktemp("world")
    write_photos(folder / "photos", ["cat", "red_bus"])
    write_corpus(folder / "corpus.parquet", ["a cat", "a bus"], [[0], [1]], ["cat", "red_bus"])
    write_backbone(folder / "tiny", "vit")
    (folder / "empty").mkdir()
    (folder / "flat").mkdir()
    Image.new("RGB", (8, 8)).save(folder / "flat" / "a.jpg")
    return folder


def command(world: Path, *more: str, method: str = "coop", dataset: str = "photos") -> list[str]:
    return ["train", method, "--dataset", str(world / dataset), "--backbone", str(world / "tiny"), *SMALL, *more]


def test_a_folder_of_photos_is_trained_on_and_its_prompt_is_used(world: Path, tmp_path: Path) -> None:
    code, out, err = run(*command(world, "-o", str(tmp_path / "run"), "train.views=2"))
    assert (code, out) == (0, f"{tmp_path / 'run'}\n")
    assert "coop: 8 pictures of photos, 2 random views of each, encoded once; 2 classes, 2 epochs" in err
    photos, prompt = str(world / "photos"), str(tmp_path / "run")
    code, out, err = run("eval", "multilabel", "-d", photos, "-p", prompt, "-f", "json", "--no-cache")
    assert code == 0, err
    training = [record["training"] for record in json.loads(out)]
    assert training[:-1] == [None] * (len(training) - 1)  # zero-shot rows
    assert (training[-1]["views"], training[-1]["augment"], training[-1]["data"]) == (2, "crop_flip", photos)
    code, out, _ = run("tag", str(world / "photos" / "cat" / "0.jpg"), "--prompts", prompt, "--format", "csv")
    assert code == 0
    assert "0.jpg" in out


def test_a_picture_that_cannot_be_read_is_named_once_and_the_exit_code_is_1(world: Path, tmp_path: Path) -> None:
    photos = write_photos(tmp_path / "photos", ["cat", "dog"])
    (photos / "cat" / "2.jpg").write_bytes(b"no picture")
    tiny = ["--backbone", str(world / "tiny")]
    code, out, err = run("train", "coop", "-d", str(photos), *tiny, *SMALL, "-o", str(tmp_path / "run"))
    assert (code, out) == (1, f"{tmp_path / 'run'}\n")
    assert err.count("2.jpg") == 1
    assert (tmp_path / "run" / "prompt.safetensors").is_file()


def test_flags_reach_the_configuration_and_paths_are_kept_in_full(
    world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(world)
    more = ["--select", "val", "--skip-missing", "-o", str(tmp_path / "run"), "val_fraction=0.25"]
    assert run("train", "coop", "-d", "photos", "--backbone", str(world / "tiny"), *SMALL, *more)[0] == 0
    config = read_config(tmp_path / "run" / "config.yaml")
    assert (config.data.dataset, config.data.skip_missing) == (str(world / "photos"), True)
    assert config.train.select == "val"


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("mini:val", "mini:val"),
        ("voc2007:train", "voc2007:train"),
        ("photos", "{}/photos"),
        ("photos:train", "{}/photos:train"),
        ("folder:photos", "folder:{}/photos"),
        ("corpus.parquet", "{}/corpus.parquet"),
        ("absent.parquet", "{}/absent.parquet"),
    ],
)
def test_paths_are_made_absolute_and_names_are_not(
    given: str, kept: str, world: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(world)
    assert _absolute(given) == kept.format(world)


@pytest.mark.parametrize("key", ["labels", "validation"])
def test_files_that_settings_name_are_kept_in_full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, key: str) -> None:
    monkeypatch.chdir(tmp_path)
    Path("a.txt").touch()
    of = {given: _in_full(load_config("dualcoop", [f"data.{key}={given}"])).data for given in ("a.txt:tai-dpt", "mini")}
    assert getattr(of["a.txt:tai-dpt"], key) == f"{tmp_path}/a.txt:tai-dpt"
    assert getattr(of["mini"], key) == "mini"


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("mini", "mini"),
        ("mini:test", "mini:test"),
        ("VOC2007", "VOC2007"),
        ("./mini", "{}/mini"),
        ("voc2007/VOCdevkit", "{}/voc2007/VOCdevkit"),
    ],
)
def test_a_folder_does_not_hide_the_named_set_of_its_name(
    given: str, kept: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("mini", "mini:test", "VOC2007", "voc2007/VOCdevkit"):
        (tmp_path / name).mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    assert _dataset("coop", given, None) == [f'data.dataset="{kept.format(tmp_path)}"']


@pytest.mark.parametrize(
    ("dataset", "name"),
    [
        ("mini:val", "mini_val"),
        ("mini", "mini"),
        ("/x/photos:train", "photos_train"),
        ("/x/labels.csv", "labels"),
        ("coco:/x/instances.json", "coco_instances"),
    ],
)
def test_the_default_folder_names_the_images(dataset: str, name: str) -> None:
    config = load_config("coop", [f"data.dataset={dataset}", "seed=3"])
    assert default_folder(config) == Path(f"runs/coop-{name}-mini-seed3")


@pytest.mark.parametrize("method", ["zero_shot", "coop"])
def test_untrained_prompts_may_take_their_classes_from_a_corpus(method: str, world: Path, tmp_path: Path) -> None:
    settings = ["epochs=0", "device=cpu", "--backbone", str(world / "tiny"), "-o", str(tmp_path / "run")]
    code, _, err = run("train", method, "--dataset", str(world / "corpus.parquet"), *settings)
    assert code == 0, err
    assert json.loads((tmp_path / "run" / "prompt.json").read_text())["classnames"] == ["cat", "red_bus"]


MISTAKES = {
    "corpus for coop": (["-d", "corpus.parquet"], "coop learns from images, but"),
    "no data": ([], "no training data: give --dataset"),
    "missing folder": (["-d", "absent/photos"], "the image folder absent/photos does not exist"),
    "a file for a folder": (["-d", "tiny/open_clip_model.safetensors"], "is a file, not a folder"),
    "no sub-folder": (["-d", "flat"], "flat holds no sub-folder; give a folder with one sub-folder of pictures per"),
    "empty": (["-d", "empty"], "empty holds no sub-folder"),
    "unknown name": (["-d", "vco2007"], "unknown dataset 'vco2007' (did you mean 'voc2007'?)"),
    "root without named set": (["-d", "photos", "--root", "."], "has no use with"),
    "wrong selection": (["-d", "photos", "--select", "best"], "train.select is 'best', but it should be 'last', 'val'"),
    "size no multiple": (["-d", "photos", "image_size=50"], "image size 50 is not a multiple of 16"),
    "images and corpus": (["-d", "photos", "data.corpus=x.parquet"], "coop learns from images, but x.parquet holds"),
    "no split": (["-d", "photos:val"], "photos has no split 'val': its sub-folders are classes; leave out :val"),
    "test split": (["-d", "mini:test"], "'mini:test' is a test split"),
    "wrong augmentation": (["-d", "photos", "augment=crop"], "data.augment is 'crop', but it should be 'crop_flip'"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_one_line_and_exit_code_2(
    mistake: str, world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(world)
    arguments, message = MISTAKES[mistake]
    output = tmp_path / "run"
    code, out, err = run("train", "coop", "--backbone", "tiny", *SMALL, *arguments, "-o", str(output))
    assert (code, out) == (2, "")
    assert message in err
    assert "\n" not in err
    assert not list(output.glob("prompt.*"))


BOTH_MISTAKES = {
    "two corpora": (["-d", "x.parquet", "--captions", "mini"], "--dataset x.parquet and --captions mini are both"),
    "no corpus": (["-d", "photos", "--captions", "photos"], "photos is no corpus: give --dataset corpus.parquet"),
    "missing corpus": (["-d", "photos", "--captions", "x.parquet"], "there is no corpus"),
    "captions alone": (["--captions", "mini", "known=0.1"], "data.known=0.1 is of pictures, and tai_dpt is given"),
    "other classes": (
        ["-d", "photos", "--captions", "mini", "n_captions=50"],
        "is in the dataset and not in the corpus",
    ),
    "no pictures": (["-d", "absent/photos"], "absent/photos does not exist"),
}


@pytest.mark.parametrize("mistake", BOTH_MISTAKES)
def test_a_mistake_with_captions_and_images_is_one_line(
    mistake: str, world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(world)
    arguments, message = BOTH_MISTAKES[mistake]
    code, _, err = run("train", "tai_dpt", *arguments, "-o", str(tmp_path / "run"))
    assert (code, "\n" in err) == (2, False)
    assert message in err


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="no file size limit there")
def test_a_disk_that_fills_up_while_views_are_encoded_is_one_line_and_the_run_goes_on_later(
    world: Path, tmp_path: Path
) -> None:
    # 8 pictures of 20 views of 64 float16 are 20 kB.
    arguments = command(world, "train.views=20", "train.epochs=20", "-o", "run")
    limit = "import resource, runpy; resource.setrlimit(resource.RLIMIT_FSIZE, (12000, 12000));"
    script = f"{limit} import sys; sys.argv[1:] = {arguments!r}; runpy.run_module('clipprompt', run_name='__main__')"
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2]), "OMP_NUM_THREADS": "1"}
    full = subprocess.run(
        [sys.executable, "-c", script], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert full.returncode == 2
    assert "cannot write the feature cache" in full.stderr.splitlines()[-1]
    assert "Traceback" not in full.stderr
    assert run(*command(world, "train.views=20", "train.epochs=20", "-o", str(tmp_path / "run")))[0] == 0
    assert not (tmp_path / "run" / "cache").exists()


def test_few_shots_of_half_a_named_set_are_learnt_and_its_other_half_is_told_apart(world: Path, tmp_path: Path) -> None:
    make_miniature("caltech101", tmp_path)
    data = ["--dataset", "caltech101", "--root", str(tmp_path)]
    tiny = ["--backbone", str(world / "tiny"), *SMALL, "--seed", "2"]
    draw = ["shots=4", "subset=base", "--select", "val"]
    code, _, err = run("train", "coop", *data, *tiny, *draw, "-o", str(tmp_path / "run"))
    assert code == 0, err
    assert "caltech101: drew 8 pictures of 2 classes, 4 of each class by seed 2; draw " in err
    assert json.loads((tmp_path / "run" / "prompt.json").read_text())["classnames"] == ["face", "leopard"]
    prompt = ["--prompts", str(tmp_path / "run"), "-f", "json", "--no-cache"]
    code, out, err = run("eval", "multilabel", "-d", "caltech101:test", *data[2:], *prompt)
    assert code == 0, err
    assert json.loads(out)[-1]["dataset_options"]["split_source"].startswith("split_zhou_Caltech101.json")
