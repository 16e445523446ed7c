"""Which nnU-Net this package fits: the versions it was tested with, and every name of nnU-Net's that it binds.

Looked up in nnU-Net's sources, which takes a tenth of a second: importing them takes torch along, for 6 to 19 s. So an
nnU-Net that lacks something is told by version and name before any work, by `doctor` and by whoever plans, trains or
predicts. A test holds the names against this package's own imports, and against the real nnU-Net.
"""

import ast
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from inspect import isfunction
from pathlib import Path

from nnunet_assets.errors import NnunetVersionError, first_offenders
from nnunet_assets.nnunet import nnunet_trainer

TESTED = ("2.8.0", "2.8.1")
"""The versions of nnU-Net that the tests ran with. 2.6 and older have no logger to which another could be added."""

_TRAINER = "nnunetv2.training.nnUNetTrainer.nnUNetTrainer"
_PLANS = "nnunetv2.utilities.plans_handling.plans_handler"
_LABELS = "nnunetv2.utilities.label_handling.label_handling"
_LOGGER = "nnunetv2.training.logging.nnunet_logger"

NAMES: Mapping[str, tuple[str, ...]] = {
    "nnunetv2.configuration": ("default_num_processes",),
    "nnunetv2.evaluation.evaluate_predictions": ("compute_metrics_on_folder", "subfiles"),
    "nnunetv2.experiment_planning.dataset_fingerprint.fingerprint_extractor": ("multiprocessing",),
    "nnunetv2.experiment_planning.plan_and_preprocess_api": ("extract_fingerprints", "plan_experiments"),
    "nnunetv2.experiment_planning.verify_dataset_integrity": ("multiprocessing", "verify_dataset_integrity"),
    "nnunetv2.imageio.reader_writer_registry": ("recursive_find_reader_writer_by_name",),
    "nnunetv2.inference.data_iterators": ("preprocess_fromfiles_save_to_queue",),
    "nnunetv2.inference.export_prediction": (
        "convert_predicted_logits_to_segmentation_with_correct_shape",
        "export_prediction_from_logits",
    ),
    "nnunetv2.inference.predict_from_raw_data": ("nnUNetPredictor",),
    "nnunetv2.inference.sliding_window_prediction": ("compute_steps_for_sliding_window",),
    "nnunetv2.paths": ("nnUNet_preprocessed", "nnUNet_raw", "nnUNet_results"),
    "nnunetv2.postprocessing.remove_connected_components": (
        "load_postprocess_save",
        "remove_all_but_largest_component_from_segmentation",
    ),
    "nnunetv2.preprocessing.preprocessors.default_preprocessor": ("DefaultPreprocessor",),
    "nnunetv2.run.load_pretrained_weights": ("load_pretrained_weights",),
    "nnunetv2.run.run_training": ("get_trainer_from_args",),
    "nnunetv2.training.dataloading.nnunet_dataset": ("infer_dataset_class",),
    _LOGGER: ("MetaLogger",),
    _TRAINER: ("NonDetMultiThreadedAugmenter", "nnUNetTrainer", "save_json", "shutil"),
    "nnunetv2.utilities.crossval_split": ("generate_crossval_split",),
    "nnunetv2.utilities.find_class_by_name": ("recursive_find_python_class",),
    "nnunetv2.utilities.find_objects": ("recursive_find_trainer_class_by_name",),
    _LABELS: ("LabelManager", "convert_labelmap_to_one_hot"),
    _PLANS: ("ConfigurationManager", "PlansManager"),
    "nnunetv2.utilities.utils": ("get_filenames_of_train_images_and_targets",),
}
"""By module, what is imported from it or replaced in it."""

MEMBERS: Mapping[tuple[str, str], type | tuple[str, ...]] = {
    (_TRAINER, "nnUNetTrainer"): nnunet_trainer.NnunetTrainer,
    (_LOGGER, "MetaLogger"): nnunet_trainer.NnunetLogger,
    (_PLANS, "PlansManager"): nnunet_trainer.PlansManager,
    (_PLANS, "ConfigurationManager"): nnunet_trainer.ConfigurationManager,
    (_LABELS, "LabelManager"): nnunet_trainer.LabelManager,
    ("nnunetv2.preprocessing.preprocessors.default_preprocessor", "DefaultPreprocessor"): ("run_case_save",),
    ("nnunetv2.inference.predict_from_raw_data", "nnUNetPredictor"): (
        *("initialize_from_trained_model_folder", "predict_logits_from_preprocessed_data", "plans_manager"),
        *("configuration_manager", "label_manager", "dataset_json", "network", "device"),
    ),
}
"""By class, what is used of its objects."""

PARAMETERS: Mapping[tuple[str, str], tuple[str, ...]] = {
    ("nnunetv2.run.run_training", "get_trainer_from_args"): ("continue_training", "device"),
    ("nnunetv2.inference.export_prediction", "convert_predicted_logits_to_segmentation_with_correct_shape"): (
        "return_probabilities",
    ),
}
"""By function, what is given to it by name."""


@dataclass(frozen=True)
class InstalledNnunet:
    """The nnU-Net that is installed, as its sources say.

    Attributes:
        version: Of it; None: none is installed.
        missing: What of it is used and not there, `MODULE.NAME` or `MODULE.CLASS.MEMBER`.
    """

    version: str | None
    missing: tuple[str, ...] = ()

    @property
    def is_tested(self) -> bool:
        """Whether the tests ran with this version."""
        return self.version in TESTED

    @property
    def problem(self) -> str:
        """Why nothing can be done with it, and what to do; empty: nothing that is used is missing."""
        remedy = f"nnunet_assets was tested with nnunetv2 {' and '.join(TESTED)}: pip install nnunetv2=={TESTED[-1]}"
        if self.version is None:
            return f"nnU-Net is not installed. {remedy}"
        if not self.missing:
            return ""
        return f"nnunetv2 {self.version} lacks {first_offenders(self.missing)}, which nnunet_assets uses. {remedy}"


def require_nnunet() -> None:
    """Passes where nnU-Net has all that is used of it; looked up once in a process.

    Raises:
        NnunetVersionError: It lacks something, or is not installed.
    """
    if problem := installed_nnunet().problem:
        raise NnunetVersionError(problem)


@cache
def installed_nnunet() -> InstalledNnunet:
    """Returns what is installed; nothing of it is imported."""
    try:
        found = version("nnunetv2")
        spec = find_spec("nnunetv2")
    except PackageNotFoundError:
        return InstalledNnunet(None)
    places = spec.submodule_search_locations if spec else None
    return InstalledNnunet(found, tuple(missing_in(Path(places[0])))) if places else InstalledNnunet(None)


def missing_in(package: Path) -> Iterator[str]:
    """Yields what the sources of an nnU-Net lack of what is used.

    Args:
        package: The folder `nnunetv2`.
    """
    sources = _Sources(package)
    for module, names in NAMES.items():
        there = sources.names(module)
        if there is None:
            yield module
        else:
            yield from (f"{module}.{name}" for name in names if name not in there)
    for (module, name), used in MEMBERS.items():
        members = sources.members(module, name)
        if members is not None:
            wanted = used if isinstance(used, tuple) else used_of(used)
            yield from (f"{module}.{name}.{member}" for member in wanted if member not in members)
    for (module, name), given in PARAMETERS.items():
        parameters = sources.parameters(module, name)
        if parameters is not None:
            yield from (f"{module}.{name}({one})" for one in given if one not in parameters)


def used_of(protocol: type) -> list[str]:
    """Returns what a protocol of `nnunet_trainer` says is used; what typing puts on every protocol is none of it."""
    methods = [name for name, value in vars(protocol).items() if isfunction(value) and value.__module__ != "typing"]
    return [*protocol.__annotations__, *methods]


@dataclass(frozen=True)
class _Facts:
    """What a Python file has on its top level.

    Attributes:
        names: All of it, imported names too.
        members: By class, what its own text gives its objects.
        bases: By class, the names of the classes that it derives from.
        parameters: By function, the names of its parameters.
        origins: By name that is imported from nnU-Net, the module and the name there.
    """

    names: set[str] = field(default_factory=set)
    members: dict[str, set[str]] = field(default_factory=dict)
    bases: dict[str, list[str]] = field(default_factory=dict)
    parameters: dict[str, set[str]] = field(default_factory=dict)
    origins: dict[str, tuple[str, str]] = field(default_factory=dict)


class _Sources:
    """Python files, parsed; nothing is run.

    No two trees are there at once: all of them are 8 MiB, which each run's process would keep while its fold waits.
    """

    def __init__(self, package: Path) -> None:
        self._package = package
        self._read: dict[str, _Facts | None] = {}

    def names(self, module: str) -> set[str] | None:
        """Returns what a module has on its top level, imported names too; None: there is no such module."""
        facts = self._facts(module)
        return facts.names if facts else None

    def members(self, module: str, name: str) -> set[str] | None:
        """Returns what objects of a class have, by itself and the classes that it derives from; None: none is there."""
        facts = self._facts(module)
        if facts is None:
            return None
        if name in facts.members:
            bases = (self.members(*facts.origins.get(base, (module, base))) for base in facts.bases[name])
            return facts.members[name].union(*(found for found in bases if found))
        where = facts.origins.get(name)
        return self.members(*where) if where and where != (module, name) else None

    def parameters(self, module: str, name: str) -> set[str] | None:
        """Returns the names of a function's parameters; None: there is no such function."""
        facts = self._facts(module)
        return facts.parameters.get(name) if facts else None

    def _facts(self, module: str) -> _Facts | None:
        if module not in self._read:
            place = self._package.joinpath(*module.split(".")[1:])
            files = [place.with_suffix(".py"), place / "__init__.py"]
            file = next((one for one in files if one.is_file()), None)
            self._read[module] = _facts_of(ast.parse(file.read_bytes())) if file else None
        return self._read[module]


def _facts_of(tree: ast.Module) -> _Facts:
    """Returns what a file has; of a name that is there twice, the first."""
    facts = _Facts()
    for node in _top_level(tree):
        facts.names.update(_bound(node))
        if isinstance(node, ast.ClassDef) and node.name not in facts.members:
            facts.members[node.name] = {member for part in ast.walk(node) for member in _members(part)}
            facts.bases[node.name] = _base_names(node)
        elif isinstance(node, ast.FunctionDef):
            given = (*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs)
            facts.parameters.setdefault(node.name, {one.arg for one in given})
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("nnunetv2"):
            for alias in node.names:
                facts.origins.setdefault(alias.asname or alias.name, (str(node.module), alias.name))
    return facts


def _top_level(tree: ast.Module) -> Iterator[ast.stmt]:
    """Yields the statements that run when a module is imported, in branches too."""
    waiting: list[ast.stmt] = list(tree.body)
    while waiting:
        node = waiting.pop(0)
        yield node
        for branch in ("body", "orelse", "finalbody"):
            if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                waiting += getattr(node, branch, [])
        waiting += [one for handler in getattr(node, "handlers", []) for one in handler.body]


def _bound(node: ast.AST) -> Iterable[str]:
    if isinstance(node, ast.FunctionDef | ast.ClassDef):
        return [node.name]
    if isinstance(node, ast.Import | ast.ImportFrom):
        return [alias.asname or alias.name.partition(".")[0] for alias in node.names]
    targets = node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AnnAssign) else []
    return [name.id for target in targets for name in ast.walk(target) if isinstance(name, ast.Name)]


def _members(node: ast.AST) -> Iterable[str]:
    """Returns methods, names of the class's body, and what is set on `self` anywhere."""
    if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
        return [node.attr] if isinstance(node.value, ast.Name) and node.value.id == "self" else []
    return _bound(node)


def _base_names(node: ast.ClassDef) -> list[str]:
    return [base.id for base in node.bases if isinstance(base, ast.Name)]
