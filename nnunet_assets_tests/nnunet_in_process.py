"""nnU-Net in the process of a test, and without the processes that it spawns: each of those loads torch, for seconds.

Threads stand in for its pools; the functions that compute are nnU-Net's. That a process of our own does the same is
seen where one is started: `nnunet.training.test_fold_process`, `test_end_to_end`.
"""

import multiprocessing
import multiprocessing.dummy
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, redirect_stdout
from multiprocessing.pool import ThreadPool
from pathlib import Path
from typing import Any

import pytest

from nnunet_assets.core.files.json_file import write_json_atomically
from nnunet_assets.core.files.layout import REQUEST_FILE
from nnunet_assets.core.files.typed_json import Dataclass, dataclass_to_json
from nnunet_assets.processes.child import LOG_FILE, ChildResult, outcome_of, sent_request

N_VOXELS = 1e5
"""Of which a fingerprint's statistics are made; nnU-Net draws 10e7, however few there are, and 5 s pass."""

SPAWNED_IN_THREADS = """
import multiprocessing, multiprocessing.dummy
get_context = multiprocessing.get_context
multiprocessing.get_context = lambda method=None: multiprocessing.dummy if method == "spawn" else get_context(method)
"""
"""What a process runs first that is to spawn none."""


@contextmanager
def nnunet_in_process(variables: Mapping[str, str | Path]) -> Iterator[None]:
    """Lets nnU-Net be called: with these variables, in threads, and no warning of its libraries is an error.

    A fingerprint waits for little and counts few voxels.

    What our processes change in nnU-Net, for as long as they live, is as it was afterwards.
    """
    from nnunetv2.experiment_planning.dataset_fingerprint import fingerprint_extractor
    from nnunetv2.imageio.reader_writer_registry import LIST_OF_IO_CLASSES
    from nnunetv2.utilities import utils

    get_context = multiprocessing.get_context

    def in_threads(method: str | None = None) -> Any:
        return multiprocessing.dummy if method == "spawn" else get_context(method)

    extractor = fingerprint_extractor.DatasetFingerprintExtractor
    make_extractor = extractor.__init__

    def of_few_voxels(self: Any, *arguments: Any, **named: Any) -> None:
        make_extractor(self, *arguments, **named)
        self.num_foreground_voxels_for_intensitystats = N_VOXELS

    with pytest.MonkeyPatch.context() as patch, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name, value in variables.items():
            patch.setenv(name, str(value))
        patch.setattr(multiprocessing, "get_context", in_threads)
        patch.setattr(utils, "Pool", ThreadPool)
        patch.setattr(fingerprint_extractor, "multiprocessing", fingerprint_extractor.multiprocessing)
        patch.setattr(fingerprint_extractor, "sleep", lambda _seconds: time.sleep(0.01))
        patch.setattr(extractor, "__init__", of_few_voxels)
        for reader_writer in LIST_OF_IO_CLASSES:
            patch.setattr(reader_writer, "write_seg", reader_writer.write_seg)
        yield


def child_in_process(work: Callable[[Any], None]) -> Callable[..., ChildResult]:
    """Returns what stands in for `run_child`: it does the child's work here, from the request as the child reads it."""

    def run_here(
        _module: str,
        request: Dataclass,
        *,
        folder: Path,
        environment: Mapping[str, str],
        on_poll: Callable[[], None] = lambda: None,
        **_: Any,
    ) -> ChildResult:
        write_json_atomically(folder / REQUEST_FILE, dataclass_to_json(request))
        with nnunet_in_process(environment), (folder / LOG_FILE).open("a") as log, redirect_stdout(log):
            code, problem = outcome_of(lambda: work(sent_request(folder, type(request))), folder / LOG_FILE)
        on_poll()
        return ChildResult(code, problem, "")

    return run_here
