from __future__ import annotations

import pytest

from clipprompt.reports.protocols.class_accuracy import worst_classes
from tests.reports.protocol_records import record


def test_accuracy_of_a_class_is_the_mean_over_runs() -> None:
    runs = [
        record(classnames=["a", "b", "c"], per_class_accuracy=[0.5, 0.2, None]),
        record(classnames=["a", "b", "c"], per_class_accuracy=[0.1, 0.8, None], seed=2),
    ]
    assert [entry.name for entry in worst_classes(runs)] == ["a", "b"]
    assert [entry.percent for entry in worst_classes(runs)] == pytest.approx([30.0, 50.0])
    assert len(worst_classes(runs, 1)) == 1


def test_runs_of_other_halves_are_brought_together_by_name() -> None:
    runs = [
        record(classnames=["a", "b"], per_class_accuracy=[1.0, 0.4]),
        record(classnames=["b", "c"], per_class_accuracy=[0.2, 0.3], class_split=1),
    ]
    assert [(entry.name, round(entry.percent)) for entry in worst_classes(runs)] == [("b", 30), ("c", 30), ("a", 100)]


def test_nothing_tested_is_nothing_worst() -> None:
    assert worst_classes([record(classnames=["a"], per_class_accuracy=[None])]) == []
