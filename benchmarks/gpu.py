"""What only a machine with a GPU can show, in under ten minutes: speed beside nnU-Net, leases, memory, kills.

    python benchmarks/gpu.py [--device cuda|cpu] [--output FILE] [against] [lease] [five] [memory] [kill] [predict]

* `against`: a fold of 2d and of 3d_fullres here, against `nnUNetv2_train` with the same trainer on the same data.
* `lease`: two folds that are asked for at once on one GPU: one after the other, or both where two may share it.
* `five`: five folds at once on one GPU, against one after the other.
* `memory`: a GPU that something else has filled: the fold ends as `out_of_gpu_memory`, with what to do.
* `kill`: a fold that is killed in mid-training goes on from its last checkpoint, and logs each epoch once.
* `predict`: new images here and by `nnUNetv2_predict`, and the share of voxels that are as on the CPU.

Without a part: all. `torch.compile` is off on both sides, so that the time suffices. `--device cpu` runs the same on a
small dataset, to see that the script works: there is no lease without a GPU, and the lack of memory is then a trainer's
own. Prints a table; `--output` takes it as JSON too. Nothing is written but in a temporary folder. Exit code 1:
something is not as it should be.
"""

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path

import psutil
from micro_project import DATASET, Bench, prepared_bench

from nnunet_assets.core.files.layout import OWN_FOLDER, Experiment
from nnunet_assets.core.fold.commit import read_committed
from nnunet_assets.core.fold.journal import Record, journal_path, read_records
from nnunet_assets.nnunet.images.nifti import read_volume
from nnunet_assets.processes.machine.device_lease import FOLDS_PER_GPU_VARIABLE, usable_gpus

TRAINER, SLOW_TRAINER, HUNGRY_TRAINER = "nnUNetTrainerBench", "nnUNetTrainerBenchSlow", "nnUNetTrainerBenchHungry"
CONFIGURATIONS = ("2d", "3d_fullres")
BUDGET_SECONDS = 600
FILLED_SHARE = 0.98
"""Of a GPU's free memory that the filler takes."""

# In a folder of its own, since nnU-Net imports every file of it, and with the base's exact signature, by which the base
# copies its arguments. The slow one leaves time to be killed in.
TRAINERS = """
import torch
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer
{classes}
class nnUNetTrainerBenchHungry(nnUNetTrainerBench):
    def train_step(self, batch):
        if self.device.type == 'cpu':
            raise torch.cuda.OutOfMemoryError('CUDA out of memory. Tried to allocate 2.00 GiB.')
        return super().train_step(batch)
"""
CLASS = """
class {name}(nnUNetTrainer):
    def __init__(self, plans: dict, configuration: str, fold: int, dataset_json: dict,
                 device: torch.device = torch.device('cuda')):
        super().__init__(plans, configuration, fold, dataset_json, device)
        self.num_epochs, self.num_iterations_per_epoch, self.num_val_iterations_per_epoch = {epochs}, {iterations}, 2
"""
DECLARATIONS = f"""
type: nnunet_assets.components.NnunetDataset
attributes: {{dataset: {DATASET}}}
""" + "".join(
    f"""---
type: nnunet_assets.components.CrossValidationExperiment
attributes: {{dataset: {DATASET}, configuration: {configuration}, trainer: {TRAINER}}}
"""
    for configuration in CONFIGURATIONS
)


@dataclass(frozen=True)
class Size:
    """How large the work is; on a GPU so that the GPU has something to do."""

    shape: tuple[int, int, int]
    epochs: int
    iterations: int
    slow_epochs: int


SIZES = {"cuda": Size((128, 144, 96), 3, 50, 12), "cpu": Size((16, 18, 20), 2, 4, 40)}


@dataclass(frozen=True)
class Row:
    """A line of the table; `is_right` None: a figure without a verdict."""

    part: str
    what: str
    value: str
    is_right: bool | None = None


@dataclass
class Machine:
    """The prepared project, the device, and what was found so far."""

    bench: Bench
    device: str
    rows: list[Row] = field(default_factory=list)

    @property
    def has_gpu(self) -> bool:
        return self.device == "cuda"

    def found(self, part: str, what: str, value: str, is_right: bool | None = None) -> None:
        self.rows.append(Row(part, what, value, is_right))
        print(f"  {what}: {value}" + ("" if is_right is None else f"  {'ok' if is_right else 'WRONG'}"), flush=True)

    def fold_folder(self, configuration: str, fold: int, trainer: str = TRAINER) -> Path:
        experiment = Experiment(DATASET, configuration, trainer=trainer)
        return experiment.fold_folder(self.bench.settings.roots, f"fold_{fold}")


def main() -> int:
    """Runs the parts that were asked for and returns the exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("parts", nargs="*", help=f"{', '.join(PARTS)}; without one: all")
    parser.add_argument("--device", choices=list(SIZES), default="cuda")
    parser.add_argument("--output", type=Path, help="takes the table as JSON")
    arguments = parser.parse_args()
    if unknown := set(arguments.parts) - set(PARTS):
        parser.error(f"there is no part {', '.join(sorted(unknown))}")
    if arguments.device == "cuda" and not usable_gpus(os.environ):
        parser.error("nvidia-smi names no GPU; --device cpu tries the script out")
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        machine = Machine(prepared(Path(folder), SIZES[arguments.device]), arguments.device)
        machine.found("prepared", "split, plans and cases", f"{time.monotonic() - began:.0f} s")
        for part in arguments.parts or PARTS:
            print(f"{part} (after {time.monotonic() - began:.0f} s)", flush=True)
            try:
                PARTS[part](machine)
            except (subprocess.SubprocessError, OSError, AssertionError) as error:
                machine.found(part, "did not run to its end", f"{type(error).__name__}: {error}", False)
        if any(row.is_right is False for row in machine.rows):
            print(machine.bench.log.read_text(errors="replace")[-5000:], file=sys.stderr)
    seconds = time.monotonic() - began
    is_in_time = seconds <= BUDGET_SECONDS if machine.has_gpu and not arguments.parts else None
    machine.found("all", "time", f"{seconds:.0f} s", is_in_time)
    print(table(machine.rows))
    if arguments.output:
        arguments.output.write_text(json.dumps([asdict(row) for row in machine.rows], indent=2) + "\n")
    return 1 if any(row.is_right is False for row in machine.rows) else 0


# --- parts ------------------------------------------------------------------------------------------------------------


def against(machine: Machine) -> None:
    """Compares fold 0 of both configurations with nnU-Net's own command, which goes first: its files are then read."""
    for configuration in CONFIGURATIONS:
        plain = seconds_of(lambda configuration=configuration: train_plain(machine, configuration))
        here = seconds_of(lambda configuration=configuration: train(machine, configuration, 0).check())
        machine.found("against", f"{configuration}, nnUNetv2_train", f"{plain:.1f} s")
        machine.found("against", f"{configuration}, here", f"{here:.1f} s")
        machine.found("against", f"{configuration}, here / nnUNetv2_train", f"{here / plain:.2f}", here / plain <= 1.02)
        manifest = read_committed(machine.fold_folder(configuration, 0))
        peak = manifest.peak_memory_bytes.get("gpu") if manifest else None
        machine.found("against", f"{configuration}, peak GPU memory", f"{peak / 2**30:.1f} GiB" if peak else "none")


def lease(machine: Machine) -> None:
    """Asks for two folds at once, where one and where two may use the GPU."""
    for per_gpu in (1, 2):
        started = [train(machine, "2d", fold, retrain=True, FOLDS_PER_GPU=str(per_gpu)) for fold in (0, 1)]
        for running in started:
            running.check()
        spans = [training_span(machine.fold_folder("2d", fold)) for fold in (0, 1)]
        is_shared = max(start for start, _ in spans) < min(end for _, end in spans)
        what = "trained side by side" if is_shared else "trained one after the other"
        expected = is_shared == (per_gpu == 2) if machine.has_gpu else None
        machine.found("lease", f"two folds, {FOLDS_PER_GPU_VARIABLE}={per_gpu}", what, expected)
        if machine.has_gpu and per_gpu == 1:
            waited = [running for running in started if "waits for a GPU" in running.output()]
            machine.found("lease", "the second one says that it waits", f"{len(waited)} of 2", len(waited) == 1)


def five(machine: Machine) -> None:
    """Trains five folds at once on one GPU, and one after the other."""

    def at_once() -> None:
        for running in [train(machine, "2d", fold, retrain=True, FOLDS_PER_GPU="5") for fold in range(5)]:
            running.check()

    def in_turn() -> None:
        for fold in range(5):
            train(machine, "2d", fold, retrain=True).check()

    together, one_by_one = seconds_of(at_once), seconds_of(in_turn)
    machine.found("five", "five folds of 2d, one after the other", f"{one_by_one:.1f} s")
    machine.found("five", "five folds of 2d at once", f"{together:.1f} s")
    machine.found("five", "at once / one after the other", f"{together / one_by_one:.2f}")


def memory(machine: Machine) -> None:
    """Fills the GPU and asks for a fold, which must end as what it is, at once and without a second try."""
    with filled_gpu(machine.has_gpu):
        running = train(machine, "3d_fullres", 0, trainer=HUNGRY_TRAINER)
        code = running.process.wait(timeout=240)
    answer = running.output()
    machine.found("memory", "the command's exit code", str(code), code == 1)
    machine.found("memory", "it names the lack of GPU memory", "", "The GPU ran out of memory" in answer)
    machine.found("memory", "it says what to do", "", "End what else uses the GPU" in answer)
    machine.found("memory", "it names batch and patch of the plans", "", "has batch size" in answer)


def kill(machine: Machine) -> None:
    """Kills a training with all its processes in the middle, and asks for it again."""
    folder = machine.fold_folder("2d", 0, SLOW_TRAINER)
    running = train(machine, "2d", 0, trainer=SLOW_TRAINER)
    deadline = time.monotonic() + 240
    while len(epochs_of(folder)) < 3:
        assert time.monotonic() < deadline, f"no three epochs in 240 s: {running.output()[-500:]}"
        assert running.process.poll() is None, running.output()[-500:]
        time.sleep(0.05)
    kill_tree(running.process)
    n_before = len(epochs_of(folder))
    again = seconds_of(lambda: train(machine, "2d", 0, trainer=SLOW_TRAINER).check())
    epochs = [record.epoch for record in epochs_of(folder)]
    first = min(r.epoch or 0 for r in epochs_of(folder) if r.time_ms > 0)
    machine.found("kill", "epochs when it was killed", str(n_before))
    machine.found("kill", "time of the second run", f"{again:.1f} s")
    n_epochs = SIZES[machine.device].slow_epochs
    is_whole = first == 0 and epochs == list(range(n_epochs))
    machine.found("kill", "each epoch is in the journal once", f"{len(epochs)} of {n_epochs}", is_whole)
    machine.found("kill", "the fold is finished", "", read_committed(folder, check_files=True) is not None)
    left = [p for p in psutil.process_iter(["cmdline"]) if str(folder) in " ".join(p.info["cmdline"] or [])]
    machine.found("kill", "processes that are left", str(len(left)), not left)


def predict(machine: Machine) -> None:
    """Predicts new images on the device, by nnU-Net's own command, and some of them on the CPU too."""
    if read_committed(machine.fold_folder("3d_fullres", 0)) is None:
        train(machine, "3d_fullres", 0).check()
    bench, raw = machine.bench, machine.bench.settings.roots.raw / DATASET / "imagesTr"
    folders = {name: bench.project / f"predict_{name}" for name in ("images", "few", "here", "plain", "cpu")}
    for name, n_images in (("images", 10), ("few", 2)):
        folders[name].mkdir()
        for image in sorted(raw.iterdir())[:n_images]:
            (folders[name] / image.name).symlink_to(image)

    def here(images: Path, output: Path, device: str) -> None:
        model = "/".join(Experiment(DATASET, "3d_fullres", trainer=TRAINER).key_prefix)
        words = [model, "-i", str(images), "-o", str(output), "-f", "0", "-device", device]
        bench.run(str(Path(sys.executable).with_name("nnunet-assets")), "predict", *words)

    def plain() -> None:
        words = ["-d", DATASET, "-c", "3d_fullres", "-tr", TRAINER, "-f", "0", "-device", machine.device]
        words += ["-i", str(folders["images"]), "-o", str(folders["plain"])]
        bench.run(str(Path(sys.executable).with_name("nnUNetv2_predict")), *words)

    of_nnunet = seconds_of(plain)
    ours = seconds_of(lambda: here(folders["images"], folders["here"], machine.device))
    here(folders["few"], folders["cpu"], "cpu")
    machine.found("predict", "10 images, nnUNetv2_predict", f"{of_nnunet:.1f} s")
    machine.found("predict", "10 images, here", f"{ours:.1f} s")
    machine.found("predict", "here / nnUNetv2_predict", f"{ours / of_nnunet:.2f}", ours / of_nnunet <= 1.0)
    by_nnunet, on_cpu = (equal_share(folders["here"], folders[name]) for name in ("plain", "cpu"))
    # cuDNN chooses its algorithms anew in each process: even nnU-Net's two runs differ in some voxels.
    enough = 0.999 if machine.has_gpu else 1.0
    machine.found("predict", "voxels as nnUNetv2_predict has them", f"{by_nnunet:.6f}", by_nnunet >= enough)
    machine.found("predict", "voxels as the CPU has them", f"{on_cpu:.6f}", on_cpu >= enough)


def equal_share(ours: Path, theirs: Path) -> float:
    """Returns the share of voxels that are the same in the masks of two folders, of those in the second."""
    n_equal = n_voxels = 0
    for file in theirs.glob("*.nii.gz"):
        one, other = (read_volume(folder / file.name).stored for folder in (ours, theirs))
        n_equal, n_voxels = n_equal + int((one == other).sum()), n_voxels + one.size
    return n_equal / n_voxels


PARTS: Mapping[str, Callable[[Machine], None]] = {
    "against": against,
    "lease": lease,
    "five": five,
    "memory": memory,
    "kill": kill,
    "predict": predict,
}


# --- running ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Running:
    """A command that runs, and the file of what it says."""

    process: subprocess.Popen[bytes]
    log: Path

    def output(self) -> str:
        return self.log.read_text(errors="replace")

    def check(self) -> None:
        """Waits for its end.

        Raises:
            AssertionError: It failed.
        """
        code = self.process.wait(timeout=BUDGET_SECONDS)
        assert code == 0, f"exit code {code}: {self.output()[-1500:]}"


def train(
    machine: Machine, configuration: str, fold: int, *, trainer: str = TRAINER, retrain: bool = False, **limits: str
) -> Running:
    """Starts `nnunet-assets train` and returns it; limits are named without the package's prefix."""
    bench = machine.bench
    program = Path(sys.executable).with_name("nnunet-assets")
    command = [program, "train", DATASET, configuration, str(fold), "-tr", trainer, "-device", machine.device]
    command += ["--tracker-disable", *(["--retrain"] if retrain else [])]
    variables = {f"NNUNET_ASSETS_{name}": value for name, value in limits.items()}
    log = bench.project / f"train-{time.monotonic_ns()}.log"
    with log.open("wb") as file:
        process = subprocess.Popen(
            command,
            cwd=bench.project,
            env={**bench.environment, **variables},
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    return Running(process, log)


def train_plain(machine: Machine, configuration: str) -> None:
    """Trains fold 0 with nnU-Net's own command, into results of its own."""
    results = machine.bench.project / "results_of_nnunet"
    shutil.rmtree(results, ignore_errors=True)
    program = Path(sys.executable).with_name("nnUNetv2_train")
    command = [program, DATASET, configuration, "0", "-tr", TRAINER, "-device", machine.device]
    # As it is installed it starts more workers than a small machine without a GPU can feed.
    workers = {} if machine.has_gpu else {"nnUNet_def_n_proc": "1", "nnUNet_n_proc_DA": "1"}
    machine.bench.run(*map(str, command), nnUNet_results=str(results), **workers)


def prepared(folder: Path, size: Size) -> Bench:
    """Returns a project with a dataset whose 2d and 3d_fullres are planned and preprocessed."""
    epochs = {TRAINER: size.epochs, SLOW_TRAINER: size.slow_epochs}
    classes = "".join(CLASS.format(name=name, epochs=n, iterations=size.iterations) for name, n in epochs.items())
    trainers = TRAINERS.format(classes=classes)
    bench = prepared_bench(folder, declarations=DECLARATIONS, trainers=trainers, shape=size.shape)
    # It takes a minute in each of thirty trainings, here as in nnU-Net's own command.
    return Bench(bench.settings, {**bench.environment, "nnUNet_compile": "f"})


@contextmanager
def filled_gpu(has_gpu: bool):
    """Holds nearly all free memory of the first GPU in a process of its own, while the block runs."""
    if not has_gpu:
        yield
        return
    code = (
        "import sys, torch; free, _ = torch.cuda.mem_get_info();"
        f"held = torch.empty(int(free * {FILLED_SHARE}), dtype=torch.uint8, device='cuda');"
        "print('held', flush=True); sys.stdin.read()"
    )
    filler = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        assert filler.stdout is not None
        assert filler.stdout.readline() == b"held\n", "the GPU could not be filled"
        yield
    finally:
        filler.kill()
        filler.wait()


def kill_tree(process: "subprocess.Popen[bytes]") -> None:
    """Kills a process and all that it started, as a machine that loses its power does."""
    with suppress(psutil.Error):
        family = [psutil.Process(process.pid), *psutil.Process(process.pid).children(recursive=True)]
        for one in family:
            with suppress(psutil.Error):
                one.send_signal(signal.SIGKILL)
        psutil.wait_procs(family, timeout=20)
    process.wait()


# --- looking ----------------------------------------------------------------------------------------------------------


def epochs_of(fold_folder: Path) -> list[Record]:
    """Returns the epochs that the fold's journal has."""
    if not (fold_folder / OWN_FOLDER).is_dir():
        return []
    return [record for record in read_records(journal_path(fold_folder)) if record.epoch is not None]


def training_span(fold_folder: Path) -> tuple[int, int]:
    """Returns when the fold's training began and ended, in milliseconds since 1970."""
    records = list(read_records(journal_path(fold_folder)))
    starts = [record.time_ms for record in records if record.kind == "start"]
    return max(starts), max(record.time_ms for record in records)


def seconds_of(work: Callable[[], None]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def table(rows: Sequence[Row]) -> str:
    """Returns the rows in columns."""
    verdicts = {None: "", True: "ok", False: "WRONG"}
    cells = [(row.part, row.what, row.value, verdicts[row.is_right]) for row in rows]
    widths = [max(len(cell[column]) for cell in cells) for column in range(4)]
    lines = ["  ".join(text.ljust(width) for text, width in zip(cell, widths, strict=True)).rstrip() for cell in cells]
    return "\n" + "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
