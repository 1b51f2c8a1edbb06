"""The backbone that was loaded last, for the next job of the same."""

from __future__ import annotations

from collections.abc import Iterable

from clipprompt.backbone import Backbone, check_device
from clipprompt.config import BackboneConfig, RunConfig
from clipprompt.sweep.task import Task
from clipprompt.training.run import load_configured_backbone


class Backbones:
    """Keeps one: jobs of a sweep share it, and memory may have no place for two."""

    def __init__(self) -> None:
        self._kept: tuple[tuple[BackboneConfig, bool], Backbone] | None = None

    def load(self, config: RunConfig) -> Backbone:
        """The backbone that a configuration names, loaded only if it is another one than the last.

        Raises:
            UserError: if it cannot be loaded.
        """
        # Towers that were compiled for one run stay compiled, which moves the last bits of the next.
        key = (config.backbone.model_copy(update={"fingerprint": None}), config.train.compile)
        if self._kept is None or self._kept[0] != key:
            self._kept = None  # before the next is loaded: two might not fit
            self._kept = (key, load_configured_backbone(config))
        return self._kept[1]


def check_devices(tasks: Iterable[Task]) -> None:
    """Finds a device that this machine lacks, or that has no such precision.

    Raises:
        UserError: naming what can be used.
    """
    for device, precision in dict.fromkeys((t.config.backbone.device, t.config.backbone.precision) for t in tasks):
        check_device(device, precision)
