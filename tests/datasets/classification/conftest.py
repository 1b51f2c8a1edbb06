from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from clipprompt.datasets.classification.specifications import SPECIFICATIONS
from tests.datasets.classification.archives import FETCHED, hub_archive, miniature_sizes
from tests.sharing.hub_stand_in import Hub, lead_to, run_hub


@pytest.fixture(scope="session")
def archives(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """The zip of every set that the Hub has, by its file name."""
    folder = tmp_path_factory.mktemp("hub")
    return {SPECIFICATIONS[name].archive: hub_archive(name, folder / name) for name in FETCHED}


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Hub]:
    """A Hub for a user who is not logged in, in a world where the official sets are as small as the miniatures."""
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with run_hub() as state, miniature_sizes():
        lead_to(state, monkeypatch, tmp_path, token="")
        yield state
