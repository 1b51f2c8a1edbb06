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


@pytest.fixture
def make_multilabel(make_record: Make) -> Make:
    """Whole records, as files hold them."""
    f1 = {"CF1": 0.25, "OF1": 0.5}
    measured = {
        "at_top3": f1,
        "at_threshold": f1,
        "threshold": 0.5,
        "probabilities": "sigmoid",
        "calibration_error": 0.1,
    }

    def make(row: str = "TaI-DPT", score: float = 0.5, **more: Any) -> dict[str, Any]:
        return make_record(row, score, **{"protocol": "multilabel", "normalise": "none", **measured, **more})

    return make
