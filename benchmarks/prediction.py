"""What `nnunet-assets predict` costs against `nnUNetv2_predict` with the same folds on the same images, in one run.

    python benchmarks/prediction.py [--quick] [--repeats N] [small] [large]

`small`: 24 images of 16 x 18 x 20 voxels, `large`: 2 images of 80 x 90 x 100. nnU-Net's own command runs as it is
installed, which starts three processes before the network and three behind it, and with numbers that suit a small
machine. All on the processors; the masks must be equal byte by byte.

Prints ratios of wall time and of peak memory, with their goals: geometric means over the repeats, with a 95 % interval.
A repeat runs every side once, in random order, so that a busy machine slows all of them. Nothing is written but in a
temporary folder. Exit code 1: a goal was missed, or a mask differs.
"""

import shutil
import sys
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import nibabel
import numpy as np
from micro_project import DATASET, SHAPE, Bench, arguments_of, exit_code, experiment_of, program
from paired_costs import fastest, interleaved, measured, said, show

from nnunet_assets.nnunet.images.nifti import write_nifti

REPEATS = 5
N_EPOCHS = 2
FOLDS = ("0", "1")
IMAGES: Mapping[str, tuple[int, tuple[int, int, int]]] = {"small": (24, SHAPE), "large": (2, (80, 90, 100))}
"""Part to how many images, of how many voxels."""
GOALS = {"small": (0.5, 0.9), "large": (None, 1.0)}
"""Part to the goals of wall time: against the command as it is installed, and tuned by hand."""

HERE, DEFAULT = "here", "nnUNetv2_predict as installed"
PLAIN: Mapping[str, tuple[list[str], dict[str, str]]] = {
    DEFAULT: ([], {}),
    "nnUNetv2_predict -npp 1 -nps 1": (["-npp", "1", "-nps", "1"], {}),
    "nnUNetv2_predict -npp 2 -nps 2": (["-npp", "2", "-nps", "2"], {}),
}
"""What each side sets."""


def main() -> int:
    """Runs the parts that were asked for and returns the exit code."""
    parts, n_repeats = arguments_of(__doc__ or "", REPEATS, IMAGES)
    return exit_code(n_repeats, lambda bench: measure(bench, parts, n_repeats))


def measure(bench: Bench, parts: Iterable[str], n_repeats: int) -> list[bool]:
    """Trains the folds, and measures each part."""
    for fold in FOLDS:
        train(bench, fold)
    return [met for part in parts for met in measure_part(bench, part, n_repeats)]


def train(bench: Bench, fold: str) -> None:
    """Trains a fold, by which the model predicts."""
    trainer = experiment_of(N_EPOCHS).trainer
    words = [DATASET, "3d_fullres", fold, "-tr", trainer, "-device", "cpu", "--tracker-disable"]
    bench.run(program("nnunet-assets"), "train", *words)


def measure_part(bench: Bench, part: str, n_repeats: int) -> list[bool]:
    """Prints the ratios of one part and tells of each that has a goal whether it is met."""
    n_images, shape = IMAGES[part]
    images = write_images(bench.project / part, n_images, shape)
    outputs = {side: bench.project / f"{part}_{number}" for number, side in enumerate((HERE, *PLAIN))}
    sides: dict[str, Callable[[], None]] = {
        HERE: lambda: predict_here(bench, images, outputs[HERE]),
        **{side: lambda side=side: predict_plain(bench, images, outputs[side], side) for side in PLAIN},
    }
    costs = interleaved(n_repeats, {side: lambda work=work: measured(work) for side, work in sides.items()})
    print(f"\n{n_images} {part} images of {' x '.join(map(str, shape))} voxels", flush=True)
    show(costs)
    best = fastest(costs, [side for side in PLAIN if side != DEFAULT])
    print(f"  Tuned by hand, the fastest is: {best}", flush=True)
    of_default, of_best = GOALS[part]
    return [
        said("wall time, here / as installed", costs, HERE, DEFAULT, goal=of_default),
        said("wall time, here / tuned by hand", costs, HERE, best, goal=of_best),
        said("peak memory, here / as installed", costs, HERE, DEFAULT, of="memory_bytes"),
        said("peak memory, here / tuned by hand", costs, HERE, best, of="memory_bytes"),
        is_equal(outputs, n_images),
    ]


def write_images(folder: Path, n: int, shape: tuple[int, int, int]) -> Path:
    """Writes bright balls in noise, of 1 mm."""
    folder.mkdir()
    for index in range(n):
        rng = np.random.default_rng(1000 + index)
        distance = np.sqrt(((np.indices(shape) - np.array(shape).reshape(3, 1, 1, 1) / 2) ** 2).sum(axis=0))
        image = 300.0 * (distance < min(shape) * 3 / 8) + rng.normal(100, 30, size=shape)
        file = folder / f"new_{index:03d}_0000.nii.gz"
        write_nifti(file, nibabel.Nifti1Image(image.astype(np.float32), np.eye(4)))
    return folder


def predict_here(bench: Bench, images: Path, output: Path) -> None:
    """Predicts as a user does, pictures and checks included."""
    shutil.rmtree(output, ignore_errors=True)
    model = "/".join(experiment_of(N_EPOCHS).key_prefix)
    files = ["-i", str(images), "-o", str(output)]
    bench.run(program("nnunet-assets"), "predict", model, *files, "-f", *FOLDS, "-device", "cpu")


def predict_plain(bench: Bench, images: Path, output: Path, side: str) -> None:
    """Predicts with nnU-Net's own command."""
    shutil.rmtree(output, ignore_errors=True)
    flags, variables = PLAIN[side]
    model = ["-d", DATASET, "-c", "3d_fullres", "-tr", experiment_of(N_EPOCHS).trainer, "-f", *FOLDS]
    files = ["-i", str(images), "-o", str(output)]
    bench.run(program("nnUNetv2_predict"), *files, *model, "-device", "cpu", *flags, **variables)


def is_equal(outputs: Mapping[str, Path], n_images: int) -> bool:
    """Prints whether every side made the same masks."""
    made = {
        side: {path.name: path.read_bytes() for path in folder.glob("*.nii.gz")} for side, folder in outputs.items()
    }
    is_same = len(made[HERE]) == n_images and all(masks == made[HERE] for masks in made.values())
    print(f"masks are equal, byte by byte: {'yes' if is_same else 'NO'}", flush=True)
    return is_same


if __name__ == "__main__":
    sys.exit(main())
