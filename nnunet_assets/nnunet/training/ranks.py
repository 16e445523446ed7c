"""The processes that train one fold together, one for each GPU: nnU-Net's distributed training (DDP).

The fold's process starts them and waits (`run_ranks`); each joins the others (`Rank.join`) and then trains as a fold
alone does. The first of them, rank 0, does what only one may do: journal, checkpoints, COMMIT. They are separate
commands and not `multiprocessing`'s: each end has one owner, and the watch over the workers is not it.

Nothing outlives the fold's process. Whatever ends one rank ends them all: the others would wait for it without end.
"""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from multiprocessing.connection import Connection, Pipe, wait
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from nnunet_assets.core.files.typed_json import dataclass_from_json, dataclass_to_json
from nnunet_assets.core.progress import SILENT, Progress
from nnunet_assets.nnunet.nnunet_trainer import NnunetTrainer
from nnunet_assets.nnunet.trainer.trainer import trainer_class
from nnunet_assets.processes.child import LOG_FILE, ChildFailure, Request, die_with_parent, outcome_of, sent_request
from nnunet_assets.processes.exit_codes import ExitCode, describe_exit
from nnunet_assets.processes.interpreter import python_command
from nnunet_assets.processes.reporter import Told
from nnunet_assets.processes.worker_watch import watch_workers

if TYPE_CHECKING:
    import torch

CPU_ATTRIBUTE = "ddp_on_cpu"
"""A trainer class that has this attribute, and it is true, is trained by several processes on a CPU too.

nnU-Net's own takes CUDA for granted wherever there are several; a class that changes that says so.
"""

ECHO_SECONDS = 5.0
"""How long a rank keeps a failure to itself that may be only the echo of another's end, which is heard meanwhile."""

SILENCE = timedelta(hours=1)
"""How long a rank waits for the others: one that is dead is noticed at once, so that this is for one that hangs.

torch's own ten minutes are too little for the prediction of a large case, or a slow disk.
"""

POLL_SECONDS = 0.2


@dataclass(frozen=True)
class Rank:
    """One of the processes that train a fold.

    Attributes:
        number: From 0.
        n_ranks: How many there are.
        meeting_file: Where they find each other, on a disk of this machine. A port that was free a moment ago may be
            taken by another fold; a file of one's own is not.
    """

    number: int = 0
    n_ranks: int = 1
    meeting_file: str = ""

    @property
    def is_first(self) -> bool:
        """Whether this one writes what only one may write."""
        return self.number == 0

    def join(self, trainer: str, device: "torch.device") -> None:
        """Joins the others, before the trainer is built: nnU-Net's constructor looks whether there are any.

        Args:
            trainer: Name of the trainer class.
            device: The resolved `torch.device`.

        Raises:
            ChildFailure: The device is not one that several processes can train on.
        """
        if self.n_ranks == 1:
            return
        import torch

        _check_device(trainer, device, self.n_ranks, torch.cuda.device_count())
        if device.type == "cuda":
            torch.cuda.set_device(torch.device("cuda", self.number))
        torch.distributed.init_process_group(
            "nccl" if device.type == "cuda" else "gloo",
            init_method=f"file://{self.meeting_file}",
            rank=self.number,
            world_size=self.n_ranks,
            timeout=SILENCE,
        )

    def agree(self, value: str | None) -> str | None:
        """Returns the first rank's value in all of them."""
        if self.n_ranks == 1:
            return value
        import torch

        values = [value]
        torch.distributed.broadcast_object_list(values, src=0)
        return values[0]

    def wait_for_all(self) -> None:
        """Returns when every rank has come to this point."""
        if self.n_ranks > 1:
            import torch

            torch.distributed.barrier()

    def count_of(self, device: str) -> str:
        """Returns the device's name, with how many of them train where these are several."""
        return device if self.n_ranks == 1 else f"{self.n_ranks} x {device}"

    def leave(self) -> None:
        """Leaves the others, as nnU-Net's `cleanup_ddp`."""
        if self.n_ranks > 1:
            import torch

            torch.distributed.destroy_process_group()


@dataclass(frozen=True)
class _Part:
    """What a rank is told beside the request of the fold's process: which it is, and the checkpoint to go on from."""

    rank: Rank
    checkpoint: Path | None


def settings_of_whole_batch(trainer: NnunetTrainer) -> dict[str, dict[str, Any]]:
    """Returns, by the groups of `training_parameters`, what nnU-Net replaces by a rank's own share on initialization.

    Args:
        trainer: Not initialized yet.
    """
    if not trainer.is_ddp:
        return {}
    return {
        "trainer": {"oversample_foreground_percent": trainer.oversample_foreground_percent},
        "data": {"batch_size": trainer.configuration_manager.batch_size},
    }


def _check_device(trainer: str, device: "torch.device", n_ranks: int, n_gpus: int) -> None:
    problem = None
    if device.type != "cuda" and not getattr(trainer_class(trainer), CPU_ATTRIBUTE, False):
        problem = (
            f"num_gpus is {n_ranks}, and the device is {device.type!r}: nnU-Net trains on several GPUs with CUDA only. "
            "Set num_gpus to 1, or train where there are that many."
        )
    elif device.type == "cuda" and n_gpus < n_ranks:
        problem = (
            f"num_gpus is {n_ranks}, and torch sees {n_gpus} of them. Set num_gpus to at most that, or look at "
            "CUDA_VISIBLE_DEVICES."
        )
    if problem:
        raise ChildFailure(ExitCode.BAD_INPUT, problem)


# --- in the fold's process ----------------------------------------------------------------------------------------


def run_ranks(
    module: str,
    n_ranks: int,
    folder: Path,
    checkpoint: Path | None,
    progress: Progress,
    *,
    meeting_folder: Path,
) -> None:
    """Runs a module in so many processes to their end; each calls `rank_main`.

    Args:
        module: The module.
        n_ranks: How many processes.
        folder: Holds the request and the output of this process, which are theirs too.
        checkpoint: What all of them go on from; None: from the beginning.
        progress: Hears what the first of them says.
        meeting_folder: An empty folder on a disk of this machine; whoever made it removes it.

    Raises:
        ChildFailure: One of them failed. (Where a signal ended it, this process is ended by the same one: who started
            it knows what each means for a fold.)
    """
    started = []
    for number in range(n_ranks):
        rank = Rank(number, n_ranks, str(meeting_folder / "meeting"))
        started.append(_start(module, folder, _Part(rank, checkpoint)))
    _follow(started, progress)


def _start(module: str, folder: Path, part: "_Part") -> "tuple[subprocess.Popen[bytes], Connection]":
    reader, writer = Pipe(duplex=False)
    with writer:
        command = python_command("-u", "-m", module, str(folder), str(os.getpid()), str(writer.fileno()))
        # In this process's group, so that whoever ends that ends them too.
        asked = json.dumps(dataclass_to_json(part))
        process = subprocess.Popen([*command, asked], stdin=subprocess.DEVNULL, pass_fds=[writer.fileno()])
    return process, reader


def _follow(ranks: "Sequence[tuple[subprocess.Popen[bytes], Connection]]", progress: Progress) -> None:
    """Passes on what the ranks say until all are done, or one fails."""
    running = dict(enumerate(ranks))
    while running:
        wait([reader for _, reader in running.values()], timeout=POLL_SECONDS)
        for number, (process, reader) in list(running.items()):
            code = process.poll()  # before its last words are read
            _listen(reader, progress)
            if code is None:
                continue
            del running[number]
            if code < 0:
                print(f"Rank {number} of {len(ranks)} {describe_exit(code)}.", flush=True)
                os.kill(os.getpid(), -code)
            if code:
                raise ChildFailure(
                    ExitCode.BUG, f"Rank {number} of {len(ranks)} {describe_exit(code)}, without a word."
                )


def _listen(reader: Connection, progress: Progress) -> None:
    while reader.poll():
        try:
            code, sentence = reader.recv()
        except (EOFError, OSError):  # it has ended, perhaps in the middle of a sentence
            return
        if code != ExitCode.DONE:
            raise ChildFailure(ExitCode(code), sentence)
        progress.say(sentence)


# --- in each of them ----------------------------------------------------------------------------------------------


def rank_main(kind: type[Request], work: Callable[[Request, Path | None, Rank, Progress], None]) -> NoReturn:
    """Does one rank's part and ends the process.

    Args:
        kind: The dataclass that the fold's process was sent.
        work: Takes it, the checkpoint to go on from, the rank, and what hears how far it is.
    """
    folder, parent = Path(sys.argv[1]), int(sys.argv[2])
    writer = Connection(int(sys.argv[3]), readable=False)
    part = dataclass_from_json(_Part, sys.argv[4])  # of the same package: its parent is the fold's process
    rank = part.rank
    # Ended by a signal at once, also where it is stuck in a library: what to make of it, the fold's process knows.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_DFL)
    die_with_parent(parent)
    watch_workers(
        on_killed=lambda sentence: _leave(writer, ExitCode.OUT_OF_MEMORY, sentence),
        on_orphaned=lambda: os._exit(ExitCode.STOPPED),
    )

    # What all of them do, one says.
    progress = Told(lambda sentence: writer.send((ExitCode.DONE.value, sentence))) if rank.is_first else SILENT
    code, problem = outcome_of(
        lambda: work(sent_request(folder, kind), part.checkpoint, rank, progress), folder / LOG_FILE
    )
    if code in (ExitCode.BUG, ExitCode.GPU_LOST):
        time.sleep(ECHO_SECONDS)
    if problem:
        _leave(writer, code, problem)
    os._exit(code)


def _leave(writer: Connection, code: ExitCode, sentence: str) -> NoReturn:
    with suppress(OSError):  # nobody listens any more
        writer.send((code.value, sentence))
    os._exit(code)
