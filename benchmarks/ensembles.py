"""What an ensemble and the choice of a configuration cost against `nnUNetv2_find_best_configuration`, in one run.

    python benchmarks/ensembles.py [--quick] [--repeats N]

Two experiments of five folds with two cases each are trained with `--npz`, which nnU-Net's command needs. Here the
ensemble is made twice: from nothing, so that both members predict every case again, and with the probabilities that an
earlier one kept, which is what nnU-Net starts from. `nnunet-assets best` follows. nnU-Net's command runs as it is
installed, and with a number of processes that suits a small machine. All on the processors; the ensemble's masks must
be nnU-Net's byte by byte.

Prints ratios of wall time and of peak memory, with their goal: geometric means over the repeats, with a 95 % interval.
A repeat runs every side once, in random order, so that a busy machine slows all of them. Nothing is written but in a
temporary folder. Exit code 1: the goal was missed, or a mask differs.
"""

import shutil
import sys
from collections.abc import Callable, Mapping

from micro_project import (
    DATASET,
    EPOCHS,
    FOLDS,
    Bench,
    arguments_of,
    exit_code,
    experiment_of,
    program,
)
from paired_costs import Cost, fastest, interleaved, measured, said, show

from nnunet_assets.core.files.layout import Experiment

REPEATS = 5
GOAL = 0.3
"""Of the wall time, with the probabilities at hand on both sides, against the command as it is installed."""

FROM_NOTHING, KEPT, DEFAULT = "here, from nothing", "here, probabilities at hand", "as installed"
PLAIN: Mapping[str, list[str]] = {DEFAULT: [], "-np 1": ["-np", "1"], "-np 2": ["-np", "2"]}
NAME = "both"
ENSEMBLE = Experiment.ensemble(DATASET, NAME)
MEMBERS = [experiment_of(n_epochs) for n_epochs in EPOCHS.values()]


def main() -> int:
    """Runs every side and returns the exit code."""
    _, n_repeats = arguments_of(__doc__ or "", REPEATS)
    return exit_code(n_repeats, lambda bench: measure(bench, n_repeats))


def train(bench: Bench, member: Experiment, fold: str) -> None:
    """Trains a fold of a member."""
    words = [DATASET, member.configuration, fold.removeprefix("fold_"), "-tr", member.trainer, "--npz"]
    bench.run(program("nnunet-assets"), "train", *words, "-device", "cpu", "--tracker-disable")


def measure(bench: Bench, n_repeats: int) -> list[bool]:
    """Trains the members, prints the ratios, and tells of each that has a goal whether it is met."""
    for member in MEMBERS:
        for fold in FOLDS:
            train(bench, member, fold)
    sides: dict[str, Callable[[], None]] = {
        FROM_NOTHING: lambda: ensemble(bench),
        KEPT: lambda: ensemble(bench, "--keep-probabilities"),
        **{side: lambda flags=flags: find_best(bench, flags) for side, flags in PLAIN.items()},
    }
    before = {FROM_NOTHING: lambda: forget(bench, probabilities=True), KEPT: lambda: prepare_kept(bench)}

    def cost(side: str) -> Callable[[], Cost]:
        def run() -> Cost:
            before.get(side, lambda: forget_plain(bench))()
            return measured(sides[side])

        return run

    costs = interleaved(n_repeats, {side: cost(side) for side in sides})
    print(f"\n{len(MEMBERS)} members, {len(FOLDS)} folds, with `best` or its choice", flush=True)
    show(costs)
    best = fastest(costs, [side for side in PLAIN if side != DEFAULT])
    return [
        said("wall time, probabilities at hand / as installed", costs, KEPT, DEFAULT, goal=GOAL),
        said(f"wall time, probabilities at hand / {best}", costs, KEPT, best),
        said("wall time, from nothing / as installed", costs, FROM_NOTHING, DEFAULT),
        said("peak memory, probabilities at hand / as installed", costs, KEPT, DEFAULT, of="memory_bytes"),
        said("peak memory, from nothing / as installed", costs, FROM_NOTHING, DEFAULT, of="memory_bytes"),
        is_equal(bench),
    ]


def ensemble(bench: Bench, *flags: str) -> None:
    """Makes the ensemble and chooses, as a user does."""
    members = [member.trainer for member in MEMBERS]
    bench.run(program("nnunet-assets"), "ensemble", DATASET, *members, "--name", NAME, "--device", "cpu", *flags)
    bench.run(program("nnunet-assets"), "best", DATASET)


def find_best(bench: Bench, flags: list[str]) -> None:
    """Makes nnU-Net's ensemble of the two and has it choose."""
    folds = [fold.removeprefix("fold_") for fold in FOLDS]
    trainers = [member.trainer for member in MEMBERS]
    command = [program("nnUNetv2_find_best_configuration"), DATASET, "-c", MEMBERS[0].configuration, "-f", *folds]
    bench.run(*command, "-tr", *trainers, *flags)


def forget(bench: Bench, *, probabilities: bool) -> None:
    """Removes the ensemble, and what was kept for it."""
    roots = bench.settings.roots
    shutil.rmtree(ENSEMBLE.model_folder(roots), ignore_errors=True)
    for member in MEMBERS if probabilities else ():
        shutil.rmtree(member.summary_folder(roots) / "probabilities", ignore_errors=True)


def prepare_kept(bench: Bench) -> None:
    """Has the probabilities at hand, and no ensemble."""
    ensemble(bench, "--keep-probabilities")
    forget(bench, probabilities=False)


def forget_plain(bench: Bench) -> None:
    """Removes what nnU-Net's choice wrote, which it would take as it is."""
    folder = bench.settings.roots.results / DATASET
    for left in [*folder.glob("*/crossval_results_folds_*"), *folder.glob("ensembles/ensemble___*")]:
        shutil.rmtree(left)


def is_equal(bench: Bench) -> bool:
    """Prints whether both ensembles are of the same masks."""
    folder = bench.settings.roots.results / DATASET
    ours = {path.name: path.read_bytes() for path in folder.glob(f"ensembles/{NAME}/fold_*/validation/*.nii.gz")}
    theirs = {path.name: path.read_bytes() for path in folder.glob("ensembles/ensemble___*/*.nii.gz")}
    is_same = bool(ours) and ours == theirs
    print(f"masks are equal, byte by byte: {'yes' if is_same else 'NO'} ({len(ours)} and {len(theirs)})", flush=True)
    return is_same


if __name__ == "__main__":
    sys.exit(main())
