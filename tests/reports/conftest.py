"""Records as the multi-label protocol yields them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

Make = Callable[..., dict[str, Any]]


@pytest.fixture
def make_record() -> Make:
    def make(row: str = "TaI-DPT", score: float = 0.5, **more: Any) -> dict[str, Any]:
        facts = {"dataset": "photos", "n_images": 9, "split_hash": "s", "class_hash": "c", "classnames": ["cat", "dog"]}
        learnt = {"method": "tai_dpt", "branch": "merged", "control": False, "variant": "", "seed": 1, "source": None}
        model = {"backbone": "RN50", "pretrained": "openai", "fingerprint": "f", "precision": "fp32"}
        numbers = {"mean_average_precision": score, "average_precision": [score - 0.1, score + 0.1]}
        return {**facts, **learnt, **model, "row": row, **numbers, **more}

    return make
