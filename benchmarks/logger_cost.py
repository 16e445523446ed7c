"""What tracking costs the training thread: the time that an epoch's log calls take, with a server that takes 1 s.

    python benchmarks/logger_cost.py
    python benchmarks/logger_cost.py watch

With `watch` it is what is watched of a training, each part alone: what a training pays where nothing is asked for, what
250 iterations pay for being measured, what copies for histograms take of a network of nnU-Net's usual size, and how
many validation steps a look at panels is.

Logs 1000 short epochs through nnU-Net's own logger, with ours attached and without it, while the tracker of a parent's
thread sends them to a real MLflow server behind a proxy that holds each request for a second. Exit code 1: the goal was
missed.
"""

import sys
import tempfile
import time
from contextlib import redirect_stdout
from pathlib import Path
from statistics import median, quantiles

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from nnunet_assets.core.fold.iterations import epoch_values
from nnunet_assets.core.fold.journal import append_record, journal_path
from nnunet_assets.core.progress import SILENT
from nnunet_assets.nnunet.training.journal_logger import JournalLogger
from nnunet_assets.nnunet.watching.fixed_slices import FixedSlices
from nnunet_assets.nnunet.watching.tensorboard_logger import TensorBoardLogger
from nnunet_assets_tests.nnunet.watching.test_fixed_slices import Cases
from nnunet_assets_tests.nnunet_in_process import nnunet_in_process
from nnunet_assets_tests.tracking.folds import Tracked, tracker
from nnunet_assets_tests.tracking.servers import Answer, MlflowServer, Request, forwarded, serving
from nnunet_assets_tests.trainers.tiny_trainers import TinyTrainers, batch

EPOCHS = 1000
ITERATIONS = 250
EPOCH_SECONDS = 0.02
ANSWER_SECONDS = 1.0
GOAL_MS = 5.0
LABELS = ["Anterior", "Posterior"]


def main() -> int:
    """Runs the benchmark and returns the exit code."""
    if sys.argv[1:] == ["watch"]:
        return watch()
    with tempfile.TemporaryDirectory() as folder:
        server = MlflowServer(Path(folder))
        server.start()

        def slowly(request: Request) -> Answer:
            time.sleep(ANSWER_SECONDS)
            return forwarded(request, server.uri)

        try:
            with serving(slowly) as slow:
                tracked, n_sent = _epochs_tracked(slow.uri, Path(folder) / "tracked" / "fold_0")
            n_runs = len(Tracked(server.uri, Path(folder)).runs)
        finally:
            server.kill()
        alone = _epochs(Path(folder) / "alone" / "fold_0", attached=False)
    p99 = quantiles(tracked, n=100)[98]
    print(f"{EPOCHS} epochs of {EPOCH_SECONDS * 1000:.0f} ms, a server that takes {ANSWER_SECONDS:.0f} s a request:")
    print(f"  nnU-Net's logger alone  median {median(alone):.3f} ms, 99th percentile {quantiles(alone, n=100)[98]:.3f}")
    print(f"  with tracking           median {median(tracked):.3f} ms, 99th percentile {p99:.3f} (goal {GOAL_MS:.0f})")
    print(f"  MLflow had {n_sent} records of {EPOCHS + 1} in {n_runs} run at the end.")
    return int(p99 > GOAL_MS)


def _epochs_tracked(uri: str, fold_folder: Path) -> tuple[list[float], int]:
    with tracker(uri, fold_folder) as following:
        append_record(journal_path(fold_folder), "start", {"attempt": "benchmark", "params": {"initial_lr": 0.01}})
        milliseconds = _epochs(fold_folder, attached=True)
        report = following.finish("FINISHED", timeout_seconds=120)
    return milliseconds, report.n_sent


def _epochs(fold_folder: Path, *, attached: bool) -> list[float]:
    """Returns the milliseconds that the log calls of each epoch took."""
    from nnunetv2.training.logging.nnunet_logger import MetaLogger

    fold_folder.mkdir(parents=True, exist_ok=True)
    logger = MetaLogger(str(fold_folder), resume=False)
    ours = JournalLogger(journal_path(fold_folder), LABELS, lambda _epoch, _values: None)
    if attached:
        logger.loggers.append(ours)
    milliseconds = []
    for epoch in range(EPOCHS):
        start = time.perf_counter()
        logger.log("epoch_start_timestamps", time.time(), epoch)
        logger.log("lrs", 0.01, epoch)
        logger.log("train_losses", 0.1, epoch)
        logger.log("mean_fg_dice", 0.5, epoch)
        logger.log("dice_per_class_or_region", [0.5, 0.5], epoch)
        logger.log("val_losses", 0.2, epoch)
        logger.log("epoch_end_timestamps", time.time(), epoch)
        milliseconds.append(1000 * (time.perf_counter() - start))
        time.sleep(EPOCH_SECONDS)
    ours.close()
    return milliseconds


def watch() -> int:
    """Measures what is watched of a training, and returns the exit code."""
    with tempfile.TemporaryDirectory() as folder:
        trainers = TinyTrainers(Path(folder))
        # nnU-Net says how it is to be cited with each trainer.
        with nnunet_in_process(trainers.variables), redirect_stdout(sys.stderr):
            for name, milliseconds, what in (
                ("off", _iterations(trainers, is_measured=False), f"{ITERATIONS} iterations, told of if they break"),
                ("batches", _iterations(trainers, is_measured=True), f"{ITERATIONS} iterations, measured too"),
                ("histograms", _copies(), "copies of 31 million weights and gradients"),
                ("panels", _looks(trainers), "4 panels, by the time of a validation step of 2 patches: steps"),
            ):
                p99 = quantiles(milliseconds, n=100)[98]
                print(
                    f"  {name:10}  median {median(milliseconds):9.3f}, 99th percentile {p99:9.3f}  ({what})",
                    file=sys.__stdout__,
                )
    return 0


def _iterations(trainers: TinyTrainers, *, is_measured: bool) -> list[float]:
    """Returns the milliseconds that an epoch's iterations take longer than without us.

    nnU-Net's step does nothing; for the meter, which takes the norm of that, it clips a gradient: of one weight, since
    clipping costs with us what it costs without us. Counted is the processor's time of this thread, which waits for
    nobody: what else runs on the machine is none of it.
    """
    import torch
    from torch.nn import utils

    from nnunet_assets.nnunet.watching.health import tell_of_broken_batches
    from nnunet_assets.nnunet.watching.iteration_meter import IterationMeter

    trainer = trainers.initialized("nnUNetTrainer")
    trainer.on_train_start = lambda: None
    weight = torch.nn.Parameter(torch.zeros(1))
    gradients = torch.rand(ITERATIONS, 1, generator=torch.Generator().manual_seed(0))

    def clipped(batch: dict[str, int]) -> dict[str, float]:
        weight.grad = gradients[batch["iteration"]].clone()
        utils.clip_grad_norm_([weight], 12)
        return {"loss": 0.5}

    def nothing(_: dict[str, int]) -> dict[str, float]:
        return {"loss": 0.5}

    trainer.train_step = own = clipped if is_measured else nothing
    tell_of_broken_batches(trainer, SILENT)
    meter = IterationMeter(trainer, SILENT) if is_measured else None
    trainer.on_train_start()
    milliseconds = []
    for _ in range(200):
        taken = []
        for step in (own, trainer.train_step):
            start = time.thread_time()
            for iteration in range(ITERATIONS):
                step({"iteration": iteration})
            taken.append(1000 * (time.thread_time() - start))
        start = time.thread_time()
        if meter:
            epoch_values(meter.take())
        milliseconds.append(taken[1] - taken[0] + 1000 * (time.thread_time() - start))
    return milliseconds


def _copies() -> list[float]:
    """Returns the milliseconds of the copies that histograms are made of."""
    import torch

    from nnunet_assets.nnunet.watching.histograms import copied_tensors

    # As many weights as nnU-Net's network of 3d_fullres has for most datasets, in layers as large as its largest.
    network = torch.nn.Sequential(*(torch.nn.Conv3d(320, 320, 3) for _ in range(11)), torch.nn.Conv3d(32, 32, 3))
    for weights in network.parameters():
        weights.grad = torch.zeros_like(weights)
    milliseconds = []
    for _ in range(30):
        start = time.perf_counter()
        tensors = copied_tensors(network)
        milliseconds.append(1000 * (time.perf_counter() - start))
    with tempfile.TemporaryDirectory() as folder:
        board = TensorBoardLogger(Path(folder), [], 0)
        start = time.perf_counter()
        board.take_histograms(0, tensors)
        board.close()
        size = sum(file.stat().st_size for file in Path(folder).rglob("events*"))
        print(
            f"  Another thread counts them in {time.perf_counter() - start:.1f} s, and writes {size / 1e6:.2f} MB.",
            file=sys.__stdout__,
        )
    return milliseconds


def _looks(trainers: TinyTrainers) -> list[float]:
    """Returns how many validation steps a look at four panels takes."""
    import torch

    trainer = trainers.initialized("nnUNetTrainer")
    trainer.dataset_class, trainer.do_split = Cases, lambda: ([], [f"case_{number}" for number in range(4)])
    slices = FixedSlices(trainer, 4)
    trainer.network.eval()
    steps = []
    for number in range(60):
        start = time.perf_counter()
        with torch.no_grad():
            trainer.validation_step(batch(number))
        middle = time.perf_counter()
        slices.panels()
        steps.append((time.perf_counter() - middle) / (middle - start))
    return steps[10:]


if __name__ == "__main__":
    sys.exit(main())
