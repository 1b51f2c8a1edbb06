from __future__ import annotations

from pathlib import Path

import pytest

from tools.bench import images, protocols


def test_both_sides_answer_alike(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"WORKERS": 0, "N_OF_EACH": 2, "SEEDS": (1,)}.items():
        monkeypatch.setattr(protocols, name, value)
    monkeypatch.setattr(images, "_PHOTOS", tmp_path / "missing")
    monkeypatch.setattr(images, "scene_split", lambda split, n, real=images.scene_split: real(split, 16))
    folder, source = protocols.make_set(tmp_path)
    plain, ours = protocols.make_plain("mini", folder)(), protocols.make_ours("mini", folder)()
    assert source == "80 drawn scenes with noise"
    assert plain == ours
    assert len(plain) == len(protocols.METHODS) * 2
