"""Prompts go to a stand-in of the Hub and come back, with nothing beside them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
import yaml

from clipprompt.backbone import Backbone
from clipprompt.cli import main
from clipprompt.config import dump_config, load_config
from clipprompt.errors import UserError
from clipprompt.inference.calibration import Calibration, ClassCalibration, read_calibration, write_calibration
from clipprompt.learners import create_learner, load_learner
from clipprompt.sharing.hub import pull, push
from tests.sharing.hub_stand_in import READ_ONLY, Hub, Repo

# The library's own upload without xet speaks to its HTTP client in a way that one deprecates.
pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=<...>':DeprecationWarning")

REPO = "me/my-prompt"
SENT = {"prompt.safetensors", "prompt.json", "README.md"}


def sent(hub: Hub, branch: str = "main") -> dict[str, bytes]:
    return {name: data for name, data in hub.repos[REPO].branches[branch][-1].items() if name != ".gitattributes"}


def calibrate(folder: Path, source: str) -> Calibration:
    found = Calibration(
        format=1,
        source=source,
        n_samples=3,
        method="coop",
        fingerprint="0",
        slope=1.0,
        offset=0.0,
        threshold=0.5,
        reference=tuple(f"word {number}" for number in range(100)),
        classes=(ClassCalibration(name="cat", threshold=0.5, n_present=1, f1=None),),
    )
    write_calibration(folder, found)
    return found


def test_a_prompt_comes_back_as_it_went(hub: Hub, prompt: Path, tmp_path: Path, tiny_vit_backbone: Backbone) -> None:
    assert push(prompt, REPO) == f"{hub.endpoint}/{REPO}"
    folder = pull(REPO, tmp_path / "new" / "pulled")
    assert {file.name for file in folder.iterdir()} == SENT
    before, after = load_learner(prompt, tiny_vit_backbone), load_learner(folder, tiny_vit_backbone)
    assert before.classnames == after.classnames
    assert torch.equal(before.state_dict()["ctx"], after.state_dict()["ctx"])


def test_only_a_prompts_files_travel_in_one_commit(hub: Hub, prompt: Path) -> None:
    push(prompt, REPO, message="My first prompt")
    assert set(sent(hub)) == SENT
    assert sum("/commit/" in request for request in hub.requests) == 1


def test_only_a_prompts_files_are_fetched(hub: Hub, prompt: Path, tmp_path: Path) -> None:
    push(prompt, REPO)
    hub.repos[REPO].branches["main"][-1] |= {
        "model.pth.tar-50": b"a bomb",
        "setup.py": b"import os",
        "x/prompt.json": b"",
    }
    folder = pull(REPO, tmp_path / "pulled")
    assert {file.name for file in folder.iterdir()} == SENT
    assert not [request for request in hub.requests if "setup.py" in request or "model.pth" in request]


def test_a_calibration_travels_and_a_stale_one_goes(hub: Hub, prompt: Path, tmp_path: Path) -> None:
    found = calibrate(prompt, source=f"captions {tmp_path}/secret/coco.parquet, held out")
    push(prompt, REPO)
    pulled = read_calibration(pull(REPO, tmp_path / "pulled"))
    assert pulled is not None
    assert pulled.source == "captions coco.parquet, held out"
    assert pulled.classes == found.classes
    (prompt / "calibration.json").unlink()
    push(prompt, REPO)
    assert set(sent(hub)) == SENT


def test_no_path_of_this_machine_is_sent(hub: Hub, prompt: Path, tmp_path: Path) -> None:
    settings = [
        f"data.corpus={tmp_path}/coco.parquet",
        f"data.cache={tmp_path}/cache",
        f"backbone.name={tmp_path}/tiny",
    ]
    (prompt / "config.yaml").write_text(dump_config(load_config("tai_dpt", settings)))
    description = json.loads((prompt / "prompt.json").read_text())
    description["backbone"] |= {"name": str(tmp_path / "models" / "tiny"), "pretrained": str(tmp_path / "weights.pt")}
    (prompt / "prompt.json").write_text(json.dumps(description))
    calibrate(prompt, source=str(tmp_path / "captions.json"))
    push(prompt, REPO)
    assert set(sent(hub)) == {*SENT, "config.yaml", "calibration.json"}
    assert not [name for name, content in sent(hub).items() if str(tmp_path).encode() in content]
    config = yaml.safe_load(sent(hub)["config.yaml"])
    assert (config["data"]["corpus"], config["backbone"]["name"]) == ("coco.parquet", "tiny")
    assert config["train"] == yaml.safe_load((prompt / "config.yaml").read_text())["train"]
    backbone = json.loads(sent(hub)["prompt.json"])["backbone"]
    assert (backbone["name"], backbone["pretrained"]) == ("tiny", "weights.pt")


def test_a_card_that_names_the_home_folder_is_not_sent(
    hub: Hub, prompt: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "ada"))
    monkeypatch.setenv("USERPROFILE", str(tmp_path / "ada"))
    (prompt / "README.md").write_text(f"---\ntags: []\n---\nfrom {tmp_path}/ada/photos")
    with pytest.raises(UserError, match=r"README.md names your home folder .*take that out"):
        push(prompt, REPO)
    assert not hub.requests


def test_the_card_says_what_it_is_and_how_to_load_it(hub: Hub, prompt: Path) -> None:
    push(prompt, REPO)
    _, header, body = sent(hub)["README.md"].decode().split("---\n", 2)
    metadata = yaml.safe_load(header)
    assert metadata["library_name"] == "clipprompt"
    assert "coop" in metadata["tags"]
    assert "| backbone | `tiny_vit` |" in body
    assert "clipprompt pull me/my-prompt" in body
    assert "cat\ntraffic light\n'dog'\n" in body
    assert body.count("```") % 2 == 0


@pytest.mark.parametrize("class_specific", [False, True])
def test_the_card_offers_other_classes_where_the_prompt_takes_them(
    hub: Hub, tiny_vit_backbone: Backbone, tmp_path: Path, class_specific: bool
) -> None:
    create_learner("coop", tiny_vit_backbone, ["cat", "dog"], class_specific=class_specific, n_ctx=2).save(tmp_path)
    push(tmp_path, REPO)
    assert (b"zebra" in sent(hub)["README.md"]) != class_specific


def test_a_card_of_ones_own_is_sent_and_one_on_the_hub_is_kept(hub: Hub, prompt: Path) -> None:
    push(prompt, REPO)
    hub.repos[REPO].branches["main"][-1]["README.md"] = b"---\ntags: []\n---\nedited on the page"
    push(prompt, REPO)
    assert sent(hub)["README.md"].endswith(b"edited on the page")
    (prompt / "README.md").write_text("---\ntags: []\n---\nmine")
    push(prompt, REPO)
    assert sent(hub)["README.md"].endswith(b"mine")


def test_private_and_branches(hub: Hub, prompt: Path, tmp_path: Path) -> None:
    push(prompt, REPO, private=True, revision="try")
    assert hub.repos[REPO].private
    assert set(sent(hub, "try")) == SENT
    assert not sent(hub)
    assert (pull(REPO, tmp_path / "pulled", revision="try") / "prompt.json").is_file()
    push(prompt, REPO, revision="try")  # a branch that is there is used again


def test_a_pull_replaces_a_plain_prompt_folder(hub: Hub, prompt: Path, tmp_path: Path) -> None:
    push(prompt, REPO)
    folder = pull(REPO, tmp_path / "pulled")
    (folder / "prompt.safetensors").write_bytes(b"broken")
    pull(REPO, folder)
    assert (folder / "prompt.safetensors").read_bytes() == (prompt / "prompt.safetensors").read_bytes()
    assert not list(tmp_path.glob(".pulled*"))


@pytest.mark.parametrize(
    ("file", "content", "said"),
    [
        ("prompt.json", None, "me/my-prompt: the repository is not a prompt folder: it has no prompt.json"),
        ("prompt.json", b"{", "me/my-prompt: .*prompt.json cannot be read"),
        ("prompt.safetensors", None, "is not a whole prompt: prompt.safetensors cannot be read"),
        ("prompt.safetensors", b"\x80\x04a pickle", "is not a whole prompt"),
        ("calibration.json", b"{}", "calibration.json: key"),
    ],
)
def test_what_is_no_prompt_does_not_appear(
    hub: Hub, prompt: Path, tmp_path: Path, file: str, content: bytes | None, said: str
) -> None:
    push(prompt, REPO)
    files = hub.repos[REPO].branches["main"][-1]
    files.pop(file, None) if content is None else files.update({file: content})
    with pytest.raises(UserError, match=said):
        pull(REPO, tmp_path / "pulled")
    assert not list(tmp_path.glob("*pulled*"))


@pytest.mark.parametrize("field", ["method", "classnames", "options"])
def test_a_description_this_version_does_not_know_is_refused(
    hub: Hub, prompt: Path, tmp_path: Path, field: str
) -> None:
    push(prompt, REPO)
    files = hub.repos[REPO].branches["main"][-1]
    description = json.loads(files["prompt.json"])
    description[field] = {"method": "copo", "classnames": ["cat", "cat"], "options": {"n_ctxx": 1}}[field]
    files["prompt.json"] = json.dumps(description).encode()
    with pytest.raises(UserError, match=r"coop|given twice|n_ctx"):
        pull(REPO, tmp_path / "pulled")
    assert not list(tmp_path.glob("*pulled*"))


def test_a_download_that_breaks_off_leaves_what_was_there(
    hub: Hub, prompt: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    push(prompt, REPO)
    folder = pull(REPO, tmp_path / "pulled")
    before = {file.name: file.read_bytes() for file in folder.iterdir()}

    def fail(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("clipprompt.sharing.hub._check_pulled", fail)
    with pytest.raises(KeyboardInterrupt):
        pull(REPO, folder)
    assert {file.name: file.read_bytes() for file in folder.iterdir()} == before
    assert not list(tmp_path.glob(".pulled*"))


PUSH, PULL = "push run me/my-prompt", "pull me/my-prompt -o out"
MISTAKES = [
    (f"{PUSH}", {"HF_TOKEN": ""}, "no token for the Hub: log in with `hf auth login`"),
    (f"{PUSH}", {"HF_TOKEN": "hf_wrong"}, "does not know your token"),
    (f"{PUSH}", {"HF_TOKEN": READ_ONLY}, "your token may not write to me/my-prompt"),
    ("push run my-prompt", {}, "'my-prompt' is no repository of the Hub; give it as ORG/NAME"),
    ("push run a/b/c", {}, "'a/b/c' is no repository"),
    ("push run me/..", {}, "'me/..' is no repository"),
    ("push run me/a--b", {}, "me/a--b"),
    ("push absent me/my-prompt", {}, "absent is not a prompt folder"),
    ("push empty me/my-prompt", {}, "empty is not a prompt folder"),
    ("pull me/absent -o out", {}, "there is no repository me/absent"),
    ("pull me/hidden -o out", {"HF_TOKEN": ""}, "there is no repository me/hidden"),
    (f"{PULL} --revision absent", {}, "me/my-prompt has no revision 'absent'"),
    ("pull me/my-prompt -o empty/thesis", {}, "empty/thesis is there already and no prompt folder"),
    ("pull me/my-prompt -o run", {}, "run holds more than a prompt (captions.parquet, checkpoints"),
    ("pull me/my-prompt -o file", {}, "file is there already"),
    ("pull me/my-prompt -o file/out", {}, "cannot write file/out"),
    ("pull ../my-prompt", {}, "'../my-prompt' is no repository"),
    ("pull me/empty -o out", {}, "me/empty: the repository is not a prompt folder"),
]


@pytest.mark.parametrize(("command", "environment", "said"), MISTAKES, ids=[said for _, _, said in MISTAKES])
def test_a_mistake_is_one_line_and_loses_nothing(
    hub: Hub,
    prompt: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    command: str,
    environment: dict[str, str],
    said: str,
) -> None:
    push(prompt, "me/my-prompt")
    hub.repos |= {"me/hidden": Repo(private=True), "me/empty": Repo()}
    (tmp_path / "empty" / "thesis").mkdir(parents=True)
    (tmp_path / "empty" / "thesis" / "thesis.tex").write_text("precious")
    (tmp_path / "file").write_text("")
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert run(command, tmp_path, monkeypatch) == 2
    printed = capsys.readouterr()
    lines = [line for line in printed.err.splitlines() if line.startswith("clipprompt: ")]
    assert len(lines) == 1, printed.err
    assert said in lines[0]
    assert "Traceback" not in printed.err
    assert printed.out == ""
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("command", [PUSH, PULL])
@pytest.mark.parametrize(("status", "said"), [(None, "cannot reach"), (418, "answers 418")])
def test_a_hub_that_is_down_is_one_line(
    hub: Hub,
    prompt: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    command: str,
    status: int | None,
    said: str,
) -> None:
    hub.status = status
    if status is None:
        monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "http://127.0.0.1:9")  # nobody listens there
    assert run(command, tmp_path, monkeypatch) == 2
    printed = capsys.readouterr()
    assert said in printed.err
    assert printed.err.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_the_commands_print_address_and_folder(
    hub: Hub, prompt: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(f"{PUSH} --private -m First", tmp_path, monkeypatch) in (0, None)
    assert run("pull me/my-prompt", tmp_path, monkeypatch) in (0, None)
    assert capsys.readouterr().out == f"{hub.endpoint}/me/my-prompt\nmy-prompt\n"
    assert (tmp_path / "my-prompt" / "prompt.json").is_file()


def run(command: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> int | str | None:
    monkeypatch.chdir(folder)
    monkeypatch.setattr("sys.argv", ["clipprompt", *command.split()])
    try:
        main()
    except SystemExit as stop:
        return stop.code
    return 0
