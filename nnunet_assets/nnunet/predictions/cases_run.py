"""Cases predicted by children, from the parent's side: a child a device, each on a lease, until none is missing.

A case is done when its mask has its name. Several devices share the cases out: whoever gets a device takes its part of
those that nobody has, so that a GPU which others use for a while leaves its part to those that are free.
"""

import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from queue import SimpleQueue

from nnunet_assets.core.files.json_file import read_json
from nnunet_assets.core.progress import Progress, Silent
from nnunet_assets.nnunet.predictions.prediction_request import CaseToPredict, PredictionRequest
from nnunet_assets.nnunet.seams import require_nnunet
from nnunet_assets.processes.child import LOG_FILE, ChildResult, run_child
from nnunet_assets.processes.machine.device_lease import DeviceLease, device_lease, usable_gpus
from nnunet_assets.processes.supervisor import run_with_restarts
from nnunet_assets.processes.variables import EXPORT
from nnunet_assets.processes.workers import MAX_EXPORT_PROCESSES, usable_cpus, waiting_variables, worker_variables

DEVICE_FILE = "device.json"
"""In the work folder, once a child has loaded the model: what it predicts on."""

PREDICTING = "cases predicted"

POLL_SECONDS = 0.5

CHILD = "nnunet_assets.nnunet.predictions.prediction_process"


@dataclass(frozen=True)
class CasesRun:
    """Cases to predict, whoever died.

    Attributes:
        request: All that are missing when it begins.
        environment: Of the children.
        n_devices: On how many GPUs at once; None: on all that there are.
    """

    request: PredictionRequest
    environment: Mapping[str, str]
    n_devices: int | None = None

    @property
    def missing(self) -> tuple[CaseToPredict, ...]:
        """The cases without a mask."""
        return tuple(case for case in self.request.cases if not case.file.exists())

    @property
    def n_done(self) -> int:
        """How many were predicted since it began."""
        return len(self.request.cases) - len(self.missing)


@dataclass(frozen=True)
class RunEnd:
    """How a run ended.

    Attributes:
        problem: Why cases are missing; None: none is.
        code: Exit code of the process that left them.
        log_tail: The last that it printed.
        log: All that it printed.
        devices: What predicted: the GPUs' models, `cpu` or `mps`.
    """

    problem: str | None
    code: int
    log_tail: str
    log: Path
    devices: tuple[str, ...] = ()

    @property
    def device(self) -> str | None:
        """The devices in a word; None: nothing was noted."""
        return ", ".join(dict.fromkeys(self.devices)) or None


def run_cases(run: CasesRun, progress: Progress, on_poll: Callable[[], None] = lambda: None) -> RunEnd:
    """Predicts the cases; a child that a restart may help is started again.

    Args:
        run: What to do.
        progress: Told of the cases predicted now and those to predict, first with 0 until a child has loaded the model,
            then about twice a second once there is one; and of a wait for a GPU, and a restart.
        on_poll: Called about twice a second, in the caller's thread.

    Raises:
        NnunetVersionError: As `require_nnunet`.
    """
    require_nnunet()
    request, n_cases = run.request, len(run.request.cases)
    gpus = usable_gpus(run.environment) if request.device in ("auto", "cuda") else []
    n_devices = min(len(gpus), n_cases, run.n_devices or len(gpus))
    if n_devices > 1:
        devices = _on_several(run, n_devices, progress, on_poll)
    else:

        def look() -> None:
            # Until the model is loaded the count begins anew: what that took says nothing of the time that is left.
            if (n := run.n_done) or not (request.work_folder / DEVICE_FILE).exists():
                progress.step(PREDICTING, n, n_cases)
            on_poll()

        def begin() -> None:
            progress.step(PREDICTING, run.n_done, n_cases)

        devices = [_Device(run, request.work_folder, _Pool(list(request.cases), 1), progress, look, begin)]
        devices[0].serve()
    return _end(run, [device for device in devices if device.result])


def _end(run: CasesRun, devices: Sequence["_Device"]) -> RunEnd:
    noted = [(read_json(device.folder / DEVICE_FILE) or {}).get("device") for device in devices]
    failed = [device for device in devices if device.result and device.result.problem] or devices
    result = failed[0].result if failed else None
    problem = (result and result.problem) or "The process ended with exit code 0, but did not predict every case."
    return RunEnd(
        problem if run.missing else None,
        result.code if result else 0,
        result.log_tail if result else "",
        (failed[0].folder if failed else run.request.work_folder) / LOG_FILE,
        tuple(str(device) for device in noted if device),
    )


class _NothingLeft(Exception):  # noqa: N818 - no error: it ends a wait
    """Nobody needs another device."""


@dataclass
class _Pool:
    """The cases that no device has taken."""

    cases: list[CaseToPredict]
    n_devices: int
    n_taken: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)
    is_ended: threading.Event = field(default_factory=threading.Event)

    def take(self) -> tuple[CaseToPredict, ...]:
        """Returns a device's part of what is left, by the devices that have none yet; empty: nothing is left."""
        with self.lock:
            self.n_taken += 1
            n_parts = max(1, self.n_devices - self.n_taken + 1)
            n = -(-len(self.cases) // n_parts)
            taken, self.cases = tuple(self.cases[:n]), self.cases[n:]
            return taken

    def give_back(self) -> None:
        """Says that a device is done with its part, and looks for another."""
        with self.lock:
            self.n_taken -= 1


@dataclass
class _Device:
    """A place for a child: its folder, its part of the cases, and how the last child ended."""

    run: CasesRun
    folder: Path
    pool: _Pool
    progress: Progress
    on_poll: Callable[[], None]
    on_start: Callable[[], None] = lambda: None
    part: CasesRun | None = None
    result: ChildResult | None = None

    def serve(self) -> None:
        """Predicts one part of the cases after the other, until none is left or one cannot be predicted."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with suppress(_NothingLeft):
            while self.pool.cases:
                self.result = run_with_restarts(
                    self.start,
                    own_folder=self.folder,
                    is_done=lambda: self.part is not None and not self.part.missing,
                    n_saved=lambda: self.part.n_done if self.part else 0,
                    progress=self.progress,
                )
                if self.part and self.part.missing:
                    return
                self.part = None
                self.pool.give_back()

    def start(self, n_halvings: int) -> ChildResult:
        """Runs a child on a leased device."""
        environment = self.run.environment
        with device_lease(self.run.request.device, environment, progress=self.progress, what="The prediction") as lease:
            if self.part is None:
                taken = self.pool.take()
                if not taken:
                    raise _NothingLeft
                self.part = replace(self.run, request=replace(self.run.request, cases=taken, work_folder=self.folder))
            (self.folder / DEVICE_FILE).unlink(missing_ok=True)
            self.on_start()
            return run_child(
                CHILD,
                replace(self.part.request, cases=self.part.missing),
                folder=self.folder,
                environment={**environment, **_variables(environment, lease, n_halvings), **lease.variables},
                on_poll=self.on_poll,
                poll_seconds=POLL_SECONDS,
            )


def _variables(environment: Mapping[str, str], lease: DeviceLease, n_halvings: int) -> dict[str, str]:
    variables = worker_variables(environment, n_sharing=lease.n_sharing, n_halvings=n_halvings)
    if not lease.gpus and not environment.get(EXPORT) and not n_halvings:
        # nnU-Net's predictor computes on no more processors than nnU-Net may start processes; and on how many decides
        # the last bit of a logit: as many as nnUNetv2_predict takes.
        variables[EXPORT] = str(max(1, min(MAX_EXPORT_PROCESSES, usable_cpus() // lease.n_sharing)))
    return variables if lease.gpus else {**variables, **waiting_variables(environment)}


class _Relayed(Silent):
    """Keeps what a device's thread says for the caller's thread, and ends its wait when nothing is left to do."""

    def __init__(self, pool: _Pool) -> None:
        self.said: SimpleQueue[tuple[str, str]] = SimpleQueue()
        self.device: _Device | None = None
        self._pool = pool

    def say(self, sentence: str) -> None:
        self.said.put(("say", sentence))

    def warn(self, sentence: str) -> None:
        self.said.put(("warn", sentence))

    def poll(self) -> None:
        has_part = self.device is not None and self.device.part is not None
        if self._pool.is_ended.is_set() or not (has_part or self._pool.cases):
            raise _NothingLeft

    def tell(self, progress: Progress) -> None:
        """Passes on what was kept."""
        while not self.said.empty():
            kind, sentence = self.said.get()
            (progress.warn if kind == "warn" else progress.say)(sentence)


def _on_several(run: CasesRun, n_devices: int, progress: Progress, on_poll: Callable[[], None]) -> "list[_Device]":
    """Serves several devices, each in a thread of its own; whatever ends this call early ends their children first."""
    n_done, n_cases = 0, len(run.request.cases)
    # Cases of one size lie beside each other: each device gets some of every size.
    dealt = [case for first in range(n_devices) for case in run.request.cases[first::n_devices]]
    pool = _Pool(dealt, n_devices)
    relayed = _Relayed(pool)

    def go_on() -> None:
        if pool.is_ended.is_set():
            raise _NothingLeft

    def tell() -> None:
        nonlocal n_done
        relayed.tell(progress)
        if run.n_done > n_done:
            n_done = run.n_done
            progress.step(PREDICTING, n_done, n_cases)
        on_poll()
        progress.poll()

    devices = []
    for index in range(n_devices):
        own = _Relayed(pool)
        own.said = relayed.said
        own.device = _Device(run, run.request.work_folder / f"device_{index}", pool, own, go_on)
        devices.append(own.device)
    progress.step(PREDICTING, 0, n_cases)
    with ThreadPoolExecutor(n_devices, "device") as threads:
        futures = [threads.submit(device.serve) for device in devices]
        try:
            while wait(futures, POLL_SECONDS).not_done:
                tell()
        finally:
            pool.is_ended.set()
    tell()
    for future in futures:
        future.result()
    return devices
