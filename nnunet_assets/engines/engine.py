"""The seam between who supervises a fold and the machine that trains it.

The supervisor stays where Dagster is: it holds the fold's lock, reads the journal, feeds MLflow, and starts the process
again where that helps. An engine is given one start of the process and returns how it ended. Everything between the two
is files in the fold's folder, so that an engine on another machine needs the same file system and nothing else.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

from nnunet_assets.core.files.layout import OWN_FOLDER
from nnunet_assets.core.fold.fold_request import FoldAttempt
from nnunet_assets.core.progress import Progress
from nnunet_assets.processes.child import ChildResult
from nnunet_assets.processes.exit_codes import FailureClass
from nnunet_assets.processes.supervisor import Cure


@dataclass(frozen=True)
class FoldWork:
    """One start of a fold's process.

    Attributes:
        module: What runs; it calls `child_main`.
        attempt: What it gets. How long it waited and where its ranks meet, the engine settles.
        environment: Its environment without what depends on the machine: devices, and the numbers of workers.
        n_halvings: How often the numbers of its workers are to be halved, for lack of memory.
        needed_gpu_bytes: GPU memory that another fold of the model took; None: not known.
        asked_at: When the fold was asked for, on this process's `time.monotonic`.
    """

    module: str
    attempt: FoldAttempt
    environment: Mapping[str, str]
    n_halvings: int
    needed_gpu_bytes: int | None
    asked_at: float

    @property
    def folder(self) -> Path:
        """The fold's hidden folder, which takes what the process prints."""
        return self.attempt.fold_folder / OWN_FOLDER

    def begun_now(self, meeting_folder: Path | None) -> FoldAttempt:
        """Returns what the process gets that starts now, with where its ranks meet."""
        waited = time.monotonic() - self.asked_at
        return replace(self.attempt, waited_seconds=waited, meeting_folder=meeting_folder)


class Engine(Protocol):
    """Runs a fold's process, somewhere."""

    @property
    def name(self) -> str:
        """The word in declarations, manifests and tags: `local`."""

    @property
    def cures(self) -> Mapping[FailureClass, Cure]:
        """The failures that another start may cure, see `run_with_restarts`."""

    def run(self, work: FoldWork, *, on_poll: Callable[[], None], progress: Progress) -> ChildResult:
        """Runs the process to its end; whatever ends this call early ends the process first.

        Args:
            work: What is to be run.
            on_poll: Called twice a second or so while the process runs, and once after its end.
            progress: Hears of a wait, and is polled while there is one.

        Raises:
            NnunetAssetsError: The process cannot be started there.
        """
