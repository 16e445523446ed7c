"""Real preprocessing of a tiny phantom: equal to nnU-Net's own, and no more of it than has to be."""

import json
import os
import pickle
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nnunet_assets.core.files.digests import file_sha256
from nnunet_assets.core.files.layout import Roots
from nnunet_assets.errors import PlanningError
from nnunet_assets.nnunet.cases.case_check import case_sha256
from nnunet_assets.nnunet.preparation import case_preprocessing, planning
from nnunet_assets.nnunet.preparation.case_preprocessing import CaseJob, make_cases, make_cases_by_nnunet
from nnunet_assets.nnunet.preparation.planning_process import prepare_dataset
from nnunet_assets.nnunet.preparation.planning_request import PlanningRequest
from nnunet_assets.nnunet.prepared.case_records import Ingredients
from nnunet_assets.nnunet.prepared.case_sets import CaseSet
from nnunet_assets.nnunet.prepared.prepared_dataset import PreparedDataset
from nnunet_assets.nnunet.prepared.raw_records import read_raw, write_raw
from nnunet_assets.nnunet.raw.raw_data import inspect_raw_dataset
from nnunet_assets.processes.child import ChildFailure
from nnunet_assets.processes.exit_codes import ExitCode
from nnunet_assets_tests.nnunet_in_process import child_in_process
from nnunet_assets_tests.recorded_progress import RecordedProgress
from nnunet_assets_tests.training_builders import DATASET, PhantomProject, preprocessed_content, roots_in

CONFIGURATION = "3d_fullres"
NIFTI = {"file_ending": ".nii.gz"}
ENVIRONMENT = {**os.environ, "nnUNet_def_n_proc": "1"}


@pytest.fixture(autouse=True, scope="module")
def _prepared_here() -> Iterator[None]:
    """Plans and preprocesses in this process: others see to it that one of its own does the same."""

    def prepare(request: PlanningRequest) -> None:
        case_preprocessing._plans_manager.cache_clear()
        prepare_dataset(request)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(planning, "run_child", child_in_process(prepare))
        yield


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A phantom of 5 cases of one spacing, looked at, planned and preprocessed."""
    project = PhantomProject(roots_in(tmp_path_factory.mktemp("made")), n_cases=5, environment=ENVIRONMENT).build()
    for path in (project.roots.raw / DATASET).glob("*Tr/*.nii.gz"):
        set_spacing(path)
    look(project)
    prepared = project.prepare()
    assert prepared.cases[CONFIGURATION].n_made == 5
    assert prepared.cases[CONFIGURATION].why == "none was preprocessed before"
    assert prepared.is_verified
    return project


@pytest.fixture
def project(made: Any, tmp_path: Path) -> Any:
    """A copy of it, times and all."""
    for name in ("raw", "preprocessed"):
        shutil.copytree(getattr(made.roots, name), tmp_path / name)
    return PhantomProject(roots_in(tmp_path), n_cases=5, environment=ENVIRONMENT)


def set_spacing(path: Any) -> None:
    import SimpleITK

    image = SimpleITK.ReadImage(str(path))
    image.SetSpacing((1.25, 1.5, 2.5))
    SimpleITK.WriteImage(image, str(path))


def look(project: Any) -> None:
    """Looks at the raw data as `raw_dataset` does."""
    write_raw(project.prepared, inspect_raw_dataset(project.roots.raw, DATASET, n_folds=2).record)


def case_set(project: Any) -> Any:
    return PreparedDataset.read(project.prepared, "nnUNetPlans").case_set(CONFIGURATION)


def digests(folder: Any) -> Any:
    return {path.name: file_sha256(path) for path in folder.iterdir()}


def raw_files(roots: Roots, case: str) -> Any:
    folder = roots.raw / DATASET
    return [folder / "imagesTr" / f"{case}_0000.nii.gz", folder / "labelsTr" / f"{case}.nii.gz"]


def copy_case(project: Any, case: str, new: str) -> None:
    """Adds a case, or changes one, and looks at the raw data again."""
    for source, target in zip(raw_files(project.roots, case), raw_files(project.roots, new), strict=True):
        shutil.copyfile(source, target)
    path = project.roots.raw / DATASET / "dataset.json"
    n_cases = len(list((project.roots.raw / DATASET / "labelsTr").iterdir()))
    path.write_text(json.dumps({**json.loads(path.read_text()), "numTraining": n_cases}))
    look(project)


def test_preprocessed_arrays_and_properties_are_those_of_nnunets_own_preprocessor(made: Any) -> None:
    import blosc2
    from nnunetv2.preprocessing.preprocessors.default_preprocessor import DefaultPreprocessor
    from nnunetv2.training.dataloading.nnunet_dataset import infer_dataset_class
    from nnunetv2.utilities.plans_handling.plans_handler import PlansManager

    plans = PlansManager(str(made.prepared.plans_file("nnUNetPlans")))
    description = json.loads((made.roots.raw / DATASET / "dataset.json").read_text())
    folder = made.prepared.plans("nnUNetPlans").cases_folder(CONFIGURATION)
    # What nnUNetv2_train looks at first.
    assert sorted(infer_dataset_class(str(folder)).get_identifiers(str(folder))) == list(read_raw(made.prepared).cases)
    assert len(list(folder.iterdir())) == 15
    for case in read_raw(made.prepared).cases:
        image, label = raw_files(made.roots, case)
        data, segmentation, properties = DefaultPreprocessor(verbose=False).run_case(
            [str(image)], str(label), plans, plans.get_configuration(CONFIGURATION), description
        )
        saved = blosc2.open(str(folder / f"{case}.b2nd"), mode="r")
        assert (saved.dtype, saved.shape) == (np.float32, data.shape)
        np.testing.assert_array_equal(saved[:], data)
        np.testing.assert_array_equal(blosc2.open(str(folder / f"{case}_seg.b2nd"), mode="r")[:], segmentation)
        with (folder / f"{case}.pkl").open("rb") as file:
            np.testing.assert_equal(pickle.load(file), properties)


def test_of_a_dataset_with_one_case_more_one_case_is_preprocessed(project: Any) -> None:
    before, first = digests(case_set(project).cases), case_set(project)
    manifest = json.loads((first.folder / "manifest.json").read_text())
    for record in manifest["cases"].values():
        del record["references"]  # as an older version of this package wrote it
    (first.folder / "manifest.json").write_text(json.dumps(manifest))
    new = "mit Ümläut 患者;$(5)"
    copy_case(project, "phantom_003", new)
    with first.reading():
        made = project.prepare()
        assert first.damaged() == []  # a fold reads it
    cases = made.cases[CONFIGURATION]
    assert made.made == ("plans", CONFIGURATION)
    assert (cases.n_made, cases.n_reused, cases.why) == (1, 5, f"1 case is new ({new})")
    after = digests(case_set(project).cases)
    assert {name: digest for name, digest in after.items() if new not in name} == before
    assert digests(project.prepared.plans("nnUNetPlans").cases_folder(CONFIGURATION)) == after
    assert (project.prepared.references / f"{new}.nii.gz").is_file()
    assert case_set(project).changed_references(project.prepared.references) == []


def test_a_damaged_case_is_made_again_alone(project: Any) -> None:
    before, bytes_before = preprocessed_content(case_set(project).cases), digests(case_set(project).cases)
    (case_set(project).cases / "phantom_002.pkl").unlink()
    content = bytearray((case_set(project).cases / "phantom_004.b2nd").read_bytes())
    content[-9] ^= 4
    (case_set(project).cases / "phantom_004.b2nd").write_bytes(content)
    (project.prepared.references / "phantom_001.nii.gz").write_text("edited")
    stamp = case_set(project).folder.parent.with_name("nnUNetPlans_3d_fullres.json")
    stamp.write_text("{}")  # of an older version of this package
    said: list[str] = []
    cases = project.prepare(progress=RecordedProgress(said.append)).cases[CONFIGURATION]
    why = "the files of 2 cases were damaged (phantom_002, phantom_004)"
    assert (cases.n_made, cases.n_reused, cases.why) == (2, 3, why)
    # It is said while the cases are made: two small ones may be there before anybody looks.
    assert said in ([], [f"Preprocessing for {CONFIGURATION}: {why}."])
    assert preprocessed_content(case_set(project).cases) == before
    bytes_now = digests(case_set(project).cases)
    assert digests(project.prepared.plans("nnUNetPlans").cases_folder(CONFIGURATION)) == bytes_now
    assert {name[:11] for name in bytes_now if bytes_now[name] != bytes_before[name]} <= {"phantom_002", "phantom_004"}
    assert not stamp.exists()
    label = raw_files(project.roots, "phantom_001")[1]
    assert (project.prepared.references / label.name).read_bytes() == label.read_bytes()


def test_plans_that_preprocess_otherwise_make_every_case_and_say_why(project: Any) -> None:
    plans = json.loads(project.prepared.plans_file("nnUNetPlans").read_text())
    plans["plans_name"] = "MyPlans"
    before = plans["configurations"][CONFIGURATION]["spacing"]
    plans["configurations"][CONFIGURATION]["spacing"] = [4.0, 2.0, 2.0]
    project.prepared.plans_file("MyPlans").write_text(json.dumps(plans))
    cases = project.prepare("MyPlans").cases[CONFIGURATION]
    assert (cases.n_made, cases.n_reused) == (5, 0)
    assert cases.why == f"spacing was {json.dumps(before)}, is [4.0, 2.0, 2.0]"
    assert PreparedDataset.read(project.prepared, "MyPlans").case_set(CONFIGURATION).is_whole
    # The others' cases are theirs still.
    assert case_set(project).damaged() == []


def test_a_preprocessor_with_a_loop_of_its_own_is_run_as_nnunet_runs_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """nnU-Net's own preprocessors have no such loop; this one leaves files of other names."""
    shown = tmp_path / "MyPlans_2d"
    shown.mkdir()

    class OwnLoop:
        dataset_name = DATASET
        data_identifier = shown.name

        def get_configuration(self, configuration: Any) -> Any:
            assert configuration == "2d"
            return self

        def run(self, dataset: Any, configuration: Any, plans: Any, num_processes: Any) -> None:
            assert (dataset, configuration, plans, num_processes) == (DATASET, "2d", "MyPlans", 3)
            for name in ("a.npz", "a.pkl", "a_1.npz", "a_1.pkl", "a_1_extra.txt"):
                (shown / name).write_text(name)

    monkeypatch.setattr(case_preprocessing, "_plans_manager", lambda _: OwnLoop())
    monkeypatch.setattr(case_preprocessing, "_preprocessor", lambda *_: OwnLoop())
    wanted = Ingredients({}, {"a": "raw a", "a_1": "raw a_1"})
    own = CaseSet(tmp_path / "sets" / wanted.digest)
    own.begin(wanted, "a test wants it")
    label = tmp_path / "label.nii.gz"
    label.touch()

    def jobs(*cases: Any) -> Any:
        return [
            CaseJob(case, f"raw {case}", None, (), str(label), tmp_path / "MyPlans.json", "2d", NIFTI, own.folder)
            for case in cases
        ]

    make_cases_by_nnunet(jobs("a", "a_1"), 3)
    own.finish()
    assert own.damaged() == []
    assert sorted(own.records()["a"].files) == ["a.npz", "a.pkl"]
    assert sorted(own.records()["a_1"].files) == ["a_1.npz", "a_1.pkl", "a_1_extra.txt"]
    with pytest.raises(ChildFailure, match="The preprocessor left no file of the case b in "):
        make_cases_by_nnunet(jobs("b"), 3)


@pytest.mark.parametrize("is_read", [False, True])
def test_a_case_whose_files_are_not_those_that_were_looked_at_is_not_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_read: bool
) -> None:
    """Neither where they were changed before they are read, nor while."""
    image, label = tmp_path / "a_0000.nii.gz", tmp_path / "a.nii.gz"
    image.write_text("image")
    label.write_text("label")
    looked_at = case_sha256([file_sha256(image)], file_sha256(label))
    wanted = Ingredients({}, {"a": looked_at, "b": "raw b"})
    own = CaseSet(tmp_path / "sets" / wanted.digest)
    own.begin(wanted, "a test wants it")

    class Reads:
        def get_configuration(self, _: Any) -> Any:
            return None

        def run_case_save(self, output: Any, *_: Any) -> None:
            Path(f"{output}.pkl").write_text("a case")
            if is_read:
                label.write_text("other")

    monkeypatch.setattr(case_preprocessing, "_plans_manager", lambda _: Reads())
    monkeypatch.setattr(case_preprocessing, "_preprocessor", lambda *_: Reads())
    job = CaseJob("a", looked_at, looked_at, (str(image),), str(label), tmp_path / "P.json", "2d", NIFTI, own.folder)
    if not is_read:
        image.write_text("other")

    with pytest.raises(ChildFailure, match=r"a: its files .* were changed after the raw data was looked at") as failed:
        make_cases([job], 1)

    assert failed.value.code == ExitCode.CHANGED_INPUT
    assert own.records() == {}
    # Raised in a worker, it reaches the process that makes the cases.
    assert (pickle.loads(pickle.dumps(failed.value)).code, str(pickle.loads(pickle.dumps(failed.value)))) == (
        failed.value.code,
        str(failed.value),
    )


def test_nothing_is_made_of_raw_data_that_nnunets_own_integrity_check_does_not_agree_with(project: Any) -> None:
    import nibabel

    label = sorted((project.roots.raw / DATASET / "labelsTr").glob("*.nii.gz"))[1]
    image = nibabel.load(label)
    nibabel.save(nibabel.Nifti1Image(np.full(image.shape, 9, np.uint8), image.affine), label)
    record = read_raw(project.prepared)
    write_raw(project.prepared, replace(record, content_hash="as if nobody had seen it"))
    before = project.prepared.plans("nnUNetPlans").digest

    with pytest.raises(
        PlanningError, match=f"(?s)does not agree with .*Error: Unexpected labels found in file [^,]*{label.name}"
    ):
        project.prepare()

    assert project.prepared.plans("nnUNetPlans").digest == before
