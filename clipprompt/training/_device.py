"""Where training computes, and how it is made repeatable there."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch

from clipprompt.errors import UserError

if TYPE_CHECKING:
    from lightning_fabric import Fabric


def create_fabric(device: torch.device, n_processes: int = 1) -> Fabric:
    """Lightning Fabric on the backbone's device, connected with the other processes that share the run.

    Towers compute in the backbone's own precision; prompts, losses and gradients stay in float32.

    Args:
        device: the backbone's.
        n_processes: of which this is one; more than one must have been started, by ``run_in_processes`` or torchrun.
    """
    from lightning_fabric import Fabric

    if n_processes == 1:
        devices: Any = [device.index or 0] if device.type == "cuda" else 1
        return Fabric(accelerator=device.type, devices=devices, precision="32-true")
    from lightning_fabric.plugins.environments.torchelastic import TorchElasticEnvironment

    plugins: Any = [TorchElasticEnvironment()]
    fabric = Fabric(accelerator=device.type, devices=n_processes, strategy="ddp", precision="32-true", plugins=plugins)
    log = logging.getLogger("lightning_fabric")
    level = log.level
    log.setLevel(logging.WARNING)  # it tells of every connection
    try:
        fabric.launch()
    finally:
        log.setLevel(level)
    return fabric


def claim_device(device: str, n_processes: int) -> None:
    """Makes ``cuda`` mean a GPU of its own in each of the processes that share a run.

    Raises:
        UserError: if the devices cannot be shared out.
    """
    if n_processes == 1:
        return
    if device not in ("auto", "cpu", "cuda"):
        raise UserError(f"train.devices={n_processes} takes backbone.device auto, cpu or cuda, not {device}")
    if device == "cpu" or not torch.cuda.is_available():
        return
    if n_processes > torch.cuda.device_count():
        n = torch.cuda.device_count()
        there = f"there {'is' if n == 1 else 'are'} {n} GPU{'' if n == 1 else 's'}"
        raise UserError(f"train.devices={n_processes}, but {there}: set train.devices={n} or backbone.device=cpu")
    torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", "0")))


@contextmanager
def repeatable(device: torch.device) -> Iterator[None]:
    """Asks for ordered sums on a GPU, where its kernels offer them; torch's global setting is put back.

    On the CPU a run gives the same bits again without it. On a GPU some kernels only come close.
    """
    if device.type != "cuda":
        yield
        return
    before, warn = torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()
    torch.use_deterministic_algorithms(True, warn_only=True)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before, warn_only=warn)
