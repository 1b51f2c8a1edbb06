from __future__ import annotations

import pytest
import torch

from clipprompt.training._device import create_fabric, repeatable


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
