"""The folder of one run: its configuration, its log, its checkpoints, and at the end the prompt.

    config.yaml, log.txt, metrics.jsonl, events…, checkpoints/last.safetensors; last prompt.safetensors, prompt.json

A folder is new, cut off (then the run goes on, if the configuration is the same), or complete (then nothing is done).
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

from clipprompt.config import RunConfig, dump_config, flat_config, read_config
from clipprompt.errors import UserError
from clipprompt.files import write_text
from clipprompt.locks import locked

LOG = "log.txt"
_PROMPT_FILES = ("prompt.safetensors", "prompt.json")
# Where things lie and how often is saved: these may change between a cut and its resumption.
_FREE = (
    "data.corpus",
    "data.dataset",
    "data.root",
    "data.images",
    "data.labels",
    "data.validation",
    "data.workers",
    "data.cache",
    "data.cache_memory_gb",
    "train.checkpoint_seconds",
    "train.checkpoint_steps",
    "train.log_steps",
)
# Settings that came later, with what runs did that do not know them.
_LATER = {"train.optimizer": "sgd", "train.cosine": "run", "data.with_val": False, "data.share": None}
_FINGERPRINTS = ("backbone.fingerprint", "data.fingerprint")


class RunFolder:
    """One run's files. Made by ``open_run``, which also keeps others out while it is open.

    Attributes:
        path: the folder.
        writes: whether this process writes there; of several that share a run, only the first does.
    """

    def __init__(self, path: Path, writes: bool = True) -> None:
        self.path, self.writes = path, writes

    @property
    def checkpoint(self) -> Path:
        """Where the run stands, if it was cut off."""
        return self.path / "checkpoints" / "last.safetensors"

    @property
    def cache(self) -> Path:
        """Features too large for memory, while the run is not complete."""
        return self.path / "cache"

    @property
    def is_begun(self) -> bool:
        """Whether there is something to lose: encoded features, a checkpoint, or a part of the prompt."""
        return any(path.exists() for path in (self.cache, self.checkpoint, *map(self.path.joinpath, _PROMPT_FILES)))

    @property
    def is_complete(self) -> bool:
        """Whether the prompt has been written."""
        return all((self.path / name).is_file() for name in _PROMPT_FILES)

    def claim(self, config: RunConfig) -> None:
        """Makes the folder this configuration's, or finds that it is.

        Fingerprints that one side does not know yet are no difference. A run that was refused before it began leaves
        its folder to the next, whose mistake is mended.

        Raises:
            UserError: naming the first key in which the folder's own configuration differs.
        """
        if not self.writes:
            return
        path = self.path / "config.yaml"
        if path.exists():
            old, new = flat_config(read_config(path)), flat_config(config)
            for key in dict.fromkeys([*old, *new]) if self.is_begun else ():
                before, now = old.get(key), new.get(key)
                if before != now and key not in _FREE and not (key in _FINGERPRINTS and None in (before, now)):
                    raise UserError(
                        f"{self.path} holds another run: {key} is {before!r} there and {now!r} here{_moved(key, old)}; "
                        "choose another folder with -o, or the same setting"
                    )
        if not path.exists() or not self.is_complete:
            write_text(path, dump_config(config))

    def log(self, message: str) -> None:
        """Adds a line with the time to ``log.txt``; a full disk does not end the run here."""
        if not self.writes:
            return
        with contextlib.suppress(OSError), (self.path / LOG).open("a", encoding="utf-8") as file:
            file.write(f"{datetime.now().astimezone().isoformat(timespec='seconds')} {message}\n")


def compared_settings(config: RunConfig) -> dict[str, Any]:
    """Everything that a run computes from: its settings, without where things lie and how often is saved.

    A run from before a setting existed is the same as one now that leaves it as it is.
    """
    return {key: v for key, v in flat_config(config).items() if key not in _FREE and not is_as_before(key, v)}


def is_as_before(key: str, value: Any) -> bool:
    """Whether a setting is one that runs of old do not know, and is left as they have it without saying so."""
    return key in _LATER and value == _LATER[key]


def config_hash(config: RunConfig) -> str:
    """A short hash of everything that a run computes from."""
    return hashlib.sha256(json.dumps(compared_settings(config), sort_keys=True).encode()).hexdigest()[:16]


def _moved(key: str, old: Mapping[str, Any]) -> str:
    source = " and ".join(old[at] for at in ("data.corpus", "data.dataset") if old.get(at))
    return f" (it was trained on {source}, as it was then)" if key == "data.fingerprint" else ""


@contextmanager
def open_run(path: str | os.PathLike[str], writes: bool = True) -> Iterator[RunFolder]:
    """Opens a run folder, making it where there is none.

    Args:
        path: the folder.
        writes: False for a process that shares the run of another, which has the folder open.

    Raises:
        UserError: if it cannot be made or holds something else.
        InUseError: if another process has it open.
    """
    folder = Path(path)
    if not writes:
        yield RunFolder(folder, writes=False)
        return
    try:
        folder.mkdir(parents=True, exist_ok=True)
        present = {entry.name for entry in folder.iterdir() if not entry.name.startswith(".")} - {LOG}
    except OSError as error:
        raise UserError(f"cannot use {folder} as a run folder: {error.strerror or error}") from error
    if present and "config.yaml" not in present:
        raise UserError(f"{folder} is not empty and not a run folder (no config.yaml); choose another with -o")
    with locked(folder, ".lock"):
        for torn in [*folder.glob(".*.part"), *folder.glob("checkpoints/.*.part")]:
            torn.unlink(missing_ok=True)  # half-written files of a killed run; nobody else writes here now
        yield RunFolder(folder)
