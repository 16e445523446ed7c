"""Another project on the same preprocessed data, and other versions of the programs, while real folds train.

The versions are other ones as far as the packages' metadata goes, for the supervisor and for the fold's process alike.
"""

import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest

from nnunet_assets.core.files.digests import json_sha256
from nnunet_assets.core.fold.commit import read_committed
from nnunet_assets.core.fold.fold_request import FoldRequest
from nnunet_assets.core.fold.journal import n_saved_epochs
from nnunet_assets.core.fold.version_history import read_stages
from nnunet_assets.core.splits.splits import SplitSettings
from nnunet_assets.core.training.training_options import TrainingOptions
from nnunet_assets.errors import DatasetError, FoldError, PlanningError
from nnunet_assets.nnunet.folds.fold import run_fold
from nnunet_assets.nnunet.folds.fold_inputs import fold_inputs
from nnunet_assets.nnunet.splits.splits_final import ensure_splits
from nnunet_assets_tests.overlaid_versions import next_version, overlay, with_path
from nnunet_assets_tests.prepared_builders import dataset_of
from nnunet_assets_tests.recorded_progress import RecordedProgress
from nnunet_assets_tests.training_builders import DATASET, EXPERIMENT, PhantomProject, roots_in

pytestmark = pytest.mark.faults

LONG = {"num_epochs": 4, "num_iterations_per_epoch": 2, "num_val_iterations_per_epoch": 1}
EVERY_EPOCH = TrainingOptions(checkpoint_minutes=0.001)


class InterruptionError(Exception):
    """What a trial ends a training by."""


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> PhantomProject:
    project = PhantomProject(roots_in(tmp_path_factory.mktemp("shared")), n_folds=3).build()
    project.prepare()
    return project


@pytest.fixture
def project(made: PhantomProject, tmp_path: Path) -> Iterator[PhantomProject]:
    """A project with results of its own on data of its own."""
    shutil.copytree(made.roots.preprocessed, tmp_path / "preprocessed", symlinks=True)
    yield replace(made, roots=replace(made.roots, preprocessed=tmp_path / "preprocessed", results=tmp_path / "mine"))
    shutil.rmtree(tmp_path, ignore_errors=True)


def train(project: PhantomProject, fold: str = "fold_0", **how: Any) -> Any:
    """Brings a fold to its COMMIT; `despite_changes` and what `run_fold` takes."""
    inputs = fold_inputs(dataset_of(project.roots, EXPERIMENT), EXPERIMENT, fold, "settings")
    request = FoldRequest(EXPERIMENT, fold, LONG, "cpu", inputs, dagster_run_id=None, options=EVERY_EPOCH)
    request = replace(request, despite_changes=how.pop("despite_changes", False))
    return run_fold(request, project.roots, environment=project.environment, **how)


def once_saved(project: PhantomProject, do: Callable[[], None], fold: str = "fold_0") -> Callable[[], None]:
    """Returns what, asked twice a second, does something when an epoch is saved, once."""
    done: list[Any] = []

    def look() -> None:
        if not done and (n_saved_epochs(project.folder(fold)) or 0) >= 1:
            done.append(True)
            do()

    return look


def interrupt() -> None:
    raise InterruptionError


def begin(project: PhantomProject) -> int:
    """Trains a fold until an epoch is saved, and returns how many are."""
    with pytest.raises(InterruptionError):
        train(project, progress=RecordedProgress(on_poll=once_saved(project, interrupt)))
    return n_saved_epochs(project.folder("fold_0")) or 0


def under(project: PhantomProject, folder: Path) -> PhantomProject:
    return replace(project, environment=with_path(project.environment, folder))


def test_f50_a_fold_goes_on_under_another_torch_and_says_so(
    project: PhantomProject, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: Any
) -> None:
    n_before = begin(project)
    other = {"torch": "99.0.0", "nnunetv2": next_version("nnunetv2", 2)}
    monkeypatch.syspath_prepend(overlay(tmp_path / "other", other))
    sentences: list[str] = []
    manifest = train(under(project, tmp_path / "other"), progress=RecordedProgress(sentences.append)).manifest

    assert any("torch" in sentence and "now 99.0.0" in sentence for sentence in sentences)
    assert manifest.mixed_versions["torch"] == [read_stages(project.folder("fold_0"))[0].versions["torch"], "99.0.0"]
    assert manifest.versions["torch"] == "99.0.0"
    first, second = manifest.details["stages"]
    assert (first["from_epoch"], second["from_epoch"]) == (0, n_before)
    assert manifest.n_epochs == LONG["num_epochs"]
    said(epochs_before=n_before, mixed=manifest.mixed_versions)


def test_f50_another_minor_nnunet_goes_on_by_the_users_word_alone(
    project: PhantomProject, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: Any
) -> None:
    begin(project)
    installed, minor = version("nnunetv2"), next_version("nnunetv2", 1)
    monkeypatch.syspath_prepend(overlay(tmp_path / "other", {"nnunetv2": minor}))
    upgraded = under(project, tmp_path / "other")
    with pytest.raises(FoldError, match=f'made from other input .*nnunetv2 was "{installed}", is "{minor}"'):
        train(upgraded)  # its cases are those of the version before
    with pytest.raises(PlanningError, match=rf"{minor} is installed.*--despite-changes"):
        upgraded.prepare()
    upgraded.prepare(despite_changes=True)
    before = n_saved_epochs(project.folder("fold_0"))
    with pytest.raises(FoldError, match=rf"and {minor} is installed.*--despite-changes"):
        train(upgraded)
    assert n_saved_epochs(project.folder("fold_0")) == before
    manifest = train(upgraded, despite_changes=True).manifest
    assert manifest.mixed_versions["nnunetv2"][-1] == minor
    assert [stage["cases"]["nnUNetPlans_3d_fullres"] for stage in manifest.details["stages"]][-1] == minor
    said(mixed=manifest.mixed_versions)


def test_f51_another_projects_folds_keep_their_split_while_they_train_and_after(
    project: PhantomProject, tmp_path: Path, said: Any
) -> None:
    other = replace(project.roots, results=tmp_path / "other_results")
    file = project.prepared.folder / "splits_final.json"
    before, refused = file.read_bytes(), []

    def split_otherwise() -> None:
        ways: tuple[dict[str, Any], ...] = ({}, {"renew": True})
        for how in ways:
            with pytest.raises(DatasetError, match="another project, whose results lie elsewhere") as caught:
                ensure_splits(other, DATASET, SplitSettings(2), **how)
            refused.append(str(caught.value))

    manifest = train(project, progress=RecordedProgress(on_poll=once_saved(project, split_otherwise))).manifest
    split_otherwise()
    shutil.move(project.roots.results, tmp_path / "unmounted")
    split_otherwise()

    assert len(refused) == 6
    assert str(project.roots.results) in refused[-1]
    assert file.read_bytes() == before
    assert manifest.inputs.splits_hash == json_sha256(json.loads(before))
    said(refused=len(refused))


def test_f52_a_fold_keeps_what_it_began_with_whatever_another_project_prepares_meanwhile(
    project: PhantomProject, tmp_path: Path, said: Any
) -> None:
    plans = project.prepared.plans_file("nnUNetPlans")
    begun = fold_inputs(dataset_of(project.roots, EXPERIMENT), EXPERIMENT, "fold_0", "settings")

    def prepare_otherwise() -> None:
        content = json.loads(plans.read_text())
        content["configurations"]["3d_fullres"]["batch_size"] += 1
        content["plans_name"] = "nnUNetPlans"
        plans.write_text(json.dumps(content))
        shown = project.prepared.plans("nnUNetPlans").cases_folder("3d_fullres")
        shutil.rmtree(shown)
        for reference in project.prepared.references.iterdir():
            reference.unlink()

    manifest = train(project, progress=RecordedProgress(on_poll=once_saved(project, prepare_otherwise))).manifest

    assert manifest.inputs == begun
    assert read_committed(project.folder("fold_0"), check_files=True) == manifest
    now = fold_inputs(dataset_of(project.roots, EXPERIMENT), EXPERIMENT, "fold_0", "settings")
    assert manifest.inputs.differences(now) == ["plans"]
    said(differs_now=manifest.inputs.differences(now))
