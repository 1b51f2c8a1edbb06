"""Typed configuration of a run. A field here is the YAML key, the ``key=value`` on the command line and the help text.

configs/methods/METHOD.yaml  <-  the user's own YAML file  <-  key=value on the command line      (right wins)
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from clipprompt._config_errors import describe_validation
from clipprompt._yaml import describe_yaml_error, parse_yaml, read_mapping
from clipprompt.errors import UserError, nearest
from clipprompt.resources import resource

DEVICE_PATTERN = r"^(auto|cpu|mps|cuda(:\d+)?)$"


class _Section(BaseModel):
    # Strict: "20" is no number and true is no 1. Frozen: a run cannot change its own settings.
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


class BackboneConfig(_Section):
    """The frozen CLIP."""

    name: str = Field(
        default="mini",
        min_length=1,
        description="open_clip architecture, timm:NAME, hf-hub:ORG/NAME, folder, mini or mini-vit",
    )
    pretrained: str | None = Field(
        default=None, description="weights tag or file; none = the model's own, or random weights"
    )
    device: str = Field(default="auto", pattern=DEVICE_PATTERN, description="auto, cpu, cuda, cuda:N or mps")
    precision: Literal["fp32", "bf16", "fp16"] = Field(
        default="fp32", description="of the towers; prompts stay in float32"
    )
    image_size: int | None = Field(default=None, gt=0, description="pixels of a side; none = the model's own")
    fingerprint: str | None = Field(
        default=None, description="hash of the weights; a run writes it, a given one is insisted on"
    )


class DataConfig(_Section):
    """What is learnt from, and how its features are kept."""

    corpus: str | None = Field(
        default=None, description="labelled corpus, as written by `clipprompt corpus build`, or mini for drawn captions"
    )
    n_captions: int = Field(default=10_000, gt=0, description="for the corpus mini, how many captions are made up")
    templates: bool | str = Field(
        default=False, description="add template sentences of each class: true, or a YAML file of them"
    )
    keep_empty: bool = Field(default=False, description="train also on captions or pictures that have no class")
    dataset: str | None = Field(
        default=None,
        description="labelled images: a folder of class folders, a table, a COCO file, a named set, or mini",
    )
    root: str | None = Field(default=None, description="folder of a named set, such as voc2007")
    parts: bool = Field(
        default=False,
        description="learn from the part train of one's own data alone, split 50/20/30 where it has no parts",
    )
    shots: int | None = Field(
        default=None, gt=0, description="pictures of each class that are drawn to learn from; none = all of them"
    )
    share: Annotated[float, Field(gt=0, le=1)] | None = Field(
        default=None, description="part of the pictures of each class that is drawn to learn from; none = all of them"
    )
    known: Annotated[float, Field(gt=0, le=1)] | Literal["single-positive"] | None = Field(
        default=None,
        description="labels that the seed leaves known: a share such as 0.1, or single-positive; none = all of them",
    )
    labels: str | None = Field(
        default=None, description="file that says which labels of the pictures are known; none = those of the data"
    )
    subset: Literal["all", "base", "novel"] = Field(default="all", description="classes that are learnt")
    class_split: int = Field(default=0, ge=0, description="0 = base and novel classes of papers, else a seed of others")
    images: str | None = Field(default=None, description="folder of the pictures, where it is not the data's own")
    n_images: int = Field(default=500, gt=0, description="for mini, how many scenes are drawn")
    with_val: bool = Field(
        default=False, description="learn from a set's part val too, once the settings are chosen on it"
    )
    skip_missing: bool = Field(default=False, description="leave out pictures whose file is missing")
    validation: str | None = Field(
        default=None, description="labelled images to select an epoch by; none = a part held out of the training images"
    )
    augment: Literal["crop_flip"] | None = Field(
        default="crop_flip", description="random resized crops and flips, as published; none = as evaluation sees them"
    )
    workers: int = Field(default=4, ge=0, description="threads that decode pictures")
    cache: str | None = Field(
        default=None, description="folder for encoded captions or pictures, shared by runs; none = memory or run folder"
    )
    cache_dtype: Literal["float16", "float32"] = Field(default="float16", description="type in which features are kept")
    cache_memory_gb: float = Field(
        default=1.0, ge=0, description="captions' features above this size are kept on disk; pictures' always are"
    )
    fingerprint: str | None = Field(
        default=None, description="hash of the training data; written by a run, insisted on if given"
    )


class TrainConfig(_Section):
    """The optimisation: SGD with momentum or AdamW, cosine schedule, warm-up."""

    epochs: int = Field(
        default=20, ge=0, description="passes over the data; 0 keeps the prompts as they start (a control)"
    )
    batch_size: int = Field(default=512, gt=0, description="captions or images per step")
    optimizer: Literal["sgd", "adamw"] = Field(default="sgd", description="SGD with momentum, or AdamW")
    lr: float = Field(default=1e-4, gt=0, le=1e6, description="learning rate at the start of the cosine")
    momentum: float = Field(default=0.9, ge=0, lt=1, description="of SGD")
    weight_decay: float = Field(default=5e-4, ge=0, description="on what is learnt")
    warmup: Literal["constant", "linear"] = Field(default="constant", description="shape of the warm-up")
    warmup_epochs: int = Field(default=1, ge=0, description="epochs before the cosine starts")
    warmup_lr: float = Field(
        default=1e-5, gt=0, le=1e6, description="learning rate of a constant warm-up, first one of a linear"
    )
    cosine: Literal["run", "rest"] = Field(
        default="run", description="length of the cosine: of the whole run, or of what the warm-up leaves of it"
    )
    seed: int = Field(
        default=1, ge=0, lt=2**31, description="of drawn shots, the prompts' start, batches and the validation split"
    )
    select: Literal["last", "val", "val_loss", "val_map"] = Field(
        default="last",
        description="which epoch is kept: the last, or the best on a validation split (val: by accuracy or mAP)",
    )
    val_fraction: float = Field(
        default=0.1, gt=0, lt=1, description="part held out for validation, unless select is last"
    )
    views: int = Field(
        default=0, ge=0, description="augmented views of each picture, computed once; 0 = fresh ones at every step"
    )
    devices: int = Field(default=1, ge=1, description="processes that share each batch")
    compile: bool = Field(default=False, description="compile the towers with torch.compile")
    checkpoint_seconds: float = Field(
        default=60.0, ge=0, description="checkpoint also inside an epoch after this time; 0 = never"
    )
    checkpoint_steps: int = Field(
        default=0, ge=0, description="checkpoint also inside an epoch every so many steps; 0 = never"
    )
    log_steps: int = Field(
        default=0, ge=0, description="write the loss of every so many steps to metrics.jsonl; 0 = epochs only"
    )


class RunConfig(_Section):
    """Everything that decides what a run computes."""

    method: str = Field(description="name of the learner")
    backbone: BackboneConfig = Field(default_factory=BackboneConfig, description="the frozen CLIP")
    learner: dict[str, Any] = Field(default_factory=dict, description="the learner's own options")
    data: DataConfig = Field(default_factory=DataConfig, description="what is learnt from")
    train: TrainConfig = Field(default_factory=TrainConfig, description="the optimisation")


def load_config(method: str, overrides: Sequence[str] = (), file: str | os.PathLike[str] | None = None) -> RunConfig:
    """The configuration of a run: the method's YAML, then the user's file, then ``key=value`` settings.

    Args:
        method: name of a learner.
        overrides: settings such as ``train.lr=0.002``; a last part that is unique (``lr=0.002``) is enough.
        file: a YAML file with some of the keys.

    Raises:
        UserError: in one line, naming the file or setting, the key, its value and what is allowed.
    """
    _check_method(method)
    shipped = resource(f"configs/methods/{method}.yaml")
    tree, given = read_mapping(shipped), dict[str, Any]()
    config = _validate(method, tree, str(shipped))
    if file is not None:
        given = read_mapping(Path(file))
        config = _validate(method, _merged(tree, given), str(file))
    for setting in overrides:
        given = _merged(given, _parse_setting(setting, config))
        config = _validate(method, _merged(tree, given), setting)
    return _without_foreign_tag(config, given)


def _without_foreign_tag(config: RunConfig, given: Mapping[str, Any]) -> RunConfig:
    """Leaves out the shipped weights tag where the user names a backbone that brings its own weights, and no tag."""
    from clipprompt.backbone import brings_its_weights

    if "pretrained" in given.get("backbone", {}) or not brings_its_weights(config.backbone.name):
        return config
    return config.model_copy(update={"backbone": config.backbone.model_copy(update={"pretrained": None})})


def read_config(path: str | os.PathLike[str]) -> RunConfig:
    """Reads a resolved configuration, as ``dump_config`` wrote it.

    Raises:
        UserError: if it cannot be read or has a wrong key or value.
    """
    tree = read_mapping(Path(path))
    method = tree.get("method")
    if not isinstance(method, str):
        raise UserError(f"{path}: key 'method' is missing")
    _check_method(method)
    return _validate(method, tree, str(path))


def dump_config(config: RunConfig) -> str:
    """The configuration as YAML, every key written out; reading it back gives an equal object."""
    return yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False, allow_unicode=True)


def flat_config(config: RunConfig) -> dict[str, Any]:
    """The configuration as ``{"train.lr": 0.002, …}``, in the order of the fields."""
    return dict(_flatten(config.model_dump(mode="json"), ""))


def describe_config(method: str) -> list[tuple[str, Any, str]]:
    """Every key of a method with its value in the shipped configuration and its help text.

    Returns:
        Rows of (dotted key, value, description).
    """
    values = flat_config(load_config(method))
    return [(key, values[key], text) for key, text in _descriptions(method) if key in values]


def _descriptions(method: str) -> Iterator[tuple[str, str]]:
    from clipprompt.learners import learner_options

    for name, field in RunConfig.model_fields.items():
        model = learner_options(method) if name == "learner" else field.annotation
        if isinstance(model, type) and issubclass(model, BaseModel):
            yield from ((f"{name}.{key}", inner.description or "") for key, inner in model.model_fields.items())
        else:
            yield name, field.description or ""


def _check_method(method: str) -> None:
    names = sorted(path.stem for path in resource("configs/methods").glob("*.yaml"))
    if method not in names:
        raise UserError(f"unknown method {method!r}{nearest(method, names)}; there are: {', '.join(names)}")


def _parse_setting(setting: str, config: RunConfig) -> dict[str, Any]:
    key, equals, text = setting.partition("=")
    if not equals or not key.strip():
        raise UserError(f"setting {setting!r} is not of the form key=value, such as train.lr=0.002")
    try:
        value: Any = parse_yaml(text)
    except yaml.YAMLError as error:
        raise UserError(f"setting {setting!r}: the value is not valid YAML: {describe_yaml_error(error)}") from error
    for part in reversed(_full_key(key.strip(), config).split(".")):
        value = {part: value}
    nested: dict[str, Any] = value
    return nested


def _full_key(key: str, config: RunConfig) -> str:
    # `lr` is enough for `train.lr`; a last part that two sections share must be written out.
    known = list(flat_config(config))
    if "." in key or key in known or key in RunConfig.model_fields:
        return key
    fits = [name for name in known if name.endswith(f".{key}")]
    if len(fits) > 1:
        raise UserError(f"key {key!r} could be {' or '.join(fits)}: write it out")
    if not fits:
        closest = nearest(key, [name.rpartition(".")[2] for name in known])
        raise UserError(f"unknown key {key!r}{closest}; `clipprompt train {config.method} --keys` lists all of them")
    return fits[0]


def _merged(base: Mapping[str, Any], top: Mapping[str, Any]) -> dict[str, Any]:
    result = dict(base)
    for key, value in top.items():
        old = result.get(key)
        result[key] = _merged(old, value) if isinstance(old, dict) and isinstance(value, dict) else value
    return result


def _validate(method: str, tree: Mapping[str, Any], where: str) -> RunConfig:
    from clipprompt.learners import learner_options

    if tree.get("method", method) != method:
        raise UserError(f"{where}: the method is {method!r}, but key 'method' says {tree['method']!r}")
    options = learner_options(method)
    chosen = tree.get("learner") or {}
    root: type[BaseModel] = RunConfig
    section = ""
    try:
        config = RunConfig.model_validate({**tree, "method": method, "learner": chosen})
        root, section = options, "learner."
        resolved = options.model_validate(chosen).model_dump(mode="json")
    except ValidationError as error:
        raise UserError(f"{where}: {describe_validation(error, section, root)}") from error
    return config.model_copy(update={"learner": resolved})


def _flatten(tree: Mapping[str, Any], prefix: str) -> Iterator[tuple[str, Any]]:
    for key, value in tree.items():
        if isinstance(value, dict):
            yield from _flatten(value, f"{prefix}{key}.")
        else:
            yield prefix + key, value
