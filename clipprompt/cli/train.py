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
    "--dataset": ("data.corpus", "labelled corpus, as written by `clipprompt corpus build`"),
    "--backbone": ("backbone.name", "open_clip architecture, hf-hub:ORG/NAME, local folder, or mini"),
    "--pretrained": ("backbone.pretrained", "weights tag or file; none = the model's own, or random weights"),
    "--device": ("backbone.device", "auto, cpu, cuda, cuda:N or mps"),
    "--seed": ("train.seed", "of the prompts' start, of the batches and of the validation split"),
}


def _flag(name: str, *short: str) -> Any:
    return typer.Option(name, *short, help=FLAGS[name][1], show_default=False)


def train(
    method: Annotated[str, typer.Argument(help="learner to train, such as tai_dpt")],
    settings: Annotated[
        list[str] | None, typer.Argument(metavar="[KEY=VALUE]...", help="settings, such as lr=0.002 or learner.n_ctx=8")
    ] = None,
    dataset: Annotated[str | None, _flag("--dataset", "-d")] = None,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="run folder", show_default="runs/…")] = None,
    config: Annotated[Path | None, typer.Option("--config", "-c", help="YAML file with settings")] = None,
    backbone: Annotated[str | None, _flag("--backbone")] = None,
    pretrained: Annotated[str | None, _flag("--pretrained")] = None,
    device: Annotated[str | None, _flag("--device")] = None,
    seed: Annotated[str | None, _flag("--seed")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="go on with the run in -o, with its own settings")] = False,
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
        "--dataset": dataset,
        "--backbone": backbone,
        "--pretrained": pretrained,
        "--device": device,
        "--seed": seed,
    }
    run = load_config(
        method, [*(settings or []), *_as_settings(given)], _own_config(output, config) if resume else config
    )
    _run(run, output or default_folder(run))


def default_folder(config: RunConfig) -> Path:
    """``runs/METHOD-CORPUS-BACKBONE-seedN``, for a run that names no folder."""
    from clipprompt.errors import UserError

    if config.data.corpus is None:
        raise UserError("no training data: give --dataset corpus.parquet (made by `clipprompt corpus build`)")
    backbone = config.backbone.name.replace("hf-hub:", "").strip("/").replace("/", "_")
    return Path("runs") / f"{config.method}-{Path(config.data.corpus).stem}-{backbone}-seed{config.train.seed}"


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
            text = value if flag == "--seed" or value == "none" else json.dumps(value)
            if flag == "--dataset":
                text = json.dumps(str(Path(value).absolute()))
            settings.append(f"{FLAGS[flag][0]}={text}")
    return settings


def _run(config: RunConfig, folder: Path) -> None:
    # Matrix products on a GPU are repeatable only with this, and only if it is set before the first of them.
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    from clipprompt.stopping import InterruptedRunError
    from clipprompt.training.run import run_training

    try:
        run_training(config, folder, say=lambda message: typer.echo(message, err=True))
    except InterruptedRunError as stop:
        typer.echo(f"{stop}; the same command goes on with {folder}", err=True)
        raise typer.Exit(128 + stop.signum) from None
    except KeyboardInterrupt:
        typer.echo(f"stopped; the same command goes on with {folder}", err=True)
        raise typer.Exit(130) from None
    typer.echo(str(folder))


def _print_keys(method: str) -> None:
    from clipprompt.config import describe_config

    for key, value, text in describe_config(method):
        typer.echo(f"{key}={'none' if value is None else json.dumps(value)}  # {text}")
