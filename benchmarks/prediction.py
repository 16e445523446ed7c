"""What `nnunet-assets predict` costs against `nnUNetv2_predict` with the same folds on the same images, in one run.

    python benchmarks/prediction.py [--quick] [--repeats N] [small] [large] [memory]

`small`: 24 images of 16 x 18 x 20 voxels by two folds, mirrored; `large`: 3 images of 256 x 256 x 120 by one fold, each
voxel seen once, so that what lies around the network counts. nnU-Net's own command runs as it is installed, which has
three processes before the network and three behind it, and with numbers that suit a small machine. All on the
processors; the masks must be equal byte by byte. `memory`: 4 and 8 such large images here; no more are held at a time.

Prints ratios of wall time and of peak memory, with their goals: geometric means over the repeats, with a 95 % interval.
A repeat runs every side once, in random order, so that a busy machine slows all of them. Nothing is written but in a
temporary folder. Exit code 1: a goal was missed, or a mask differs.
"""

import shutil
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import nibabel
import numpy as np
from micro_project import DATASET, SHAPE, Bench, arguments_of, exit_code, experiment_of, program
from paired_costs import fastest, interleaved, measured, said, show

from nnunet_assets.nnunet.images.nifti import write_nifti

REPEATS = 5
N_EPOCHS = 2
FOLDS = ("0", "1")
LARGE = (256, 256, 120)
ONCE = ("-f", "0", "--disable_tta", "-step_size", "1")


@dataclass(frozen=True)
class Part:
    """What is predicted, and how fast it is to be.

    Attributes:
        n_images: How many.
        shape: Voxels of each.
        flags: Of both commands.
        of_default: Goal of the wall time against nnU-Net's command as it is installed.
        of_best: The same, tuned by hand.
    """

    n_images: int
    shape: tuple[int, int, int]
    flags: tuple[str, ...]
    of_default: float
    of_best: float


PARTS = {
    "small": Part(24, SHAPE, ("-f", *FOLDS), 0.5, 0.9),
    "large": Part(3, LARGE, ONCE, 1.0, 1.0),
}
MEMORY, FEW, MANY, MORE_MEMORY = "memory", 4, 8, 1.1
"""The part that compares the memory of many images with that of a few, and its goal."""

HERE, DEFAULT = "here", "nnUNetv2_predict as installed"
PLAIN: Mapping[str, tuple[list[str], dict[str, str]]] = {
    DEFAULT: ([], {}),
    "nnUNetv2_predict -npp 1 -nps 1": (["-npp", "1", "-nps", "1"], {}),
    "nnUNetv2_predict -npp 2 -nps 2": (["-npp", "2", "-nps", "2"], {}),
}
"""What each side sets."""


def main() -> int:
    """Runs the parts that were asked for and returns the exit code."""
    parts, n_repeats = arguments_of(__doc__ or "", REPEATS, [*PARTS, MEMORY])
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
    if part == MEMORY:
        return [is_bounded(bench)]
    n_images, shape, flags = PARTS[part].n_images, PARTS[part].shape, PARTS[part].flags
    images = write_images(bench.project / part, n_images, shape)
    outputs = {side: bench.project / f"{part}_{number}" for number, side in enumerate((HERE, *PLAIN))}
    sides: dict[str, Callable[[], None]] = {
        HERE: lambda: predict_here(bench, images, outputs[HERE], flags),
        **{side: lambda side=side: predict_plain(bench, images, outputs[side], side, flags) for side in PLAIN},
    }
    costs = interleaved(n_repeats, {side: lambda work=work: measured(work) for side, work in sides.items()})
    print(f"\n{n_images} {part} images of {' x '.join(map(str, shape))} voxels", flush=True)
    show(costs)
    best = fastest(costs, [side for side in PLAIN if side != DEFAULT])
    print(f"  Tuned by hand, the fastest is: {best}", flush=True)
    return [
        said("wall time, here / as installed", costs, HERE, DEFAULT, goal=PARTS[part].of_default),
        said("wall time, here / tuned by hand", costs, HERE, best, goal=PARTS[part].of_best),
        said("peak memory, here / as installed", costs, HERE, DEFAULT, of="memory_bytes"),
        said("peak memory, here / tuned by hand", costs, HERE, best, of="memory_bytes"),
        is_equal(outputs, n_images),
    ]


def is_bounded(bench: Bench) -> bool:
    """Prints what many large images take of the memory beside what a few take, and tells whether it is no more."""
    peaks = {}
    for n_images in (FEW, MANY):
        images = write_images(bench.project / f"memory_{n_images}", n_images, LARGE)
        cost = measured(lambda images=images: predict_here(bench, images, bench.project / f"{images.name}_out", ONCE))
        peaks[n_images] = cost.memory_bytes
    ratio = peaks[MANY] / peaks[FEW]
    of_each = ", ".join(f"{n} images {peak / 2**20:.0f} MiB" for n, peak in peaks.items())
    print(f"\npeak memory, here: {of_each}; ratio {ratio:.2f}; goal: at most {MORE_MEMORY}", flush=True)
    return ratio <= MORE_MEMORY


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


def predict_here(bench: Bench, images: Path, output: Path, flags: tuple[str, ...]) -> None:
    """Predicts as a user does, pictures and checks included."""
    shutil.rmtree(output, ignore_errors=True)
    model = "/".join(experiment_of(N_EPOCHS).key_prefix)
    files = ["-i", str(images), "-o", str(output)]
    bench.run(program("nnunet-assets"), "predict", model, *files, *flags, "-device", "cpu")


def predict_plain(bench: Bench, images: Path, output: Path, side: str, flags: tuple[str, ...]) -> None:
    """Predicts with nnU-Net's own command."""
    shutil.rmtree(output, ignore_errors=True)
    tuned, variables = PLAIN[side]
    model = ["-d", DATASET, "-c", "3d_fullres", "-tr", experiment_of(N_EPOCHS).trainer, *flags]
    files = ["-i", str(images), "-o", str(output)]
    bench.run(program("nnUNetv2_predict"), *files, *model, "-device", "cpu", *tuned, **variables)


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
