"""A project with a dataset so small that a fold takes seconds, and the frame of what is measured in it.

Nothing is written but in a temporary folder. Not a benchmark itself.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from paired_costs import become_subreaper

from nnunet_assets.cli.project.init import EXAMPLE, init_project
from nnunet_assets.core.files.layout import Experiment, fold_key
from nnunet_assets.nnunet.images.nifti import write_nifti
from nnunet_assets.settings import PROJECT_VARIABLE, Settings

EPOCHS = {"short": 2, "long": 20}
"""Name to epochs of the trainers."""
DATASET = "Dataset960_Micro"
N_CASES = 10
SHAPE = (16, 18, 20)
FOLDS = [fold_key(index) for index in range(5)]

# In a folder of its own, since nnU-Net imports every file of it, and with the base's exact signature, by which the base
# copies its arguments.
TRAINERS = """
import torch
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer
""" + "".join(
    f"""
class nnUNetTrainerMicro{n}(nnUNetTrainer):
    def __init__(self, plans: dict, configuration: str, fold: int, dataset_json: dict,
                 device: torch.device = torch.device('cuda')):
        super().__init__(plans, configuration, fold, dataset_json, device)
        self.num_epochs, self.num_iterations_per_epoch, self.num_val_iterations_per_epoch = {n}, 10, 2
"""
    for n in EPOCHS.values()
)
DECLARATIONS = f"""
type: nnunet_assets.components.NnunetDataset
attributes: {{dataset: {DATASET}}}
""" + "".join(
    f"""---
type: nnunet_assets.components.CrossValidationExperiment
attributes: {{dataset: {DATASET}, configuration: 3d_fullres, trainer: nnUNetTrainerMicro{n}, device: cpu}}
"""
    for n in EPOCHS.values()
)


@dataclass(frozen=True)
class Bench:
    """A prepared dataset in a project, and the environment in which every side runs."""

    settings: Settings
    environment: Mapping[str, str]

    @property
    def project(self) -> Path:
        return self.settings.project

    @property
    def log(self) -> Path:
        return self.project / "bench.log"

    def run(self, *command: str | Path, **variables: str) -> None:
        """Runs a command in the project's folder, as a user would."""
        environment = {**self.environment, **variables}
        with self.log.open("ab") as log:
            subprocess.run(
                command,
                cwd=self.project,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                check=True,
                timeout=1800,
            )


def arguments_of(doc: str, repeats: int, parts: Iterable[str] = (), usual: Sequence[str] = ()) -> tuple[list[str], int]:
    """Returns from the command line the parts that are asked for, and how often every side runs.

    Args:
        doc: Of the benchmark; its first line is shown.
        repeats: Where nothing is said.
        parts: All that there are; none: it is not made of parts.
        usual: Those that run where none is named; empty: all.
    """
    known, usual = list(parts), usual or list(parts)
    parser = argparse.ArgumentParser(description=doc.splitlines()[0])
    if known:
        parser.add_argument("parts", nargs="*", help=f"{', '.join(known)}; without one: {', '.join(usual)}")
    parser.add_argument("--repeats", type=int, default=repeats, help=f"of every side; {repeats} unless told")
    parser.add_argument("--quick", action="store_true", help="one repeat, without intervals")
    arguments = parser.parse_args()
    wanted: list[str] = (arguments.parts if known else []) or list(usual)
    if unknown := set(wanted) - set(known):
        parser.error(f"there is no part {', '.join(sorted(unknown))}")
    return wanted, 1 if arguments.quick else arguments.repeats


def exit_code(n_repeats: int, measure: Callable[[Bench], Iterable[bool]]) -> int:
    """Measures in a prepared project; 1 where a goal is missed, and what the failing command said where one fails.

    Args:
        n_repeats: Of every side, to be said.
        measure: Tells of each ratio that has a goal whether it is met.
    """
    become_subreaper()
    print(f"{os.cpu_count()} processors, load {os.getloadavg()[0]:.1f}; repeats: {n_repeats}", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        bench = prepared_bench(Path(folder))
        with failures_shown(bench):
            results = list(measure(bench))
    return 0 if all(results) else 1


@contextmanager
def failures_shown(bench: Bench) -> Iterator[None]:
    """Shows the end of what a command said that fails in the block."""
    try:
        yield
    except subprocess.CalledProcessError:
        print(bench.log.read_text(errors="replace")[-5000:], file=sys.stderr)
        raise


def program(name: str) -> str:
    """Returns the path of a program beside this Python."""
    return str(Path(sys.executable).with_name(name))


def prepared_bench(
    folder: Path, *, declarations: str = DECLARATIONS, trainers: str = TRAINERS, shape: tuple[int, int, int] = SHAPE
) -> Bench:
    """Returns a project with a small dataset, split, planned and preprocessed.

    Args:
        folder: That the project is made in.
        declarations: YAML of the dataset and its experiments.
        trainers: A module with their trainer classes.
        shape: Voxels of each image.
    """
    project = init_project(folder / "project")
    (project / EXAMPLE).write_text(declarations)
    (folder / "trainers").mkdir()
    (folder / "trainers" / "nnUNetTrainerMicro.py").write_text(trainers)
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("nnUNet_", "MLFLOW_"))}
    settings = Settings.from_environment(project, kept)
    environment = {
        **kept,
        **settings.roots.environment(),
        "nnUNet_extTrainer": str(folder / "trainers"),
        "DAGSTER_HOME": str(settings.dagster_home),
        PROJECT_VARIABLE: str(project),
    }
    write_micro_dataset(settings.roots.raw / DATASET, shape)
    bench = Bench(settings, environment)
    with failures_shown(bench):
        dagster(bench, "job", "execute", "-j", f"prepare__{DATASET}")
    return bench


def write_micro_dataset(folder: Path, shape: tuple[int, int, int]) -> None:
    """Writes 10 cases of so many voxels of 1 mm: a bright organ with a brighter lesion in noise."""
    import nibabel

    for subfolder in ("imagesTr", "labelsTr"):
        (folder / subfolder).mkdir(parents=True)
    for index in range(N_CASES):
        rng = np.random.default_rng(index)
        center = (np.array(shape) / 2 + rng.uniform(-1, 1, size=3))[:, None, None, None]
        distance = np.sqrt(((np.indices(shape) - center) ** 2).sum(axis=0))
        radius = min(shape) * 3 / 8
        label = ((distance < radius).astype(np.uint8) + (distance < radius / 2)).astype(np.uint8)
        image = (300.0 * label + rng.normal(100, 30, size=shape)).astype(np.float32)
        for place, voxels in (("imagesTr", image), ("labelsTr", label)):
            ending = "_0000.nii.gz" if place == "imagesTr" else ".nii.gz"
            write_nifti(folder / place / f"micro_{index:03d}{ending}", nibabel.Nifti1Image(voxels, np.eye(4)))
    description = {
        "channel_names": {"0": "MRI"},
        "labels": {"background": 0, "organ": 1, "lesion": 2},
        "numTraining": N_CASES,
        "file_ending": ".nii.gz",
    }
    (folder / "dataset.json").write_text(json.dumps(description))


def experiment_of(n_epochs: int) -> Experiment:
    return Experiment(DATASET, "3d_fullres", trainer=f"nnUNetTrainerMicro{n_epochs}")


def dagster(bench: Bench, noun: str, verb: str, *arguments: str) -> None:
    bench.run(sys.executable, "-m", "dagster", noun, verb, "-m", "nnunet_assets.definitions", *arguments)
