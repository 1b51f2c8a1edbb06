from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from clipprompt._yaml import parse_yaml
from clipprompt.config import (
    BackboneConfig,
    DataConfig,
    RunConfig,
    TrainConfig,
    describe_config,
    dump_config,
    flat_config,
    load_config,
    read_config,
)
from clipprompt.errors import UserError
from clipprompt.learners import list_learners
from clipprompt.resources import resource

METHODS = sorted(path.stem for path in resource("configs/methods").glob("*.yaml"))


def test_every_learner_has_a_shipped_configuration() -> None:
    assert list_learners() == METHODS


@pytest.mark.parametrize("method", METHODS)
def test_shipped_configuration_loads_and_opens_with_paper_command_and_number(method: str) -> None:
    config = load_config(method)
    header = resource(f"configs/methods/{method}.yaml").read_text(encoding="utf-8").split("\n\n")[0]
    assert config.method == method
    assert "arxiv.org/abs/" in header
    assert f"clipprompt train {method} " in header
    assert re.search(r"\d\d\.\d", header), "the published number"


@pytest.mark.parametrize("method", METHODS)
def test_resolved_configuration_is_read_back_equal(method: str, tmp_path: Path) -> None:
    config = load_config(method, ["data.corpus=a b.parquet", "lr=0.003", "cache_memory_gb=0.1"])
    (tmp_path / "config.yaml").write_text(dump_config(config), encoding="utf-8")
    assert read_config(tmp_path / "config.yaml") == config


@pytest.mark.parametrize("method", METHODS)
def test_every_key_has_a_help_text(method: str) -> None:
    rows = describe_config(method)
    assert [key for key, _, _ in rows] == list(flat_config(load_config(method)))
    assert all(text for _, _, text in rows)


def test_a_backbone_with_weights_of_its_own_takes_no_shipped_tag(tmp_path: Path) -> None:
    assert load_config("maple").backbone.pretrained == "openai"
    assert load_config("maple", ["backbone.name=mini-vit"]).backbone.pretrained is None
    assert load_config("maple", ["backbone.name=hf-hub:org/clip"]).backbone.pretrained is None
    assert load_config("maple", [f"backbone.name={tmp_path}"]).backbone.pretrained is None
    assert load_config("maple", ["backbone.name=ViT-B-32"]).backbone.pretrained == "openai"
    given = load_config("maple", ["backbone.name=mini-vit", "pretrained=laion2b"])
    assert given.backbone.pretrained == "laion2b"  # refused when it is loaded


def test_tai_dpt_settings_are_the_published_ones() -> None:
    values = flat_config(load_config("tai_dpt"))
    published = {
        "learner.n_ctx": 16,
        "learner.logit_scale": 4.0,
        "learner.spatial_scale_text": 50.0,
        "learner.spatial_scale_image": 40.0,
        "learner.loss": "double_ranking",
        "train.batch_size": 512,
        "train.epochs": 20,
        "train.lr": 1e-4,
        "train.momentum": 0.9,
        "train.weight_decay": 5e-4,
        "train.warmup_epochs": 1,
        "train.warmup_lr": 1e-5,
        "train.select": "last",
        "data.templates": True,
    }
    assert {key: values[key] for key in published} == published


@pytest.mark.parametrize(
    ("setting", "key", "value"),
    [
        ("train.lr=1e-3", "train.lr", 1e-3),
        ("lr=0.5", "train.lr", 0.5),
        ("lr=1", "train.lr", 1.0),
        ("n_ctx=4", "learner.n_ctx", 4),
        ("learner.class_specific=true", "learner.class_specific", True),
        ("ctx_init=a photo of a", "learner.ctx_init", "a photo of a"),
        ("pretrained=openai", "backbone.pretrained", "openai"),
        ("pretrained=none", "backbone.pretrained", None),
        ("data.templates=my.yaml", "data.templates", "my.yaml"),
        ("backbone={name: RN50, precision: bf16}", "backbone.name", "RN50"),
    ],
)
def test_setting_reaches_its_key(setting: str, key: str, value: object) -> None:
    assert flat_config(load_config("tai_dpt", [setting]))[key] == value


def test_right_wins_over_left(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text("train: {lr: 0.2, seed: 7}\n", encoding="utf-8")
    train = load_config("tai_dpt", ["lr=0.1", "lr=0.3"], tmp_path / "mine.yaml").train
    assert (train.lr, train.seed, train.epochs) == (0.3, 7, 20)


MISTAKES = [
    ("backbone.name=''", "backbone.name is '', but it should have at least 1 character"),
    (
        "data.known=single-positiv",
        "data.known is 'single-positiv', but it should be a valid number or 'single-positive' "
        "(did you mean 'single-positive'?)",
    ),
    ("data.known=2", "data.known is 2, but it should be less than or equal to 1 or 'single-positive'"),
    ("train.lrr=1", "train.lrr=1: unknown key 'train.lrr' (did you mean 'lr'?)"),
    ("lrr=1", "unknown key 'lrr' (did you mean 'lr'?)"),
    ("learner.n_ctxx=1", "unknown key 'learner.n_ctxx' (did you mean 'n_ctx'?)"),
    ("trian.lr=1", "unknown key 'trian' (did you mean 'train'?)"),
    ("train={epoch: 3}", "unknown key 'train.epoch' (did you mean 'epochs'?)"),
    ("lr=-1", "lr=-1: train.lr is -1, but it should be greater than 0"),
    ("lr=.nan", "train.lr is nan, but it should be"),
    ("lr=fast", "train.lr is 'fast', but it should be a valid number"),
    ("batch_size=0", "train.batch_size is 0, but it should be greater than 0"),
    ("epochs=1.5", "train.epochs is 1.5, but it should be a valid integer"),
    ("epochs=true", "train.epochs is True, but it should be a valid integer"),
    ("momentum=1", "train.momentum is 1, but it should be less than 1"),
    ("precision=fp61", "'fp32', 'bf16' or 'fp16' (did you mean 'fp16'?)"),
    ("select=best", "train.select is 'best', but it should be 'last', 'val', 'val_loss' or 'val_map'"),
    ("device=gpu", "backbone.device is 'gpu', but it should be auto, cpu, cuda, cuda:N or mps"),
    ("learner.loss=asll", "(did you mean 'asl'?)"),
    ("n_ctx=0", "learner.n_ctx is 0, but it should be greater than or equal to 1"),
    ("backbone=RN50", "backbone is 'RN50', but it should hold keys of its own"),
    ("templates=3", "data.templates is 3, but it should be a valid boolean"),
    ("fingerprint=x", "key 'fingerprint' could be backbone.fingerprint or data.fingerprint: write it out"),
    ("lr", "setting 'lr' is not of the form key=value"),
    ("=3", "setting '=3' is not of the form key=value"),
    ("lr=[", "setting 'lr=[': the value is not valid YAML: line 1:"),
    ("method=zero_shot", "the method is 'tai_dpt', but key 'method' says 'zero_shot'"),
]


@pytest.mark.parametrize(("setting", "message"), MISTAKES, ids=[setting for setting, _ in MISTAKES])
def test_wrong_setting_is_told_in_one_line(setting: str, message: str) -> None:
    with pytest.raises(UserError) as error:
        load_config("tai_dpt", [setting])
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_unknown_method_suggests_the_nearest() -> None:
    with pytest.raises(UserError, match=r"unknown method 'taidpt' \(did you mean 'tai_dpt'\?\); there are: .*tai_dpt"):
        load_config("taidpt")


FILE_MISTAKES = [
    (b"train: {lr: 0.1, lr: 0.2}", "line 1: key 'lr' stands twice"),
    (b"train:\n  lr: [0.1", "is not valid YAML: line"),
    (b"- a\n- b\n", "must hold 'key: value' lines, not a list"),
    (b"train:\n  epoch: 3\n", "unknown key 'train.epoch' (did you mean 'epochs'?)"),
    (b"\xff\xfe\x00", "is not a text file in UTF-8"),
    (b"train: !!python/object/apply:os.getcwd []", "is not valid YAML"),
    (b"{[a]: 3}", "a key must be a word"),
]


@pytest.mark.parametrize(("content", "message"), FILE_MISTAKES)
def test_wrong_file_is_named_in_one_line(content: bytes, message: str, tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_bytes(content)
    with pytest.raises(UserError) as error:
        load_config("tai_dpt", [], path)
    assert str(path) in str(error.value)
    assert message in str(error.value)


def test_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"cannot read .*absent.yaml: No such file"):
        load_config("tai_dpt", [], tmp_path / "absent.yaml")


def test_resolved_configuration_without_method_is_refused(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text("train: {lr: 0.1}\n", encoding="utf-8")
    with pytest.raises(UserError, match=r"config\.yaml: key 'method' is missing"):
        read_config(tmp_path / "config.yaml")


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-4", 1e-4),
        ("-2E3", -2e3),
        ("1.5e+2", 150.0),
        ("e5", "e5"),
        ("1e", "1e"),
        ("None", None),
        ("nothing", "nothing"),
    ],
)
def test_numbers_are_read_as_people_write_them(text: str, value: object) -> None:
    assert parse_yaml(text) == value


def test_plain_yaml_loader_is_left_alone() -> None:
    parse_yaml("1e-4")
    assert yaml.safe_load("1e-4") == "1e-4"


@pytest.mark.parametrize("section", [RunConfig, BackboneConfig, DataConfig, TrainConfig])
def test_every_field_is_described(section: type[RunConfig]) -> None:
    assert all(field.description for field in section.model_fields.values())
