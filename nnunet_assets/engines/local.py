"""The engine `local`: the fold's process is a child of this one, on a device that it leases."""

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from tempfile import TemporaryDirectory

from nnunet_assets.core.progress import Progress
from nnunet_assets.engines.engine import Engine, FoldWork
from nnunet_assets.processes.child import ChildResult, run_child
from nnunet_assets.processes.exit_codes import FailureClass
from nnunet_assets.processes.machine.device_lease import device_lease
from nnunet_assets.processes.supervisor import CURES, Cure
from nnunet_assets.processes.workers import worker_variables


class LocalEngine:
    """Runs the process here."""

    name = "local"
    cures: Mapping[FailureClass, Cure] = CURES

    def run(self, work: FoldWork, *, on_poll: Callable[[], None], progress: Progress) -> ChildResult:
        """As `Engine.run`, on a leased device.

        Raises:
            NnunetAssetsError: As `device_lease` and `worker_variables`.
        """
        n_gpus = work.attempt.options.num_gpus
        lease = device_lease(
            work.attempt.device,
            work.environment,
            n_gpus=n_gpus,
            needed_bytes=work.needed_gpu_bytes,
            progress=progress,
        )
        with meeting_folder(n_gpus) as place, lease as leased:
            # nnU-Net starts as many workers for each of the processes that train one fold.
            n_sharing = leased.n_sharing * n_gpus
            workers = worker_variables(work.environment, n_sharing=n_sharing, n_halvings=work.n_halvings)
            return run_child(
                work.module,
                work.begun_now(Path(place) if place else None),
                folder=work.folder,
                environment={**work.environment, **workers, **leased.variables},
                on_poll=on_poll,
            )


def meeting_folder(num_gpus: int) -> AbstractContextManager[str | None]:
    """Returns where the processes that train a fold together find each other; None: there is one alone.

    Made by who starts the fold's process, which may be killed; not in the fold's folder, which may be on a network.
    """
    if num_gpus == 1:
        return nullcontext()
    return TemporaryDirectory(prefix="nnunet_assets-ranks-", ignore_cleanup_errors=True)


LOCAL: Engine = LocalEngine()
"""Where nothing else is declared."""
