"""Plans from elsewhere run no code: whatever they name, wherever it stands, and by whichever way they come in."""

import ast
import json
import os
import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nnunet_assets.core.files.layout import Experiment
from nnunet_assets.core.fold.commit import FoldInputs
from nnunet_assets.core.fold.fold_request import FoldRequest
from nnunet_assets.engines import local
from nnunet_assets.errors import ForeignCodeError
from nnunet_assets.nnunet.adoption.adoption import adopt_fold
from nnunet_assets.nnunet.folds import fold
from nnunet_assets.nnunet.plans import code_names
from nnunet_assets.nnunet.plans.code_names import refuse_foreign_code
from nnunet_assets.nnunet.predictions import cases_run, prediction
from nnunet_assets.nnunet.predictions.ensemble import Ensemble
from nnunet_assets.nnunet.preparation import planning
from nnunet_assets.nnunet.prepared.prepared_dataset import PreparedDataset
from nnunet_assets.processes.variables import TRUSTED_CODE_VARIABLE
from nnunet_assets.settings import trusted_code
from nnunet_assets_tests import foreign_fold_builders
from nnunet_assets_tests.foreign_fold_builders import write_foreign_fold
from nnunet_assets_tests.hostile_code import (
    HOSTILE,
    MARK_MODULE,
    MARK_SOURCE,
    PLACES,
    PLANS,
    hostile_plans,
)
from nnunet_assets_tests.training_builders import DATASET, PhantomProject, roots_in

NO_NETWORK = (
    "torch.nn.modules.lazy.LazyModuleMixin",
    "dynamic_network_architectures.initialization.weight_init.InitWeights_He",
    "nnunetv2.training.nnUNetTrainer.nnUNetTrainer.nnUNetTrainer",
)
"""Classes of packages that are trusted which are no networks: only a process that has torch sees that."""

PLANTED = [f"{MARK_MODULE}.mark", "torch.hub.load", "exec", ["os.system"], "torch.nn.modules.module.torch.hub.load"]
"""A few of each kind, for ways in that take longer."""

NNUNET = Path(next(iter(find_spec("nnunetv2").submodule_search_locations)))
ARCHITECTURES = Path(next(iter(find_spec("dynamic_network_architectures").submodule_search_locations)))


def is_refused(place: Any, word: Any, trusted: Any = ()) -> Any:
    try:
        refuse_foreign_code("plans.json", trusted, plans=hostile_plans(place, word))
    except ForeignCodeError as error:
        key = place.removesuffix(", unlisted")
        start = "plans.json names code that is neither nnU-Net's own nor named by you"
        return str(error).startswith(start) and f"{key} is " in str(error) and TRUSTED_CODE_VARIABLE in str(error)
    return False


def test_plans_as_nnunet_makes_them_are_passed() -> None:
    refuse_foreign_code("plans.json", (), plans=PLANS)


@pytest.mark.parametrize("place", PLACES)
def test_every_hostile_word_is_refused_in_every_place(place: Any) -> None:
    assert [word for word in HOSTILE if not is_refused(place, word) and word not in NO_NETWORK] == []


def test_a_dataset_json_that_names_a_reader_which_is_none_is_refused() -> None:
    for word in HOSTILE:
        with pytest.raises(ForeignCodeError, match="overwrite_image_reader_writer is "):
            refuse_foreign_code("dataset.json", (), dataset_json={"overwrite_image_reader_writer": word})
    refuse_foreign_code("dataset.json", (), dataset_json={"overwrite_image_reader_writer": "NibabelIOWithReorient"})


def test_what_the_user_names_is_passed_and_nothing_beside_it() -> None:
    trusted = trusted_code({TRUSTED_CODE_VARIABLE: " my_nets.MyUNet, MyNormalization,"})
    assert trusted == {"my_nets.MyUNet", "MyNormalization"}
    assert not is_refused("architecture.network_class_name", "my_nets.MyUNet", trusted)
    assert not is_refused("normalization_schemes.1", "MyNormalization", trusted)
    for other in ("my_nets.MyUNet.os.system", "my_nets", "my_nets.Other", " my_nets.MyUNet"):
        assert is_refused("architecture.network_class_name", other, trusted)
    assert trusted_code({}) == frozenset()


# --- nnU-Net and torch as the oracle --------------------------------------------------------------------------------


def test_every_network_class_of_torch_and_of_nnunets_architectures_is_passed() -> None:
    torch = pytest.importorskip("torch")
    classes = [found for found in vars(torch.nn).values() if isinstance(found, type)]
    modules = [found for found in classes if issubclass(found, torch.nn.Module) and "parallel" not in found.__module__]
    names = [name for found in modules for name in (f"torch.nn.{found.__name__}", _full_name(found))]
    for file in (ARCHITECTURES / "architectures").glob("*.py"):
        defined = [node.name for node in ast.parse(file.read_text()).body if isinstance(node, ast.ClassDef)]
        names += [f"dynamic_network_architectures.architectures.{file.stem}.{name}" for name in defined]
    assert len(names) > 300
    assert [name for name in names if is_refused("architecture.network_class_name", name)] == []


def test_a_network_class_that_has_moved_is_passed_as_nnunet_finds_it() -> None:
    name = "dynamic_network_architectures.architectures.residual_unet.ResidualEncoderUNet"
    assert not is_refused("architecture.network_class_name", name)  # nnU-Net's own, of old plans
    assert code_names._is_network_class(name)


def test_every_word_of_nnunets_own_lists_and_planners_is_passed() -> None:
    from nnunetv2.imageio.reader_writer_registry import LIST_OF_IO_CLASSES
    from nnunetv2.preprocessing.normalization.map_channel_name_to_normalization import (
        channel_name_to_normalization_mapping,
    )

    words = {
        "image_reader_writer": {found.__name__ for found in LIST_OF_IO_CLASSES} | {"SimpleITKIOWithReorient"},
        "normalization_schemes.1": {found.__name__ for found in channel_name_to_normalization_mapping.values()},
        "resampling_fn_data": set(),
        "preprocessor_name": {"DefaultPreprocessor"},
        "architecture.network_class_name": set(),
    }
    for file in (NNUNET / "experiment_planning").rglob("*planner*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Assign) and "resampling" in ast.unparse(node.targets[0]):
                words["resampling_fn_data"] |= {found for found in _names_in(node.value) if found.startswith("res")}
            if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "self.UNet_class":
                module = "dynamic_network_architectures.architectures.unet"
                words["architecture.network_class_name"] |= {f"{module}.{name}" for name in _names_in(node.value)}
    words["resampling_fn_data"] |= {"resample_torch_fornnunet", "no_resampling_hack"}
    assert len(words["architecture.network_class_name"]) == 2
    assert len(words["resampling_fn_data"]) >= 3
    assert [(place, word) for place, found in words.items() for word in found if is_refused(place, word)] == []


def _names_in(node: Any) -> Any:
    return {found.id for found in ast.walk(node) if isinstance(found, ast.Name)}


def _full_name(found: Any) -> str:
    return f"{found.__module__}.{found.__name__}"


PARTS = ["torch", "nn", "modules", "module", "conv", "init", "functional", "hub", "load", "os", "system", "Module"]
PARTS += ["Conv3d", "LeakyReLU", "Parameter", "dynamic_network_architectures", "architectures", "unet", "PlainConvUNet"]
PARTS += ["building_blocks", "helper", "nnunetv2", "__init__", "__globals__", "Tensor", "parallel", "DataParallel"]
STARTS = ["torch.nn", "torch.nn.modules", "dynamic_network_architectures.architectures", "nnunetv2", "torch"]


@given(st.sampled_from(STARTS), st.lists(st.sampled_from(PARTS), max_size=4))
def test_a_name_that_is_passed_is_never_found_to_be_anything_but_a_network_class(start: Any, parts: Any) -> None:
    import pydoc

    torch = pytest.importorskip("torch")
    name = ".".join([start, *parts])
    if not is_refused("architecture.network_class_name", name):
        found: Any = pydoc.locate(name)
        assert found is None or issubclass(found, torch.nn.Module)


LOOKUPS = {
    "utilities/label_handling/label_handling.py": ["recursive_find_python_class"],
    "utilities/plans_handling/plans_handler.py": [
        *["recursive_find_python_class"],
        *["recursive_find_resampling_fn_by_name"] * 3,
        *["recursive_find_reader_writer_by_name", "recursive_find_python_class"],
    ],
    "utilities/find_objects.py": ["recursive_find_python_class", "recursive_find_python_class"],
    "utilities/find_class_by_name.py": ["import_module", "getattr"],
    "utilities/get_network_from_plans.py": ["locate", "locate", "recursive_find_python_class"],
    "experiment_planning/plan_and_preprocess_api.py": ["recursive_find_python_class", "recursive_find_python_class"],
    "training/nnUNetTrainer/variants/network_architecture/nnUNetTrainerBN.py": ["locate"],
    "inference/predict_from_raw_data.py": ["recursive_find_trainer_class_by_name"],
    "preprocessing/preprocessors/default_preprocessor.py": ["recursive_find_python_class"],
    "preprocessing/resampling/utils.py": ["recursive_find_python_class"],
    "imageio/reader_writer_registry.py": ["recursive_find_reader_writer_by_name", "recursive_find_python_class"],
    "run/run_training.py": ["recursive_find_trainer_class_by_name"],
}
"""Where nnU-Net 2.8 turns a text into code. Of plans: network classes and arguments (get_network_from_plans,
nnUNetTrainerBN), preprocessor, resampling, reader, label manager, planner (plans_handler, label_handling),
normalization (default_preprocessor); of dataset.json: the reader (reader_writer_registry). Trainers must be subclasses
of nnUNetTrainer, and come from nnU-Net or the user's nnUNet_extTrainer; planners and fingerprint extractors are named
on the command line."""


def test_nnunet_turns_texts_into_code_where_it_is_known_to_and_nowhere_else() -> None:
    found = {}
    for file in (*NNUNET.rglob("*.py"), *ARCHITECTURES.rglob("*.py")):
        name = file.relative_to(NNUNET if file.is_relative_to(NNUNET) else ARCHITECTURES.parent).as_posix()
        if not name.startswith("tests/") and (calls := _lookups(ast.parse(file.read_bytes()))):
            found[name] = calls
    assert {name: sorted(calls) for name, calls in found.items()} == {
        name: sorted(calls) for name, calls in LOOKUPS.items()
    }


def _lookups(tree: Any) -> Any:
    nodes = (node for node in ast.walk(tree) if isinstance(node, ast.Call))
    calls = [(getattr(node.func, "attr", getattr(node.func, "id", "")), node) for node in nodes]
    by_name = r"recursive_find_\w+|locate|import_module|__import__|load_module|exec_module|get_class"
    return [
        name
        for name, node in calls
        if re.fullmatch(by_name, name)
        or (name in ("eval", "exec") and isinstance(node.func, ast.Name))
        # By a name that is no constant; of an object itself it is one of nnU-Net's own attributes.
        or (name == "getattr" and not isinstance(node.args[1], ast.Constant) and ast.unparse(node.args[0]) != "self")
    ]


# --- the ways in ----------------------------------------------------------------------------------------------------

CASES = {"case_1": (0.8, 0.7)}


@pytest.fixture
def adoptable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Writes a finished fold of plain nnU-Net with these plans in the checkpoint, in the model's folder, or both."""

    def write(in_checkpoint: Any = PLANS, in_folder: Any = PLANS, dataset_json: Any = None) -> Any:
        def placed(plans: Any) -> Any:
            places = {"dataset_name": foreign_fold_builders.DATASET, "plans_name": "nnUNetPlans"}
            return {**plans, **places} if isinstance(plans, dict) else plans

        monkeypatch.setattr(foreign_fold_builders, "PLANS", placed(in_checkpoint))
        folder = write_foreign_fold(tmp_path, 0, CASES)
        (folder.parent / "plans.json").write_text(json.dumps(placed(in_folder)))
        description = {**foreign_fold_builders.DESCRIPTION, **(dataset_json or {})}
        (folder.parent / "dataset.json").write_text(json.dumps(description))
        return folder

    return write


def test_a_fold_with_plans_of_nnunet_is_adopted(adoptable: Any) -> None:
    assert adopt_fold(adoptable()).is_new


@pytest.mark.parametrize("place", PLACES)
def test_a_fold_whose_checkpoint_names_foreign_code_is_not_adopted(adoptable: Any, place: Any) -> None:
    folder = adoptable(in_checkpoint=hostile_plans(place, PLANTED[0]))
    with pytest.raises(ForeignCodeError, match=r"checkpoint_final\.pth names code"):
        adopt_fold(folder)
    assert not (folder / ".nnunet_assets").exists()


@pytest.mark.parametrize("word", PLANTED)
def test_a_fold_beside_plans_that_name_foreign_code_is_not_adopted(adoptable: Any, word: str | list[str]) -> None:
    folder = adoptable(in_folder=hostile_plans("architecture.network_class_name", word))
    with pytest.raises(ForeignCodeError, match=r"plans\.json names code"):
        adopt_fold(folder)


def test_a_fold_beside_a_dataset_json_that_names_a_foreign_reader_is_not_adopted(adoptable: Any) -> None:
    with pytest.raises(ForeignCodeError, match=r"dataset\.json names code .*overwrite_image_reader_writer"):
        adopt_fold(adoptable(dataset_json={"overwrite_image_reader_writer": "load_pickle"}))


def test_a_fold_with_code_that_the_user_names_is_adopted(adoptable: Any) -> None:
    plans = hostile_plans("architecture.network_class_name", "my_nets.MyUNet")
    assert adopt_fold(adoptable(plans, plans), trusted={"my_nets.MyUNet"}).is_new


def test_a_word_that_names_nothing_here_is_adopted_and_never_run(adoptable: Any) -> None:
    plans = hostile_plans("architecture.network_class_name", "net_of_nobody")
    assert adopt_fold(adoptable(plans, plans)).is_new
    with pytest.raises(ForeignCodeError, match="net_of_nobody"):
        refuse_foreign_code("plans.json", frozenset(), plans=plans)


def test_a_word_that_names_a_module_here_is_not_adopted(
    adoptable: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "net_of_somebody.py").write_text("raise RuntimeError('it ran')")
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(ForeignCodeError, match="net_of_somebody"):
        adopt_fold(adoptable(in_folder=hostile_plans("architecture.network_class_name", "net_of_somebody")))


def never_started(*_arguments: Any, **_options: Any) -> None:
    raise AssertionError("a process was started")


@pytest.fixture(scope="module")
def phantom(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return PhantomProject(roots_in(tmp_path_factory.mktemp("phantom"))).build()


@pytest.mark.parametrize("word", PLANTED)
def test_own_plans_that_name_foreign_code_are_refused_before_a_process_is_started(
    phantom: Any, monkeypatch: pytest.MonkeyPatch, word: str | list[str]
) -> None:
    monkeypatch.setattr(planning, "run_child", never_started)
    for place in PLACES:
        phantom.prepared.plans_file("ownPlans").write_text(json.dumps(hostile_plans(place, word)))
        with pytest.raises(ForeignCodeError, match=r"ownPlans\.json names code"):
            phantom.prepare("ownPlans")


def test_a_dataset_json_that_names_a_foreign_reader_is_refused_before_planning(
    phantom: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(planning, "run_child", never_started)
    file = phantom.roots.raw / DATASET / "dataset.json"
    before = file.read_text()
    file.write_text(json.dumps({**json.loads(before), "overwrite_image_reader_writer": "write_pickle"}))
    with pytest.raises(ForeignCodeError, match="overwrite_image_reader_writer is 'write_pickle'"):
        phantom.prepare()
    file.write_text(before)


@pytest.mark.parametrize("word", PLANTED)
def test_a_fold_is_not_trained_by_plans_that_name_foreign_code(
    phantom: Any, monkeypatch: pytest.MonkeyPatch, word: str | list[str]
) -> None:
    monkeypatch.setattr(local, "run_child", never_started)
    monkeypatch.setattr(fold, "_unchanged", lambda _request, folder: PreparedDataset.read(folder, "ownPlans"))
    request = FoldRequest(Experiment(DATASET, "3d_fullres", plans="ownPlans"), "fold_0", {}, "cpu", INPUTS, None)
    for place in PLACES:
        phantom.prepared.plans_file("ownPlans").write_text(json.dumps(hostile_plans(place, word)))
        with pytest.raises(ForeignCodeError, match=r"ownPlans\.json names code"):
            fold.run_fold(request, phantom.roots, environment={})


INPUTS = FoldInputs(raw_hash="", plans_hash="", splits_hash="", training_hash="")


@pytest.mark.parametrize("word", PLANTED)
def test_a_test_set_is_not_predicted_by_plans_that_name_foreign_code(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, word: str | list[str]
) -> None:
    monkeypatch.setattr(cases_run, "run_child", never_started)
    experiment = Experiment(DATASET, "3d_fullres")
    no_cases: Any = SimpleNamespace(cases=())
    ensemble = Ensemble(experiment, tmp_path, ("fold_0",), "checkpoint_final.pth", "digest")
    for place in PLACES:
        (tmp_path / "plans.json").write_text(json.dumps(hostile_plans(place, word)))
        with pytest.raises(ForeignCodeError, match=r"plans\.json names code"):
            prediction.predict_test_set(ensemble, no_cases, ".nii.gz", roots_in(tmp_path), device="cpu", environment={})


# --- in the processes that run nnU-Net ------------------------------------------------------------------------------

IN_CHILDREN = """
import json, pathlib, sys
from nnunet_assets.core.files.layout import Experiment
from nnunet_assets.engines import local
from nnunet_assets.errors import ForeignCodeError
from nnunet_assets.nnunet.preparation.planning_process import prepare_dataset
from nnunet_assets.nnunet.preparation.planning_request import PlanningRequest
from nnunet_assets.nnunet.predictions.prediction_process import predict_cases
from nnunet_assets.core.model.usable_model import Member
from nnunet_assets.nnunet.predictions.prediction_request import PredictionFlags, PredictionRequest
from nnunet_assets.nnunet.trainer.trainer import build_trainer
from nnunet_assets_tests.builders import build_attempt
from nnunet_assets_tests.hostile_code import HOSTILE, PLACES, PLANS, hostile_plans

root = pathlib.Path(sys.argv[1])
dataset = root / "preprocessed" / "Dataset950_Phantom"
model = root / "model"
for folder in (dataset, model):
    folder.mkdir(parents=True)
experiment = Experiment(dataset.name, "3d_fullres", plans="ownPlans")
planning = PlanningRequest(
    dataset.name, "ownPlans", None, (), (), {}, verify_integrity=False, n_processes=1, n_processes_is_set=False
)
member = Member(experiment, model, ("fold_0",), "checkpoint_final.pth")
prediction = PredictionRequest((member,), (), PredictionFlags(), "cpu", root, ())
ways_in = {
    "planning": lambda: prepare_dataset(planning),
    "training": lambda: build_trainer(build_attempt(root, experiment), "cpu", is_resumed=False),
    "prediction": lambda: predict_cases(prediction),
}
passed = []
for place in PLACES:
    for word in HOSTILE if place.startswith("architecture") else HOSTILE[::9]:
        content = json.dumps(hostile_plans(place, word))
        (dataset / "ownPlans.json").write_text(content)
        (model / "plans.json").write_text(content)
        for way, go in ways_in.items():
            try:
                go()
            except ForeignCodeError:
                continue
            except BaseException as error:
                passed.append([way, place, word, repr(error)])
            else:
                passed.append([way, place, word, "nothing"])
(root / "passed.json").write_text(json.dumps(passed))

from nnunetv2.utilities.get_network_from_plans import get_network_from_plans
if not (root / "it_ran").exists():
    try:
        get_network_from_plans("plans_mark.mark", {}, [], 1, 2)
    except Exception:
        pass
    (root / "live").write_text(str((root / "it_ran").exists()))
"""


def test_no_process_of_ours_runs_what_plans_name(tmp_path: Path) -> None:
    (tmp_path / f"{MARK_MODULE}.py").write_text(MARK_SOURCE)
    roots = {f"nnUNet_{name}": str(tmp_path / name) for name in ("raw", "preprocessed", "results")}
    path = os.pathsep.join([str(tmp_path), *filter(None, [os.environ.get("PYTHONPATH")])])
    done = subprocess.run(
        [sys.executable, "-c", IN_CHILDREN, str(tmp_path)],
        env={**os.environ, **roots, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert json.loads((tmp_path / "passed.json").read_text()) == []
    assert (tmp_path / "live").read_text() == "True"  # and nothing ran before: nnU-Net alone would have run it
