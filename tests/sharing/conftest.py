from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from clipprompt.backbone import Backbone
from clipprompt.learners import create_learner
from tests.sharing.hub_stand_in import Hub, lead_to, run_hub


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Hub]:
    """The stand-in, a user who is logged in, and no way off this machine."""
    with run_hub() as state:
        lead_to(state, monkeypatch, tmp_path)
        yield state


@pytest.fixture
def prompt(tiny_vit_backbone: Backbone, tmp_path: Path) -> Path:
    """A prompt folder of a run: the prompt, and what stays at home."""
    folder = tmp_path / "run"
    create_learner("coop", tiny_vit_backbone, ["cat", "traffic light", "`dog`"], n_ctx=4).save(folder)
    (folder / "checkpoints").mkdir()
    for name in ("checkpoints/last.safetensors", "log.txt", "metrics.jsonl", "captions.parquet", "evil.pkl", "run.py"):
        (folder / name).write_bytes(b"stays at home")
    return folder
