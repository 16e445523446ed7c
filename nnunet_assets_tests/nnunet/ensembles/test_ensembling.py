"""Two experiments become an ensemble: probabilities on demand, masks, scores, and what a changed member makes of it."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from nnunet_assets.core.files.layout import Experiment, Roots
from nnunet_assets.core.summary.scored_summary import summarize
from nnunet_assets.core.training.training_options import TrainingOptions
from nnunet_assets.nnunet.ensembles.ensembling import Ensembled, Wanted, make_ensembles
from nnunet_assets.nnunet.probabilities.finished_member import finished_member
from nnunet_assets.nnunet.probabilities.probability_store import ProbabilityStore
from nnunet_assets.nnunet.results.results import collect_fold_results
from nnunet_assets.nnunet.results.results_folder import FolderRecord, experiment_of
from nnunet_assets_tests.ensemble_builders import OTHER, add_contrary_member
from nnunet_assets_tests.training_builders import DATASET, EXPERIMENT, FOLDS, PhantomProject

ENSEMBLE = Experiment.ensemble(DATASET, "both")
BOTH = Wanted("both", (OTHER, EXPERIMENT), keeps_probabilities=True)


def make(project: PhantomProject, wanted: Wanted = BOTH, folds: tuple[str, ...] = FOLDS) -> Ensembled:
    return make_ensembles(project.roots, DATASET, [wanted], folds, device="cpu", environment=project.environment)


@pytest.fixture(scope="module")
def made(trained_phantom: PhantomProject, tmp_path_factory: pytest.TempPathFactory) -> PhantomProject:
    """The trained phantom, a second member that contradicts it, and their ensemble, of which probabilities are kept."""
    project = trained_phantom.copy_to(tmp_path_factory.mktemp("ensembling"))
    add_contrary_member(project.roots)
    before = {path: path.read_bytes() for path in _touched_by_nobody(project.roots)}
    assert make(project) == Ensembled(12, {"both": FOLDS})
    assert {path: path.read_bytes() for path in _touched_by_nobody(project.roots)} == before
    return project


def _touched_by_nobody(roots: Roots) -> Iterator[Path]:
    """Yields the files of the members' folds."""
    for experiment in (EXPERIMENT, OTHER):
        yield from (path for path in experiment.model_folder(roots).glob("fold_*/**/*") if path.is_file())


def test_probabilities_are_bit_by_bit_those_of_a_validation_with_npz(made: PhantomProject, tmp_path: Path) -> None:
    project = made.copy_to(tmp_path)
    project.train("fold_1", options=TrainingOptions(npz=True))
    validation = EXPERIMENT.fold_folder(project.roots, "fold_1") / "validation"
    store = ProbabilityStore.of(EXPERIMENT, made.roots, "fold_1")
    cases = finished_member(made.roots, EXPERIMENT, "fold_1").cases
    assert len(cases) == 3
    for case in cases:
        expected, found = (np.load(path)["probabilities"] for path in (validation / f"{case}.npz", store.file(case)))
        assert found.dtype == expected.dtype == np.float32
        assert np.array_equal(found, expected)


def test_masks_are_those_of_the_mean_and_are_scored(made: PhantomProject) -> None:
    from nnunetv2.imageio.simpleitk_reader_writer import SimpleITKIO

    for fold in FOLDS:
        members = [finished_member(made.roots, one, fold) for one in (OTHER, EXPERIMENT)]
        for case in members[0].cases:
            first, second = (np.load(one.store(made.roots).file(case))["probabilities"] for one in members)
            mask, _ = SimpleITKIO().read_seg(str(ENSEMBLE.fold_folder(made.roots, fold) / f"validation/{case}.nii.gz"))
            assert np.array_equal(mask[0], ((first + second) / 2).argmax(0))
            assert not (first.argmax(0) == second.argmax(0)).all()  # members that agree would prove nothing
    summary = summarize(ENSEMBLE, FOLDS, collect_fold_results(made.roots, ENSEMBLE, FOLDS))
    assert summary.is_complete
    assert summary.n_cases == 6
    assert (
        summary.inputs.raw_hash == finished_member(made.roots, EXPERIMENT, "fold_0").finished.manifest.inputs.raw_hash
    )


def test_a_results_folder_lists_it_beside_the_models(made: PhantomProject) -> None:
    groups = FolderRecord.of(made.roots.results).experiments()[DATASET]
    assert [group.name for group in groups if group.experiment.is_ensemble] == [f"{DATASET}/ensembles/both"]
    assert experiment_of(ENSEMBLE.model_folder(made.roots)) == ENSEMBLE
    assert [group.finished_folds for group in groups if group.experiment.is_ensemble] == [FOLDS]
