from __future__ import annotations

import pytest
import torch

from clipprompt.errors import UserError
from clipprompt.training._device import claim_device, create_fabric, repeatable


@pytest.mark.parametrize("before", [False, True])
def test_on_a_gpu_sums_are_ordered_and_the_setting_is_put_back(before: bool) -> None:
    torch.use_deterministic_algorithms(before)
    try:
        with pytest.raises(ValueError, match="inside"), repeatable(torch.device("cuda")):  # noqa: PT012
            assert torch.are_deterministic_algorithms_enabled()
            assert torch.is_deterministic_algorithms_warn_only_enabled()
            raise ValueError("inside")
        assert torch.are_deterministic_algorithms_enabled() == before
        assert not torch.is_deterministic_algorithms_warn_only_enabled()
    finally:
        torch.use_deterministic_algorithms(False)


def test_on_a_cpu_nothing_global_changes() -> None:
    with repeatable(torch.device("cpu")):
        assert not torch.are_deterministic_algorithms_enabled()


def test_fabric_is_on_the_backbones_device() -> None:
    assert create_fabric(torch.device("cpu")).device == torch.device("cpu")


@pytest.mark.parametrize("device", ["cuda:1", "mps"])
def test_a_device_that_cannot_be_shared_out_is_named(device: str) -> None:
    claim_device(device, 1)
    with pytest.raises(UserError, match=rf"train\.devices=2 takes backbone\.device auto, cpu or cuda, not {device}"):
        claim_device(device, 2)


def test_more_processes_than_gpus_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    claim_device("cpu", 2)
    with pytest.raises(UserError, match=r"there is 1 GPU: set train\.devices=1"):
        claim_device("auto", 2)


def test_each_process_has_a_gpu_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    chosen = list[int]()
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "set_device", chosen.append)
    monkeypatch.setenv("LOCAL_RANK", "1")
    claim_device("cuda", 2)
    assert chosen == [1]
