"""Reads a checkpoint of the original projects without executing anything in it.

    folder -> newest model.pth.tar-N -> torch.load(weights_only=True) -> {"state_dict", "epoch", …} -> plain tensors

Those projects save their learning rate schedule with the weights, as live objects. Such bookkeeping is read into empty
stand-ins: no class of it is looked up and no function called. Any other object in the file is refused by its name.
"""

from __future__ import annotations

import pickle
import re
import warnings
import zipfile
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from clipprompt.errors import UserError

# Where the classes of optimisers and schedules live, and of numpy's numbers (a validation result may be one).
_BOOKKEEPING = re.compile(
    r"(torch\.optim\.|dassl\.optim\.|collections\.(defaultdict|Counter)$|builtins\.(dict|list|set|int|float)$"
    r"|_codecs\.encode$|numpy\.(dtype|ndarray)$|numpy\._?core\.multiarray\.(scalar|_reconstruct)$|numpy\.dtypes\.)"
)
_NAMES = re.compile(r"model(-best)?\.pth\.tar(-(?P<epoch>\d+))?")
_BROKEN = (OSError, RuntimeError, EOFError, ValueError, TypeError, KeyError, IndexError, AttributeError)


class Checkpoint(NamedTuple):
    """What is used of a checkpoint.

    Attributes:
        path: the file.
        epoch: after how many epochs it was written; None where it does not say.
        tensors: the state, under the file's own keys.
    """

    path: Path
    epoch: int | None
    tensors: dict[str, Tensor]


class _StandIn:
    """Takes the place of an object of the schedule: keeps nothing and does nothing."""

    def __new__(cls, *_: Any) -> _StandIn:
        return super().__new__(cls)

    def __init__(self, *_: Any) -> None:
        pass

    def __setstate__(self, state: Any) -> None:
        pass


class _PlainDict:
    """Takes the place of a dict with a factory: PyTorch's reader fills plain ones only."""

    def __new__(cls, *_: Any) -> Any:
        return {}


def read_checkpoint(path: Path) -> Checkpoint:
    """Reads a checkpoint.

    Args:
        path: a file, or a folder with ``model.pth.tar-N`` or ``model-best.pth.tar``.

    Raises:
        UserError: if there is none, or it is broken, or needs more than plain tensors.
    """
    file = find_checkpoint(path)
    found = _load(file)
    if not isinstance(found, dict) or not isinstance(found.get("state_dict"), dict):
        raise UserError(f"{file} is not a checkpoint of a prompt learner: it has no 'state_dict'")
    state = found["state_dict"]
    for key, value in state.items():
        if not isinstance(key, str) or not isinstance(value, Tensor):
            raise UserError(f"{file}: {str(key)[:80]!r} in its 'state_dict' is a {type(value).__name__}, not a tensor")
    epoch = found.get("epoch")
    return Checkpoint(file, epoch if isinstance(epoch, int) else None, dict(state))


def find_checkpoint(path: Path) -> Path:
    """The file itself; of a folder, or the prompt learner's folder in it, the file of the last epoch.

    Raises:
        UserError: if there is no such file.
    """
    if path.is_file():
        return path
    if not path.is_dir():
        raise UserError(f"there is no checkpoint {path}; give a file or folder, such as output/prompt_learner")
    try:
        files = [file for folder in ("", "prompt_learner", "MultiModalPromptLearner") for file in _in(path / folder)]
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror or error}") from error
    if not files:
        raise UserError(f"{path} has no checkpoint: no model.pth.tar-N and no model-best.pth.tar in it")
    return max(files, key=_epoch)


def _in(folder: Path) -> list[Path]:
    return [f for f in folder.iterdir() if _NAMES.fullmatch(f.name) and f.is_file()] if folder.is_dir() else []


def _epoch(file: Path) -> int:
    match = _NAMES.fullmatch(file.name)
    return int(match["epoch"] or -1) if match else -1


def _load(file: Path) -> Any:
    zipped = zipfile.is_zipfile(file)
    try:
        allowed = torch.serialization.safe_globals(_stand_ins(file) if zipped else [])
        with allowed, warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of other pickle protocols: what cannot be read is an error
            return torch.load(file, map_location="cpu", weights_only=True, mmap=zipped)
    except pickle.UnpicklingError as error:
        old = "" if zipped else ", being no file of PyTorch 1.6 or later"
        raise UserError(f"{file} is no checkpoint that can be read without running code in it{old}") from error
    except _BROKEN as error:
        raise UserError(f"{file} cannot be read: it is broken, cut short or not a checkpoint of PyTorch") from error


def _stand_ins(file: Path) -> list[Any]:
    """A stand-in for each name in the file that PyTorch would look up.

    Raises:
        UserError: for a name that belongs to no schedule, and so has no business in a prompt.
    """
    names = torch.serialization.get_unsafe_globals_in_checkpoint(file)
    for name in sorted(names):
        if not _BOOKKEEPING.match(name):
            raise UserError(f"{file} is refused: it would run {name}, and a prompt is nothing but tensors")
    return [_named_stand_in(name) for name in names]


def _named_stand_in(name: str) -> type:
    """A class of that name: every version of PyTorch looks an allowed class up by its module and name."""
    module, _, plain = name.rpartition(".")
    return type(plain, (_PlainDict if name == "collections.defaultdict" else _StandIn,), {"__module__": module})
