"""What a checkout finds at its top level, a wheel finds inside itself."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from clipprompt.resources import resource

ROOT = Path(__file__).parents[1]
SHIPPED = [
    "synonyms/voc2007.yaml",
    "synonyms/coco2014.yaml",
    "synonyms/nuswide.yaml",
    "configs/methods/tai_dpt.yaml",
    "configs/demo.yaml",
]


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, unpacked into a folder of its own."""
    place = tmp_path_factory.mktemp("wheel")
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(place)],
        cwd=ROOT,
        check=True,
        capture_output=True,
    )
    (wheel,) = place.glob("*.whl")
    assert wheel.stat().st_size < 20e6
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(place / "site")
    return place / "site"


@pytest.mark.parametrize("name", SHIPPED)
def test_a_checkout_has_what_is_shipped(name: str) -> None:
    assert resource(name).is_relative_to(ROOT)


@pytest.mark.parametrize("name", SHIPPED)
def test_a_wheel_has_the_same_files(installed: Path, name: str) -> None:
    found = subprocess.run(
        [sys.executable, "-c", f"from clipprompt.resources import resource; print(resource({name!r}))"],
        cwd=installed.parent,
        env={**os.environ, "PYTHONPATH": str(installed)},
        check=True,
        capture_output=True,
        text=True,
    )
    path = Path(found.stdout.strip())
    assert path.is_relative_to(installed)
    assert path.read_bytes() == resource(name).read_bytes()


def test_a_wheel_has_the_mini_weights_and_no_tests(installed: Path) -> None:
    assets = installed / "clipprompt" / "mini" / "assets"
    assert {"open_clip_config.json", "open_clip_model.safetensors"} <= {path.name for path in assets.iterdir()}
    tower = assets.with_name("assets_vit")
    assert {"open_clip_config.json", "vision.safetensors"} <= {path.name for path in tower.iterdir()}
    assert not (installed / "tests").exists()
    assert (installed / "clipprompt" / "py.typed").exists()


def test_an_unknown_resource_is_named() -> None:
    with pytest.raises(FileNotFoundError, match=r"configs/none\.yaml is not part of this installation"):
        resource("configs/none.yaml")
