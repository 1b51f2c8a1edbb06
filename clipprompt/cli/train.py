"""``clipprompt train METHOD``: one run, one folder."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from clipprompt.config import RunConfig

# Flags are settings under a shorter name; their help is the field's description (a test holds them together).
FLAGS = {
    "--captions": (
        "data.corpus",
        "labelled corpus, as written by `clipprompt corpus build`, or mini for drawn captions",
    ),
    "--root": ("data.root", "folder of a named set, such as voc2007"),
    "--images": ("data.images", "folder of the pictures, where it is not the data's own"),
    "--select": (
        "train.select",
        "which epoch is kept: the last, or the best on a validation split (val: by accuracy or mAP)",
    ),
    "--skip-missing": ("data.skip_missing", "leave out pictures whose file is missing"),
    "--backbone": ("backbone.name", "open_clip architecture, timm:NAME, hf-hub:ORG/NAME, folder, mini or mini-vit"),
    "--pretrained": ("backbone.pretrained", "weights tag or file; none = the model's own, or random weights"),
    "--device": ("backbone.device", "auto, cpu, cuda, cuda:N or mps"),
    "--seed": ("train.seed", "of drawn shots, the prompts' start, batches and the validation split"),
}
# data.corpus or data.dataset, whichever it is.
DATASET = "what is learnt from: a corpus of captions (.parquet) or labelled images (a folder, a table, voc2007, mini)"


def _flag(name: str, *short: str) -> Any:
    return typer.Option(name, *short, help=FLAGS[name][1], show_default=False)


def train(
    method: Annotated[str, typer.Argument(help="learner to train, such as tai_dpt")],
    settings: Annotated[
        list[str] | None, typer.Argument(metavar="[KEY=VALUE]...", help="settings, such as lr=0.002 or learner.n_ctx=8")
    ] = None,
    dataset: Annotated[
        str | None, typer.Option("--dataset", "-d", metavar="DATA", help=DATASET, show_default=False)
    ] = None,
    captions: Annotated[str | None, _flag("--captions")] = None,
    root: Annotated[str | None, _flag("--root")] = None,
    images: Annotated[str | None, _flag("--images")] = None,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="run folder", show_default="runs/…")] = None,
    config: Annotated[Path | None, typer.Option("--config", "-c", help="YAML file with settings")] = None,
    backbone: Annotated[str | None, _flag("--backbone")] = None,
    pretrained: Annotated[str | None, _flag("--pretrained")] = None,
    device: Annotated[str | None, _flag("--device")] = None,
    seed: Annotated[str | None, _flag("--seed")] = None,
    select: Annotated[str | None, _flag("--select")] = None,
    skip_missing: Annotated[bool, _flag("--skip-missing")] = False,
    resume: Annotated[bool, typer.Option("--resume", help="go on with the run in -o, with its own settings")] = False,
    plan: Annotated[
        bool, typer.Option("--plan", help="measure a few steps, print what the run will take, and end")
    ] = False,
    keys: Annotated[bool, typer.Option("--keys", help="list every KEY with its value and meaning, and end")] = False,
) -> None:
    """Train a learner; the prompt, its settings and its log go to one folder.

    A folder that is complete is left alone; one that was cut off is gone on with, and ends with the same numbers.
    """
    if keys:
        _print_keys(method)
        return
    from clipprompt.config import load_config

    given = {
        "--captions": captions if captions == "mini" else _absolute(captions),  # a file of that name is `./mini`
        "--root": _absolute(root),
        "--images": _absolute(images),
        "--select": select,
        "--skip-missing": "true" if skip_missing else None,
        "--backbone": backbone,
        "--pretrained": pretrained,
        "--device": device,
        "--seed": seed,
    }
    flags = [*_dataset(method, dataset, captions), *_as_settings(given)]
    run = _in_full(load_config(method, [*(settings or []), *flags], _own_config(output, config) if resume else config))
    if plan:
        from clipprompt.cli._plan import print_plan

        print_plan(run)
    else:
        _run(run, output or default_folder(run))


def default_folder(config: RunConfig) -> Path:
    """``runs/METHOD-DATA-BACKBONE-seedN``, for a run that names no folder; with classes, shots and known labels."""
    from clipprompt.errors import UserError

    if config.data.dataset is None and config.data.corpus is None:
        raise UserError(
            "no training data: give --dataset corpus.parquet (made by `clipprompt corpus build`) or --dataset IMAGES"
        )
    names = [_short(one) for one in (config.data.dataset, config.data.corpus) if one is not None]
    backbone = config.backbone.name.replace("hf-hub:", "").strip("/").replace("/", "_")
    subset = "" if config.data.subset == "all" else f"-{config.data.subset}"
    split = f"-split{config.data.class_split}" if config.data.class_split else ""
    shots = "" if config.data.shots is None else f"-{config.data.shots}shots"
    share = config.data.known
    known = "" if share is None else f"-{share}" if isinstance(share, str) else f"-known{share}"
    drawn = f"{'+'.join(names)}{subset}{split}{shots}{known}"
    return Path("runs") / f"{config.method}-{drawn}-{backbone}-seed{config.train.seed}"


def _short(data: str) -> str:
    """Data as a part of a folder's name: the last part of a path, and the split."""
    place, _, split = data.rpartition(":") if not Path(data).exists() else (data, "", "")
    return "_".join(part for part in (Path(place).stem, Path(split).stem) if part)


def _dataset(method: str, value: str | None, captions: str | None) -> list[str]:
    """What ``--dataset`` sets: a corpus, or the images of a method that learns from them."""
    from clipprompt.datasets.select import is_named
    from clipprompt.errors import UserError

    if value is None:
        return []
    kept = value if is_named(value) else _absolute(value)  # a folder of that name is `./mini`, as for `clipprompt eval`
    corpus = _is_corpus(method, value)
    if corpus and captions is not None:
        raise UserError(f"--dataset {value} and --captions {captions} are both captions: leave one out")
    return [f"data.{'corpus' if corpus else 'dataset'}={json.dumps(kept)}"]


def _is_corpus(method: str, value: str) -> bool:
    """A Parquet file always is; of a method that learns from captions, what can be nothing else."""
    from clipprompt.learners import learner_class

    learner, path = learner_class(method), Path(value)
    if path.suffix.lower() == ".parquet" or learner.trains_on == "images":
        return path.suffix.lower() == ".parquet"
    is_table = path.suffix.lower() in (".csv", ".tsv", ".jsonl", ".json")
    return not learner.trains_on_both or (path.is_file() and not is_table)


def _in_full(config: RunConfig) -> RunConfig:
    """Files that have no flag, as those that have one."""
    from clipprompt.datasets.select import is_named

    others = config.data.validation
    validation = others if others is not None and is_named(others) else _absolute(others)
    files = {"labels": _absolute(config.data.labels), "validation": validation}
    return config.model_copy(update={"data": config.data.model_copy(update=files)})


def _absolute(value: str | None) -> str | None:
    """Paths in full, so that a run goes on from any folder; also behind ``coco:`` and in front of ``:train``."""
    if value is None:
        return None
    head, colon, tail = value.partition(":")
    if colon and Path(tail).exists() and not Path(value).exists() and not Path(head).exists():
        return f"{head}:{Path(tail).absolute()}"
    folder, colon, split = value.rpartition(":")
    if colon and Path(folder).exists():
        return f"{Path(folder).absolute()}:{split}"
    return str(Path(value).absolute()) if Path(value).exists() or value.lower().endswith(".parquet") else value


def _own_config(output: Path | None, file: Path | None) -> Path:
    from clipprompt.errors import UserError

    if output is None:
        raise UserError("--resume needs the run folder: -o FOLDER")
    if file is not None:
        raise UserError(f"--resume takes its settings from {output / 'config.yaml'}; leave out -c {file}")
    if not (output / "config.yaml").is_file():
        raise UserError(f"nothing to resume: {output} is not a run folder (no config.yaml)")
    return output / "config.yaml"


def _as_settings(given: dict[str, str | None]) -> list[str]:
    settings = []
    for flag, value in given.items():
        if value is not None:
            plain = flag in ("--seed", "--skip-missing") or value == "none"
            settings.append(f"{FLAGS[flag][0]}={value if plain else json.dumps(value)}")
    return settings


def _run(config: RunConfig, folder: Path) -> None:
    # Matrix products on a GPU are repeatable only with this, and only if it is set before the first of them.
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    from clipprompt.printable import printable
    from clipprompt.stopping import InterruptedRunError
    from clipprompt.training._processes import is_first
    from clipprompt.training.run import run_training

    try:
        result = run_training(config, folder, say=lambda message: typer.echo(printable(message), err=True))
    except InterruptedRunError as stop:
        typer.echo(f"{stop}; the same command goes on with {folder}", err=True)
        raise typer.Exit(128 + stop.signum) from None
    except KeyboardInterrupt:
        typer.echo(f"stopped; the same command goes on with {folder}", err=True)
        raise typer.Exit(130) from None
    if is_first():  # of several processes that torchrun started
        typer.echo(str(folder))
    if result is not None and result.skipped:
        raise typer.Exit(1)


def _print_keys(method: str) -> None:
    from clipprompt.config import describe_config

    for key, value, text in describe_config(method):
        typer.echo(f"{key}={'none' if value is None else json.dumps(value)}  # {text}")
