from __future__ import annotations

import csv
import io
import json
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from click.testing import Result
from PIL import Image
from typer.testing import CliRunner

from clipprompt.backbone import load_backbone
from clipprompt.cli import app, main
from clipprompt.config import dump_config, load_config
from clipprompt.datasets.scenes import load_scenes
from clipprompt.evaluation.metrics import average_precision
from clipprompt.evaluation.normalise import min_max
from clipprompt.evaluation.records import read_records
from clipprompt.evaluation.scores import read_scores
from clipprompt.evaluation.scoring import score_images
from clipprompt.learners import create_learner, load_learner
from clipprompt.reports.protocols.gather import gather_records

TESTED = load_scenes("test", 24)
ALL = TESTED.classnames


def save(folder: Path, method: str, names: tuple[str, ...], backbone: str = "mini", **options: object) -> None:
    create_learner(method, load_backbone(backbone, device="cpu"), names, **options).save(folder)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Prompts that somebody might have learnt: from captions, from pictures, for each class, on another CLIP."""
    place = tmp_path_factory.mktemp("prompts")
    save(place / "captions", "tai_dpt", ALL, n_ctx=2, ctx_init="a photo")
    save(place / "pictures", "dualcoop", ALL, ctx_init_pos="a photo of a", ctx_init_neg="nothing like a")
    save(place / "vit", "zero_shot", ALL, "mini-vit")
    save(place / "few", "tai_dpt", ALL[:5], n_ctx=2, class_specific=True)
    save(place / "other", "tai_dpt", ("rain", "snow"), n_ctx=2, class_specific=True)
    settings = ["data.dataset=mini:train", "data.n_images=60", "train.select=val_map", "train.val_fraction=0.5"]
    (place / "pictures" / "config.yaml").write_text(dump_config(load_config("dualcoop", settings)))
    (place / "empty").mkdir()
    (place / "link").symlink_to("captions", target_is_directory=True)
    (place / "unlabelled").mkdir()
    for number in range(3):
        Image.new("RGB", (40, 40), (80 * number, 0, 0)).save(place / f"unlabelled/{number}.png")
    (place / "ones.csv").write_text("path,dog,cat\nunlabelled/0.png,1,-1\nunlabelled/1.png,-1,1\n")
    (place / "table.csv").write_text("path,dog,cat\nunlabelled/0.png,1,0\nunlabelled/1.png,0,1\nunlabelled/2.png,0,1\n")
    return place


@pytest.fixture
def folder(made: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """The prompts as the working folder; what is written goes to another."""
    monkeypatch.chdir(made)
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("OUT", str(tmp_path))
    return tmp_path


def run(arguments: str) -> Result:
    return CliRunner().invoke(app, ["ensemble", *arguments.split(), "--device", "cpu", "--scenes", "24"])


@cache
def scores(name: str, split: str = "test") -> np.ndarray:
    learner = load_learner(name, None, ALL)
    (found,) = score_images({"": learner}, load_scenes(split, 24), own_branch=True).by_key[""].values()
    return found


def mean(matrix: np.ndarray) -> float:
    return average_precision(matrix, TESTED.targets).mean


def test_held_out_pictures_choose_and_the_table_shows_all(folder: Path) -> None:
    result = run(f"captions pictures -d mini:test -o {folder}/e.jsonl")
    assert result.exit_code == 0, result.output
    records = read_records(folder / "e.jsonl")
    assert [record["row"] for record in records] == ["TaI-DPT", "dualcoop (local)", "ensemble: tai_dpt + dualcoop"]
    lines = result.stdout.splitlines()
    for record, line in zip(records, lines[4:7], strict=True):
        assert line.startswith(f"{record['row']} ")
        assert f" {100 * record['mean_average_precision']:.1f} " in line
    assert max(map(len, lines)) <= 80
    together = records[-1]
    shown = ", ".join(
        f"{weight:.3g} {name}" for weight, name in zip(together["weights"], together["members"], strict=True)
    )
    assert together["weights_by"] == "best mAP on what pictures held out (30 pictures, 18 classes)"
    assert f"weights {shown}: {together['weights_by']}\n" in result.stderr
    assert "inductive" in result.stderr
    assert together["transductive"] is False
    assert together["branch"] == "ensemble"
    assert together["sources"] == ["captions", "pictures"]


def test_given_weights_are_those_of_saved_scores(folder: Path) -> None:
    result = run(f"captions pictures -d mini:test --weights 0.1 0.9 -f json --save-predictions {folder}/e.npz")
    assert result.exit_code == 0, result.output
    *members, together = json.loads(result.stdout)
    one, other = scores("captions"), scores("pictures")
    expected = 0.1 * min_max(one) + 0.9 * min_max(other)
    assert [record["mean_average_precision"] for record in members] == pytest.approx([mean(one), mean(other)], abs=1e-6)
    assert together["mean_average_precision"] == pytest.approx(mean(expected), abs=1e-6)
    assert together["row"] == "ensemble: 0.1 tai_dpt + 0.9 dualcoop"
    assert (together["weights_by"], together["transductive"]) == ("given", True)
    np.testing.assert_allclose(read_scores(folder / "e.npz").by_branch["merged"], expected, atol=1e-6)


def test_weights_with_commas_between_them_are_relative(folder: Path) -> None:
    result = run("captions pictures -d mini:test -f json --weights 1,3")
    assert json.loads(result.stdout)[-1]["weights"] == [0.25, 0.75]


def test_scores_are_scaled_by_the_validation_pictures(folder: Path) -> None:
    result = run(
        f"captions pictures -d mini:test --validation mini:val --weights 1,1 -f json --save-predictions {folder}/e.npz"
    )
    assert result.exit_code == 0, result.output
    expected = np.zeros(TESTED.targets.shape)
    for name in ("captions", "pictures"):
        known, tested = scores(name, "val"), scores(name)
        expected += 0.5 * (tested - known.min()) / (known.max() - known.min())
    np.testing.assert_allclose(read_scores(folder / "e.npz").by_branch["merged"], expected, atol=1e-5)


def test_prompts_of_two_backbones_each_have_their_own(folder: Path) -> None:
    result = run("captions vit pictures -d mini:test --validation mini:val -f json")
    assert result.exit_code == 0, result.output
    *members, together = json.loads(result.stdout)
    assert [record["backbone"] for record in members] == ["mini", "mini-vit", "mini"]
    assert together["backbone"] == "mini+mini-vit"
    assert [record["mean_average_precision"] for record in members] == pytest.approx(
        [mean(scores(name)) for name in ("captions", "vit", "pictures")], abs=1e-6
    )


def test_members_keep_the_contexts_of_their_classes(folder: Path) -> None:
    result = run(f"few captions -d mini:test --classes {ALL[3]},{ALL[1]} --validation mini:val -f json")
    assert result.exit_code == 0, result.output
    record = json.loads(result.stdout)[0]
    assert record["classnames"] == [ALL[3], ALL[1]]
    learner = load_learner("few", None)
    own = score_images({"": learner}, TESTED.with_classes(ALL[:5])).by_key[""]["merged"]
    assert record["average_precision"] == pytest.approx(
        average_precision(own[:, [3, 1]], TESTED.targets[:, [3, 1]]).per_class, abs=1e-6
    )


def test_records_and_scores_are_read_by_the_other_commands(folder: Path) -> None:
    first = run(f"captions pictures -d mini:test -o {folder}/e.jsonl --save-predictions {folder}/e.npz")
    saved = CliRunner().invoke(app, ["eval", "scores", f"{folder}/e.npz", "-f", "json"])
    report = CliRunner().invoke(app, ["report", f"{folder}/e.jsonl"])
    together = read_records(folder / "e.jsonl")[-1]
    again = json.loads(saved.stdout)
    assert again["mean_average_precision"] == pytest.approx(together["mean_average_precision"], abs=1e-9)
    assert again["probabilities"] is None
    assert again["transductive"] is False
    assert len(gather_records([folder / "e.jsonl"]).multilabel) == 3
    assert first.stdout.splitlines()[2:7] == report.stdout.splitlines()[2:7]


@pytest.mark.parametrize("output_format", ["md", "csv"])
def test_other_formats_have_the_same_rows(folder: Path, output_format: str) -> None:
    text = run(f"mine=captions pictures -d mini:test -f {output_format} --per-class {folder}/ap.csv").stdout
    names = ["TaI-DPT, mine", "dualcoop (local)", "ensemble: mine + dualcoop"]
    if output_format == "csv":
        assert [row["row"] for row in csv.DictReader(io.StringIO(text))] == names
    else:
        assert [line.split(" | ")[0].strip("| ") for line in text.splitlines()[4:7]] == names
    (first, *_) = csv.DictReader((folder / "ap.csv").read_text().splitlines())
    assert list(first) == ["class", "n_positive", *names]


@pytest.mark.parametrize("broken", ["tested", "validation"])
def test_a_picture_that_cannot_be_read_is_named_and_left_out(folder: Path, broken: str) -> None:
    lines = ["path,dog,cat"]
    for number in range(4):
        Image.new("RGB", (40, 40), (60 * number, 0, 90)).save(folder / f"{number}.png")
        lines.append(f"{number}.png,{number % 2},{int(number < 2)}")
    (folder / "broken.png").write_bytes(b"\x89PNG\r\n not an image")
    (folder / "labels.csv").write_text("\n".join([*lines, "broken.png,1,0"]) + "\n")
    labels = f"{folder}/labels.csv"
    tested, validation = (labels, "mini:val") if broken == "tested" else ("mini:test", labels)
    result = run(f"captions vit -d {tested} --validation {validation} --classes dog,cat -f json")
    assert result.exit_code == 1
    assert result.stderr.count("clipprompt: skipped: ") == result.stderr.count("broken.png") == 1
    together = json.loads(result.stdout)[-1]
    assert together["n_images"] == (4 if broken == "tested" else 24)
    assert ("(4 pictures, 2 classes)" in together["weights_by"]) == (broken == "validation")


BAD = [
    ("captions", "an ensemble has two prompts or more; one is scored by `clipprompt eval multilabel -p captions`"),
    ("captions nowhere", "nowhere: there is no folder 'nowhere'"),
    ("captions empty", "empty is not a prompt folder: it has no prompt.json"),
    ("captions other --weights 1,1", "class_specific"),
    ("captions pictures captions", "captions and captions are the same folder; an ensemble takes each prompt once"),
    ("captions again=link", "captions and again=link are the same folder"),
    ("captions vit", "no prompt's run held pictures out, so nothing can choose the weights; give --validation DATA"),
    ("captions pictures --weights 0.1", "--weights gives 1 numbers for 2 prompts; one for each is needed"),
    ("captions pictures --weights 0.1 -0.9", "--weights -0.9: a weight is a finite number and not negative"),
    ("captions pictures --weights 0,0", "--weights: at least one must be more than 0"),
    ("captions pictures --weights much", "--weights much: not a list of numbers such as 0.1 0.9"),
    ("captions pictures --validation mini:test", "'mini:test' is a test split, and nothing is learnt or selected on"),
    ("captions pictures --validation mini:train", "of --validation mini:train are what pictures learnt from"),
    ("captions pictures --validation nowhere.csv", "nowhere.csv"),
    ("captions pictures --validation ones.csv", "no class is known to be in one picture and not in another"),
    ("captions pictures -d mini:train", "of what pictures held out are tested (mini:train); give --validation OTHER"),
    (
        "captions pictures -d table.csv --validation table.csv",
        "3 pictures of --validation table.csv are tested (table)",
    ),
    ("captions pictures -d mini:tset", "the mini world has no image split 'tset'"),
    ("captions pictures --classes dgo,cat", "mini:test has no labels for class 'dgo' (did you mean 'dog'?)"),
    ("captions pictures --format xml", "unknown format 'xml'"),
    ("captions pictures --threshold 7", "--threshold 7: a threshold on probabilities lies in 0..1"),
    ("captions pictures -o .", "--output . is not a file"),
    ("captions pictures --device cuda:99", "cuda:99"),
]


@pytest.mark.parametrize(("arguments", "message"), BAD, ids=[arguments for arguments, _ in BAD])
def test_mistake_is_one_line(
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: str,
    message: str,
) -> None:
    tested = [] if " -d " in arguments else ["-d", "mini:test"]
    monkeypatch.setattr("sys.argv", ["clipprompt", "ensemble", *arguments.split(), *tested, "--scenes", "24"])
    with pytest.raises(SystemExit) as stop:
        main()
    printed = capsys.readouterr()
    assert stop.value.code == 2
    assert message in printed.err
    assert printed.err.count("\n") <= 3  # notes on the data may stand above
    assert "Traceback" not in printed.err
    assert printed.out == ""
