"""One training run in a process of its own, which can be killed: at a random moment, or by itself at a chosen one.

The processes are forked from a server that has imported everything, so that each starts in a few milliseconds.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import time
from collections.abc import Callable, Sequence
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any, Literal

import lightning_fabric  # noqa: F401 (imported here, once, for all processes)
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import tensorboard.summary.writer.record_writer  # noqa: F401
import torch
from PIL import Image
from safetensors.torch import save_file

import clipprompt.training.run
from clipprompt.config import load_config
from clipprompt.stopping import InterruptedRunError
from clipprompt.training.run_folder import open_run
from tests.golden import tiny_clip

GOLDEN = Path(tiny_clip.__file__).parent
_CONTEXT = multiprocessing.get_context("forkserver")
_CONTEXT.set_forkserver_preload([__name__])


def write_backbone(folder: Path, kind: Literal["rn", "vit"] = "rn") -> Path:
    """The tiny ResNet or transformer CLIP as a local open_clip folder."""
    config = json.loads((GOLDEN / f"tiny_{kind}_open_clip.json").read_text())
    folder.mkdir(parents=True)
    (folder / "open_clip_config.json").write_text(json.dumps({"model_cfg": config, "preprocess_cfg": {}}))
    weights = tiny_clip.tiny_rn_state_dict(0) if kind == "rn" else tiny_clip.tiny_vit_state_dict(0)
    save_file(weights, folder / "open_clip_model.safetensors")
    return folder


def write_photos(folder: Path, classnames: Sequence[str], n_images: int = 4) -> Path:
    """A folder of class folders, each with pictures of noise in a colour of its own."""
    for number, name in enumerate(classnames):
        (folder / name).mkdir(parents=True)
        draw = np.random.default_rng(number)
        for image in range(n_images):
            pixels = draw.integers(0, 256, (10, 14, 3)) * [1, (number + 1) % 3 / 2, number % 3 / 2]
            Image.fromarray(pixels.astype(np.uint8)).resize((90, 70)).save(folder / name / f"{image}.jpg")
    return folder


def write_corpus(
    path: Path,
    captions: Sequence[str],
    labels: Sequence[Sequence[int]],
    classnames: Sequence[str],
    image_ids: Sequence[str | None] | None = None,
) -> Path:
    """A labelled corpus as ``clipprompt corpus build`` writes it, made by hand."""
    table = pa.table(
        {
            "caption_id": pa.array([str(i) for i in range(len(captions))], pa.string()),
            "image_id": pa.array(image_ids or [None] * len(captions), pa.string()),
            "caption": pa.array(captions, pa.string()),
            "labels": pa.array(labels, pa.list_(pa.int32())),
        }
    )
    about = {"format": 1, "classes": list(classnames)}
    pq.write_table(table.replace_schema_metadata({"clipprompt": json.dumps(about)}), path)
    return path


def start(folder: Path, settings: Sequence[str], kill_at: int | None = None, method: str = "tai_dpt") -> BaseProcess:
    """Starts a run.

    Args:
        folder: the run folder.
        settings: of ``load_config``.
        kill_at: the process kills itself before its n-th change to the disk.
        method: the learner.
    """
    return start_process(_run, str(folder), list(settings), kill_at, method)


def start_process(target: Callable[..., None], *arguments: Any) -> BaseProcess:
    """Starts a function of this module in a forked process."""
    # The server looks for this module when it starts, before it knows pytest's own path.
    os.environ["PYTHONPATH"] = os.pathsep.join([str(GOLDEN.parent.parent), os.environ.get("PYTHONPATH", "")])
    process = _CONTEXT.Process(target=target, args=arguments)
    process.start()
    return process


def finish(folder: Path, settings: Sequence[str], method: str = "tai_dpt") -> int:
    """Runs to the end; returns the exit code."""
    process = start(folder, settings, method=method)
    process.join(120)
    return process.exitcode if process.exitcode is not None else -1


def hold_folder(folder: str) -> None:
    """Keeps a run folder open until the process is killed."""
    with open_run(folder):
        Path(folder, "held").touch()
        time.sleep(600)


def _run(folder: str, settings: list[str], kill_at: int | None, method: str) -> None:
    torch.set_num_threads(1)
    if kill_at is not None:
        _count_changes(kill_at)
    try:
        clipprompt.training.run.run_training(load_config(method, settings), folder)
    except InterruptedRunError as stop:
        raise SystemExit(128 + stop.signum) from None


def _count_changes(kill_at: int) -> None:
    # Everything that reaches the disk goes through one of these: data is made durable, then renamed or closed.
    left = [kill_at]

    def before(call: Callable[..., Any]) -> Callable[..., Any]:
        def counted(*args: Any, **kwargs: Any) -> Any:
            left[0] -= 1
            if left[0] < 0:
                os.kill(os.getpid(), signal.SIGKILL)
            return call(*args, **kwargs)

        return counted

    for owner, name in ((os, "fsync"), (Path, "replace"), (Path, "write_bytes"), (Path, "write_text")):
        setattr(owner, name, before(getattr(owner, name)))
