"""Which GPUs may be given to replicas."""

from __future__ import annotations

import ctypes.util

import pytest

from jupyter_model_service.adapters.gpus import gpu_ids


@pytest.mark.parametrize(
    ("count", "given", "ids"),
    [
        (0, None, []),
        (0, "0,1", []),  # what somebody promised does not make a GPU
        (3, None, ["0", "1", "2"]),
        (8, "2, 5", ["2", "5"]),
        (8, "GPU-1f3c,MIG-77", ["GPU-1f3c", "MIG-77"]),
        (8, "", []),
        (8, "-1", []),
    ],
)
def test_only_those_that_this_process_may_use(count: int, given: str | None, ids: list[str]) -> None:
    environment = {} if given is None else {"CUDA_VISIBLE_DEVICES": given}
    assert list(gpu_ids(environment, count)) == ids


@pytest.mark.skipif(ctypes.util.find_library("nvidia-ml") is not None, reason="this machine has NVIDIA's library")
def test_a_machine_without_the_library_has_none() -> None:
    assert list(gpu_ids({})) == []
