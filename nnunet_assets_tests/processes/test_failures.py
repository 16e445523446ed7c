"""What the texts of torch, CUDA and the operating system mean; each is as the library writes it."""

import errno
from typing import Any

import pytest

from nnunet_assets.processes.exit_codes import ExitCode
from nnunet_assets.processes.failures import explain


class OutOfMemoryError(RuntimeError):
    """As torch names its own."""


def cuda(text: str) -> Any:
    return RuntimeError(
        f"CUDA error: {text}\nCUDA kernel errors might be asynchronously reported at some other API call."
    )


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (OutOfMemoryError("Allocation on device 0 would exceed allowed memory."), ExitCode.OUT_OF_GPU_MEMORY),
        (cuda("out of memory"), ExitCode.OUT_OF_GPU_MEMORY),
        (RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling cublasCreate"), ExitCode.OUT_OF_GPU_MEMORY),
        (cuda("uncorrectable ECC error encountered"), ExitCode.GPU_LOST),
        (cuda("device-side assert triggered"), ExitCode.GPU_LOST),
        (cuda("an illegal memory access was encountered"), ExitCode.GPU_LOST),
        (RuntimeError("cuDNN error: CUDNN_STATUS_EXECUTION_FAILED"), ExitCode.GPU_LOST),
        (cuda("no kernel image is available for execution on the device"), ExitCode.BUG),
        (cuda("invalid device ordinal"), ExitCode.BUG),
        (RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried"), ExitCode.OUT_OF_MEMORY),
        (OSError(errno.ENOMEM, "Cannot allocate memory"), ExitCode.OUT_OF_MEMORY),
        (RuntimeError("Some background workers are no longer alive"), ExitCode.OUT_OF_MEMORY),
        (RuntimeError("The size of tensor a (3) must match"), ExitCode.BUG),
    ],
)
def test_an_error_has_its_code(error: Any, code: Any) -> None:
    assert explain(error, "")[0] == code


def test_the_advice_of_torch_stays_in_the_log() -> None:
    assert explain(cuda("unspecified launch failure"), "")[1] == (
        "The GPU failed: CUDA error: unspecified launch failure."
    )


def test_what_came_first_decides() -> None:
    lost = cuda("unspecified launch failure")
    after = MemoryError("while it cleaned up")
    after.__context__ = lost
    assert explain(after, "")[0] == ExitCode.GPU_LOST
