"""Members of ensembles without their trainings, and a child that stands for the processes that make ensembles."""

import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from nnunet_assets.core.files.digests import file_sha256
from nnunet_assets.core.files.layout import Experiment, Roots
from nnunet_assets.core.fold.commit import FINAL_CHECKPOINT, commit_fold, read_committed
from nnunet_assets.nnunet.ensembles.ensembling_request import EnsemblingRequest
from nnunet_assets.nnunet.probabilities.probabilities_request import ProbabilitiesRequest
from nnunet_assets.nnunet.probabilities.probability_store import ProbabilityStore
from nnunet_assets.processes.child import ChildResult
from nnunet_assets.processes.exit_codes import ExitCode
from nnunet_assets_tests.evaluation_builders import (
    HIGHER,
    REFERENCE,
    references_of,
    write_case,
    write_fold,
    write_summary,
)
from nnunet_assets_tests.prepared_builders import CASES, SPLITS, inputs_of, write_prepared
from nnunet_assets_tests.training_builders import EXPERIMENT

OTHER = replace(EXPERIMENT, variant="other")
THIRD = replace(EXPERIMENT, variant="third")


def add_member(
    roots: Roots, experiment: Experiment = OTHER, *, of: Experiment = EXPERIMENT, noise: float = 0.05
) -> Path:
    """Writes the folds of an experiment: those of another one with noise on their weights, and a COMMIT of their own.

    Its scores are those of the other, which no ensemble reads.
    """
    folder = experiment.model_folder(roots)
    shutil.copytree(of.model_folder(roots), folder)
    for fold in sorted(folder.glob("fold_*")):
        change_weights(fold, seed=len(experiment.variant or ""), noise=noise)
    return folder


def add_contrary_member(roots: Roots) -> None:
    """Writes the folds of `OTHER`: those of `EXPERIMENT`, which take each label for the next one.

    However those were trained, the two agree on no voxel: the same probabilities belong to other labels.
    """
    folder = OTHER.model_folder(roots)
    shutil.copytree(EXPERIMENT.model_folder(roots), folder)
    for fold in sorted(folder.glob("fold_*")):
        with _changed_weights(fold) as weights:
            for name in [name for name in weights if ".seg_layers." in name]:
                weights[name] = weights[name].roll(1, 0)


def change_weights(fold: Path, *, seed: int, noise: float = 0.05) -> None:
    """Changes the weights of a finished fold, and commits it as they are now."""
    import torch

    generator = torch.Generator().manual_seed(seed)
    with _changed_weights(fold) as weights:
        for name, values in weights.items():
            if values.is_floating_point():
                weights[name] = values + noise * torch.randn(values.shape, generator=generator)


@contextmanager
def _changed_weights(fold: Path) -> Iterator[dict[str, Any]]:
    """Yields the weights of a finished fold, saves what becomes of them, and commits it."""
    import torch

    checkpoint = torch.load(fold / FINAL_CHECKPOINT, map_location="cpu", weights_only=False)
    yield checkpoint["network_weights"]
    torch.save(checkpoint, fold / FINAL_CHECKPOINT)
    manifest = read_committed(fold)
    files = {**manifest.files, FINAL_CHECKPOINT: file_sha256(fold / FINAL_CHECKPOINT)}
    commit_fold(fold, replace(manifest, files=files))


def write_members(folder: Path, experiments: Sequence[Experiment]) -> Roots:
    """Writes finished folds of experiments that nobody trained, on a dataset that is prepared but for its voxels.

    Four cases in two folds; every checkpoint is a text of its own.
    """
    roots = Roots(folder / "raw", folder / "preprocessed", folder / "results")
    for case in CASES:
        write_case(references_of(roots, experiments[0]) / f"{case}.nii.gz", REFERENCE)
    written, prepared = write_prepared(folder)
    assert written == roots
    for experiment in experiments:
        for index, split in enumerate(SPLITS):
            inputs = inputs_of((roots, prepared), f"fold_{index}", experiment)
            predictions = dict.fromkeys(split["val"], HIGHER)
            fold = write_fold(roots, experiment, f"fold_{index}", predictions, inputs=inputs)
            (fold / FINAL_CHECKPOINT).write_text(f"weights of {experiment.title}")
        shutil.copyfile(prepared.plans_file(experiment.plans), fold.parent / "plans.json")
    return roots


class EnsemblingChild:
    """Stands for both processes: probabilities of a number, masks that are the references, and scores of Dice 1.

    Attributes:
        predicted: Experiment, fold and case of each case whose probabilities were predicted.
        masks: Of each mask that was made, the variants of the members in the order in which they were added.
        dies_after: So many cases or masks are made before it dies; None: it lives.
    """

    def __init__(self) -> None:
        self.predicted: list[tuple[str, int, str]] = []
        self.masks: list[tuple[str, ...]] = []
        self.dies_after: int | None = None

    def __call__(self, module: str, request: Any, **_: Any) -> ChildResult:
        work = self._predict(request) if module.endswith("probabilities_process") else self._ensemble(request)
        for number, _ in enumerate(work):
            if number == self.dies_after:
                return ChildResult(ExitCode.BUG, "The process failed unexpectedly: RuntimeError.", "the end")
        return ChildResult(ExitCode.DONE, None, "")

    def _predict(self, request: ProbabilitiesRequest) -> Iterator[None]:
        for fold in request.folds:
            store = ProbabilityStore(fold.store)
            for case, made_from in fold.cases.items():
                yield
                store.part(case).write_bytes(made_from.encode())
                store.take(case, store.part(case), made_from)
                self.predicted.append((fold.experiment.name_in_dataset, fold.fold, case))

    def _ensemble(self, request: EnsemblingRequest) -> Iterator[None]:
        for fold in request.folds:
            for case in fold.cases:
                yield
                assert all(path.is_file() for path in case.probabilities)
                case.file.write_bytes((fold.references / case.file.name).read_bytes())
                self.masks.append(tuple(path.parts[-7] for path in case.probabilities))
            yield
            cases = [path.name.removesuffix(".nii.gz") for path in (fold.folder / "validation").glob("*.nii.gz")]
            write_summary(fold.folder, sorted(cases), {"1": 1.0, "2": 1.0})
