"""Who imports whom, read off the files: what docs/architecture.md says of the folders."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import clipprompt

PACKAGE = Path(clipprompt.__file__).parent


def _imports(folder: str) -> Iterator[tuple[str, str]]:
    """Files and the modules that they import, those inside functions too; of ``from a import b``, ``a.b``."""
    for path in sorted((PACKAGE / folder).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                yield from ((str(path.relative_to(PACKAGE)), alias.name) for alias in node.names)
            elif isinstance(node, ast.ImportFrom):
                yield from ((str(path.relative_to(PACKAGE)), f"{node.module}.{alias.name}") for alias in node.names)


@pytest.mark.parametrize(
    ("folder", "forbidden"),
    [("backbone", "learners"), ("backbone", "training"), ("learners", "training"), ("learners", "evaluation")],
)
def test_data_flows_one_way(folder: str, forbidden: str) -> None:
    assert [one for one in _imports(folder) if f"{one[1]}.".startswith(f"clipprompt.{forbidden}.")] == []


def test_open_clip_and_timm_are_the_backbones_affair() -> None:
    users = {Path(file).parts[0] for file, module in _imports(".") if module.split(".")[0] in ("open_clip", "timm")}
    assert users == {"backbone"}


@pytest.mark.parametrize("folder", ["backbone", "learners"])
def test_no_machinery_of_another_folder_is_used(folder: str) -> None:
    others = [one for one in _imports(folder) if not one[1].startswith(f"clipprompt.{folder}.")]
    inner = [(file, module.removeprefix("clipprompt.")) for file, module in others if module.startswith("clipprompt.")]
    assert [one for one in inner if "._" in one[1]] == []
