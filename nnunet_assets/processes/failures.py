"""What an exception in a child means: the exit code and the sentence for it.

Looks at types of the standard library and at the texts that torch, CUDA and batchgenerators write; imports none
of them.
"""

import errno
import re

from nnunet_assets.processes.exit_codes import ExitCode

_GPU_MEMORY = ("CUDA out of memory", "CUDA error: out of memory", "_STATUS_ALLOC_FAILED", "MPS backend out of memory")
_HOST_MEMORY = ("can't allocate memory", "not enough memory: you tried to allocate", "unable to allocate shared memory")
_GPU = (
    "CUDA error: ",
    "CUDNN_STATUS_EXECUTION_FAILED",
    "CUBLAS_STATUS_EXECUTION_FAILED",
    "CUDNN_STATUS_INTERNAL_ERROR",
)
_INSTALLATION = ("no kernel image", "invalid device ordinal", "driver version is insufficient", "no CUDA-capable")
"""CUDA errors of a build or a setting, which no second try cures."""

_DEAD_WORKERS = "ackground workers are no longer alive"
_WORKER_FAILED = "Exception in background worker"


def explain(error: BaseException, output: str) -> tuple[ExitCode, str]:
    """Returns the exit code of an exception that ends a child, and a sentence about it.

    The first exception of the chain that is known decides: a GPU that fails makes the cleanup fail in turn.

    Args:
        error: The exception.
        output: What the child and its workers printed last; a worker's own error is only there.
    """
    for link in _chain(error):
        known = _known(link, output)
        if known:
            return known
    return ExitCode.BUG, f"The process failed unexpectedly: {type(error).__name__}: {error}"


def _chain(error: BaseException) -> list[BaseException]:
    """Returns the exception and those that led to it, the oldest first."""
    chain: list[BaseException] = []
    link: BaseException | None = error
    while link is not None and link not in chain:
        chain.insert(0, link)
        link = link.__cause__ or link.__context__
    return chain


def _known(error: BaseException, output: str) -> tuple[ExitCode, str] | None:
    text = str(error)
    number = error.errno if isinstance(error, OSError) else None
    if isinstance(error, OSError) and number in {errno.ENOSPC, errno.EDQUOT}:
        return ExitCode.NO_SPACE, f"No space is left on the disk for {error.filename or 'the results'}."
    if type(error).__name__ == "OutOfMemoryError" or _has(text, _GPU_MEMORY):
        return ExitCode.OUT_OF_GPU_MEMORY, f"The GPU ran out of memory: {_first_line(text)}."
    if isinstance(error, MemoryError) or number == errno.ENOMEM or _has(text, _HOST_MEMORY):
        return ExitCode.OUT_OF_MEMORY, f"The machine ran out of memory: {_named(error)}."
    if _has(text, _GPU) and not _has(text, _INSTALLATION):
        return ExitCode.GPU_LOST, f"The GPU failed: {_first_line(text)}."
    if _DEAD_WORKERS in text:
        return _dead_workers(output)
    return None


def _dead_workers(output: str) -> tuple[ExitCode, str]:
    """Tells a worker that was killed from one that failed and said why."""
    _, failed, words = output.rpartition(_WORKER_FAILED)
    if failed and not re.search(r"^\S*MemoryError\b", words, re.MULTILINE):
        said = " ".join(words.partition("Traceback")[0].partition(":")[2].split())
        return ExitCode.BUG, f"A worker process failed: {said or 'it did not say why'}."
    return ExitCode.OUT_OF_MEMORY, "A worker process was killed, most often because the machine ran out of memory."


def _has(text: str, any_of: tuple[str, ...]) -> bool:
    return any(part in text for part in any_of)


def _named(error: BaseException) -> str:
    text = _first_line(str(error))
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def _first_line(text: str) -> str:
    # torch adds a paragraph of advice to a CUDA error.
    return (text.strip().splitlines() or [""])[0].rstrip(".")
