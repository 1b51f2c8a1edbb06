from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from clipprompt.backbone import Backbone, load_backbone
from clipprompt.captions.corpus import Corpus, corpus_from_rows
from clipprompt.cli import main
from clipprompt.datasets.scenes import load_scenes
from clipprompt.inference.calibration import read_calibration
from clipprompt.learners import create_learner
from clipprompt.mini.captions import caption_split

NAMES = ["person", "dog", "car", "boat"]


@pytest.fixture(scope="module")
def backbone() -> Backbone:
    return load_backbone("mini", device="cpu")


@pytest.fixture(scope="module")
def corpus() -> Corpus:
    texts = [text for text, _ in caption_split("val", 600)]
    return corpus_from_rows([(str(number), None, text) for number, text in enumerate(texts)], NAMES)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, backbone: Backbone, corpus: Corpus) -> Path:
    """A corpus, prompts of the mini backbone, and pictures, of which one is broken."""
    place = tmp_path_factory.mktemp("made")
    corpus.save(place / "corpus.parquet")
    create_learner("tai_dpt", backbone, NAMES, n_ctx=2, ctx_init="a photo").save(place / "prompt")
    create_learner("zero_shot", backbone, NAMES, centre=True).save(place / "centred")
    (place / "pictures").mkdir()
    scenes = load_scenes("val", 40, classnames=NAMES)
    lines = ["path," + ",".join(NAMES)]
    for index in range(40):
        scenes[index].save(place / f"pictures/{index}.png")
        lines.append(f"{index}.png,{','.join(map(str, scenes.targets[index]))}")
    for name, codes in {"unknown": "-1 -1", "positive": "1 -1", "absent": "-1 0"}.items():
        one, zero = codes.split()
        rows = [line.split(",") for line in lines[1:]]
        kept = [",".join([row[0], *(one if value == "1" else zero for value in row[1:])]) for row in rows]
        (place / f"pictures/{name}.csv").write_text("\n".join([lines[0], *kept]) + "\n")
    (place / "pictures/mask.txt").write_text("0.png 0 1 2 5\n")
    (place / "pictures/3.png").write_bytes(b"\x89PNG\r\n not an image")
    (place / "pictures/labels.csv").write_text("\n".join(lines) + "\n")
    return place


@pytest.fixture
def folder(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of all that, as the working folder."""
    shutil.copytree(made, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")
    return tmp_path


def run(monkeypatch: pytest.MonkeyPatch, command: str) -> int | str | None:
    monkeypatch.setattr("sys.argv", ["clipprompt", "calibrate", *command.split()])
    with pytest.raises(SystemExit) as stop:
        main()
    return stop.value.code


Captured = pytest.CaptureFixture[str]


def test_a_prompt_is_calibrated_on_captions_alone(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    assert run(monkeypatch, "prompt --captions corpus.parquet") == 0
    printed = capsys.readouterr()
    found = read_calibration("prompt")
    assert found is not None
    assert [one.name for one in found.classes] == NAMES
    assert len(found.reference) == 80  # the four are among COCO's
    assert found.reference[:4] == tuple(NAMES)
    assert all(name in printed.out for name in [*NAMES, "any other class"])
    assert f"{found.threshold:.2f}" in printed.out
    assert "captions of corpus.parquet" in printed.err
    assert all((one.f1 or 0) > 0.5 for one in found.classes)


def test_a_prompt_is_calibrated_on_pictures_and_a_broken_one_is_named(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    assert run(monkeypatch, "prompt -d pictures/labels.csv") == 1
    found = read_calibration("prompt")
    assert found is not None
    assert (found.n_samples, found.source) == (39, "39 of 40 images of labels")
    assert "3.png" in capsys.readouterr().err


def test_unknown_labels_are_left_out(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    table = Path("pictures/labels.csv")
    rows = [line.split(",") for line in table.read_text().splitlines()]
    table.write_text("\n".join(",".join([*row[:-1], "-1" if number else row[-1]]) for number, row in enumerate(rows)))
    run(monkeypatch, "prompt -d pictures/labels.csv")
    found = read_calibration("prompt")
    assert found is not None
    assert (found.classes[-1].n_present, found.classes[-1].f1) == (0, None)
    assert found.classes[-1].threshold == pytest.approx(found.threshold)


def test_zero_shot_gets_a_folder_that_can_be_tagged_with(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert run(monkeypatch, "zero_shot --captions corpus.parquet --labels dog,boat -o new/zs") == 0
    found = read_calibration("new/zs")
    assert found is not None
    assert [one.name for one in found.classes] == ["dog", "boat"]
    assert json.loads(Path("new/zs/prompt.json").read_text())["classnames"] == ["dog", "boat"]


def test_calibrating_again_takes_the_place_of_the_first(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for labels in ("dog,boat", "car,person"):
        assert run(monkeypatch, f"zero_shot --captions corpus.parquet --labels {labels} -o zs") == 0
    found = read_calibration("zs")
    assert found is not None
    assert [one.name for one in found.classes] == ["car", "person"]


def test_class_specific_prompts_are_their_own_reference(
    folder: Path, monkeypatch: pytest.MonkeyPatch, backbone: Backbone
) -> None:
    create_learner("tai_dpt", backbone, NAMES, n_ctx=2, ctx_init="a photo", class_specific=True).save("specific")
    assert run(monkeypatch, "specific --captions corpus.parquet") == 0
    found = read_calibration("specific")
    assert found is not None
    assert found.reference == tuple(NAMES)


def test_class_specific_contexts_stay_with_their_classes(
    folder: Path, monkeypatch: pytest.MonkeyPatch, backbone: Backbone, capsys: Captured
) -> None:
    create_learner("tai_dpt", backbone, NAMES, n_ctx=2, class_specific=True).save("specific")
    assert run(monkeypatch, "specific --captions corpus.parquet") == 0
    expected = read_calibration("specific")
    texts = [text for text, _ in caption_split("val", 600)]
    rows = [(str(number), None, text) for number, text in enumerate(texts)]
    corpus_from_rows(rows, NAMES[::-1]).save(Path("turned.parquet"))
    assert run(monkeypatch, "specific --captions turned.parquet") == 0
    found = read_calibration("specific")
    assert found is not None
    assert expected is not None
    assert (found.classes, found.slope) == (expected.classes, expected.slope)
    assert run(monkeypatch, f"specific --captions corpus.parquet --labels {','.join(NAMES[::-1])}") == 2
    assert "leave out --labels" in capsys.readouterr().err


def trained(select: str) -> None:
    from clipprompt.config import load_config
    from clipprompt.training.run import run_training

    settings = [f"data.corpus={Path('corpus.parquet').absolute()}", "epochs=1", "n_ctx=2", "data.templates=false"]
    settings += [f"train.select={select}", "val_fraction=0.8", "lr=0.001", "batch_size=16"]
    run_training(load_config("tai_dpt", settings), "run")


def test_by_default_it_is_what_training_held_out(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    trained("val_map")
    monkeypatch.setattr("clipprompt.inference._caption_samples.MIN_UNSEEN", 10)
    assert run(monkeypatch, "run") == 0
    found = read_calibration("run")
    assert found is not None
    n_captions = len(corpus_ids())
    assert 0.7 * n_captions < found.n_samples < 0.85 * n_captions
    assert "training saw" not in capsys.readouterr().err


def corpus_ids() -> list[str]:
    from clipprompt.captions.corpus import load_corpus

    return list(load_corpus("corpus.parquet").caption_ids)


def test_captions_of_the_training_are_used_with_a_word_about_it(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    trained("last")
    assert run(monkeypatch, "run --captions corpus.parquet") == 0
    assert "training saw all of these captions" in capsys.readouterr().err


def learnt_from_pictures(select: str, *more: str, dataset: str = "mini:train") -> None:
    from clipprompt.config import load_config
    from clipprompt.training.run import run_training

    settings = [f"data.dataset={dataset}", "data.augment=null", "epochs=1", "n_ctx=2", "batch_size=16", *more]
    settings += [f"train.select={select}", "val_fraction=0.5", "lr=0.001", "class_specific=false"]
    run_training(load_config("dualcoop", settings), "run")


def test_a_run_is_calibrated_on_the_pictures_that_it_held_out_with_the_labels_that_it_knew(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    learnt_from_pictures("val_map", "data.n_images=60", "data.known=0.5")
    assert run(monkeypatch, "run --certainty 0.8 --reliability plots/r.svg") == 0
    found = read_calibration("run")
    assert found is not None
    assert found.source.startswith("30 of 30 images of mini:train, ")
    assert found.certainty == 0.8
    n_known = sum(one.n_present + (one.n_absent or 0) for one in found.classes)
    assert 0.4 * 30 * 20 < n_known < 0.6 * 30 * 20
    printed = capsys.readouterr().out
    shared = [one for one in found.classes if one.f1 is None]
    assert shared
    assert all(one.certain_from == found.certain_from and one.threshold == found.threshold for one in shared)
    rows = [line.split()[0] for line in printed.splitlines()[2:] if line.split()]
    assert not {one.name for one in shared} & {*rows}
    assert {one.name for one in found.classes if one.f1 is not None} <= {*rows}
    few = f"{len(shared)} other classes have too few known labels for cuts of their own: "
    assert f"{few}{', '.join(one.name for one in shared[:5])}" in " ".join(printed.split())
    assert max(map(len, printed.splitlines())) <= 80
    assert "30 of 30 images" in Path("plots/r.svg").read_text()


def test_a_run_that_held_no_pictures_out_says_so(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    learnt_from_pictures("last", "data.n_images=20")
    assert run(monkeypatch, "run") == 2
    assert "run held no pictures out of training; give --dataset DATA" in capsys.readouterr().err


def test_pictures_of_the_training_are_used_with_a_word_about_it(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    learnt_from_pictures("val_map", "data.n_images=20")
    assert run(monkeypatch, "run -d mini:train --samples 60") == 0
    assert "training saw 10 of these 500 pictures" in capsys.readouterr().err


def test_labels_that_have_changed_since_are_told(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    Path("pictures/3.png").unlink()
    table = Path("pictures/labels.csv")
    table.write_text("".join(line for line in table.read_text().splitlines(True) if not line.startswith("3.")))
    learnt_from_pictures("val_map", dataset=str(table.absolute()))
    table.write_text(table.read_text().replace("5.png,0", "5.png,1").replace("6.png,1", "6.png,0"))
    assert run(monkeypatch, "run") == 2
    assert "have changed since; give --dataset DATA\n" in capsys.readouterr().err


def test_a_run_that_knew_no_absent_label_says_what_to_give(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    learnt_from_pictures("val_loss", "data.n_images=20", "data.known=single-positive")
    assert run(monkeypatch, "run") == 2
    said = "of the pictures that run held out, no class is known to be absent, so there is nothing to calibrate on"
    assert f"{said}; give --dataset DATA\n" in capsys.readouterr().err


@pytest.mark.parametrize("form", ["lines", "mask", "alone"])
def test_a_file_says_which_labels_are_known(folder: Path, monkeypatch: pytest.MonkeyPatch, form: str) -> None:
    table = Path("pictures/labels.csv").read_text().splitlines()[1:]
    lines = []
    for line in table:
        name, *values = line.split(",")
        known = dict(list(zip(NAMES, values, strict=True))[: 1 + int(name[0]) % 4])
        present = [one for one, value in known.items() if value == "1"]
        lines.append({"path": name, "present": present, "absent": [one for one in known if one not in present]})
    Path("pictures/known.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    cells = [
        " ".join("1" if n in line["present"] else "-1" if n in line["absent"] else "0" for n in NAMES) for line in lines
    ]
    Path("known.txt").write_text("".join(f"{line['path']} {row}\n" for line, row in zip(lines, cells, strict=True)))
    data = {
        "lines": "-d pictures/labels.csv --label-file pictures/known.jsonl",
        "mask": "-d pictures/labels.csv --label-file known.txt:tai-dpt",
        "alone": "-d pictures/known.jsonl --images pictures",
    }[form]
    assert run(monkeypatch, f"prompt {data}") == 1
    found = read_calibration("prompt")
    assert found is not None
    counted = {one.name: (one.n_present, one.n_absent) for one in found.classes}
    read = [line for line in lines if line["path"] != "3.png"]
    assert counted == {
        name: (sum(name in line["present"] for line in read), sum(name in line["absent"] for line in read))
        for name in counted
    }


def test_captions_drawn_for_a_run_are_drawn_again(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from clipprompt.config import load_config
    from clipprompt.training.run import run_training

    settings = ["data.corpus=mini", "data.n_captions=120", "data.templates=false", "epochs=1", "n_ctx=2"]
    run_training(load_config("tai_dpt", [*settings, "train.select=val_map", "val_fraction=0.8"]), "run")
    assert run(monkeypatch, "run") == 0
    found = read_calibration("run")
    assert found is not None
    assert "captions of mini" in found.source


BAD = [
    ("prompt -d pictures/labels.csv --certainty 0.4", "certainty 0.4: the share of right answers lies between"),
    ("prompt -d pictures/labels.csv --certainty 1", "certainty 1: the share"),
    ("prompt -d pictures/labels.csv --certainty 90", "certainty 90: the share"),
    ("prompt -d pictures/labels.csv --certainty nan", "certainty nan: the share"),
    ("prompt -d pictures/labels.csv --reliability r.jpg", "cannot draw r.jpg"),
    ("prompt -d pictures/labels.csv --reliability pictures", "its ending must be one of png, pdf, svg"),
    ("prompt -d pictures/labels.csv --reliability corpus.parquet/r.png", "--reliability corpus.parquet/r.png: "),
    ("prompt -d pictures/labels.csv --label-file none.jsonl", "none.jsonl"),
    ("prompt -d pictures/labels.csv --label-file pictures/mask.txt", "mask.txt"),
    ("prompt -d pictures/labels.csv --label-file pictures/mask.txt:tai-dtp", "tai-dtp"),
    ("prompt -d pictures/labels.csv --label-file pictures/mask.txt:clipprompt", "mask.txt"),
    ("prompt --captions corpus.parquet --label-file pictures/mask.txt", "goes with --dataset DATA"),
    ("prompt --label-file pictures/mask.txt", "--label-file pictures/mask.txt goes with --dataset DATA"),
    ("prompt -d pictures/unknown.csv", "no label of its 40 pictures is known"),
    ("prompt -d pictures/positive.csv --samples 8", "no sample has a class that is known to be absent"),
    ("prompt -d pictures/absent.csv --samples 8", "no sample has a class that is known to be present"),
    ("nowhere --captions corpus.parquet", "there is no prompt folder 'nowhere'"),
    ("pictures --captions corpus.parquet", "pictures is not a prompt folder"),
    ("prompt", "prompt held no captions out of training"),
    ("prompt --captions corpus.parquet -d mini", "calibrate on one of them"),
    ("prompt --captions missing.parquet", "missing.parquet"),
    ("prompt --captions pictures/labels.csv", "labels.csv is not a readable Parquet file"),
    ("prompt --captions corpus.parquet --labels dog,zebra", "no labels for class 'zebra'"),
    ("prompt --captions corpus.parquet --labels nuswidth", "nuswidth"),
    ("prompt --captions corpus.parquet -o elsewhere", "-o elsewhere goes with zero_shot"),
    ("prompt --captions corpus.parquet --images pictures", "--images and --root go with --dataset"),
    ("prompt --captions corpus.parquet --backbone ViT-B-61", "ViT-B-16"),
    ("prompt -d pictures/none.csv", "none.csv"),
    ("prompt -d mini:tset", "test"),
    ("prompt -d pictures/labels.csv --labels dog,zebra", "zebra"),
    ("zero_shot --captions corpus.parquet", "-o FOLDER"),
    ("zero_shot -o new", "nothing to calibrate on"),
    ("zero_shot --captions corpus.parquet -o prompt", "prompt holds another prompt"),
    ("zero_shot --captions corpus.parquet -o corpus.parquet", "corpus.parquet is a file"),
    ("zero_shot --captions corpus.parquet -o pictures", "pictures is not a prompt folder"),
    ("zero_shot --captions corpus.parquet --device tpu9 -o new", "tpu9"),
    ("centred --captions corpus.parquet", "with centre=True"),
]


@pytest.mark.parametrize(("command", "named"), BAD, ids=[command for command, _ in BAD])
def test_a_mistake_is_one_line_and_loses_nothing(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: Captured, command: str, named: str
) -> None:
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    assert run(monkeypatch, command) == 2
    printed = capsys.readouterr()
    errors = [line for line in printed.err.splitlines() if line.startswith("clipprompt: ")]
    assert len(errors) == 1, printed.err
    assert named in errors[0]
    assert printed.out == ""
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before


def test_pictures_that_are_all_broken_are_refused(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    for path in Path("pictures").glob("*.png"):
        path.write_bytes(b"no picture")
    assert run(monkeypatch, "prompt -d pictures/labels.csv") == 2
    assert "none of its 40 images can be read" in capsys.readouterr().err
    assert not Path("prompt/calibration.json").exists()


def test_markup_in_a_class_name_is_shown_as_it_is(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    Path("pictures/some.csv").write_text(Path("pictures/labels.csv").read_text().replace("dog", "[red]dog", 1))
    run(monkeypatch, "prompt -d pictures/some.csv")
    assert "[red]dog" in capsys.readouterr().out


def test_help_imports_nothing_heavy() -> None:
    code = """
import sys
from typer.testing import CliRunner
from clipprompt.cli import app
assert CliRunner().invoke(app, ["calibrate", "--help"]).exit_code == 0
heavy = {"torch", "numpy", "pandas", "matplotlib", "PIL", "huggingface_hub"} & set(sys.modules)
assert not heavy, heavy
"""
    subprocess.run([sys.executable, "-c", code], check=True)
