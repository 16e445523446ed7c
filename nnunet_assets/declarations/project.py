"""What a project folder declares: every file of `experiments`, read and checked without Dagster.

Dagster stops at the first bad file, takes the whole location down with it, and names no file for a repeated asset key.
Here everything is read first, and every error of every file is reported with its line.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from nnunet_assets.core.files.layout import DATASET_PATTERN, EXPERIMENTS_FOLDER, Experiment, fold_key
from nnunet_assets.declarations.config import DatasetConfig, ExperimentConfig
from nnunet_assets.declarations.engine_file import engine_contradictions, engine_of, read_engine
from nnunet_assets.declarations.ensemble_config import EnsembleConfig
from nnunet_assets.declarations.rules.contradictions import contradictions, undeclared_sentence
from nnunet_assets.declarations.rules.ensembles import read_ensembles, shared_indices
from nnunet_assets.declarations.rules.planned import PlannedConfigurations
from nnunet_assets.declarations.rules.searches import search_problems
from nnunet_assets.declarations.rules.splitting import with_known_folds
from nnunet_assets.declarations.search_config import SearchConfig, SearchedConfig
from nnunet_assets.declarations.sections.engine_config import EngineConfig, ProjectEngine
from nnunet_assets.declarations.yaml_files.documents import (
    ENSEMBLE_TYPE,
    EXPERIMENT_TYPE,
    MODELS,
    NAMESPACE,
    SEARCH_TYPE,
    Declared,
    FileProblem,
    component_type,
    document_problems,
    is_run_together,
    read_attributes,
)
from nnunet_assets.declarations.yaml_files.yaml_source import Document, Location, Problem, read_documents
from nnunet_assets.errors import ConfigError, did_you_mean, first_offenders
from nnunet_assets.settings import is_project

# In Dagster's order of precedence (find_defs_or_component_yaml): the first that a folder has is the only one read.
DEFINITION_FILES = ("defs.yaml", "defs.yml", "component.yaml")

# The one component of Dagster's that reads the folders beneath its own file.
_FOLDER_COMPONENT = ".DefsFolderComponent"


@dataclass(frozen=True)
class Project:
    """The declarations of a project folder, valid each and together, in the order of their files.

    Attributes:
        root: The project folder, absolute.
        datasets: Each dataset once, with the folds that the files it names come to.
        experiments: Each experiment once, every one on a declared dataset.
        has_definitions: Whether the folder holds anything that Dagster loads, be it a component of the user's own;
            `load_from_defs_folder` fails where it does not.
        is_plain: Whether the declarations are all that Dagster loads from the folder, as they stand: nothing in it is
            Python or a component of another kind, and nothing is changed after it was loaded (`post_processing`).
        stages: Each cascade, with the experiment whose predictions it reads.
        declared: Where each dataset, by its name, each experiment and ensemble, and each search, by its title, stands.
        ensembles: Each ensemble once, on declared experiments.
        members: Each ensemble, with the experiments whose probabilities it averages.
        engine: Where folds train, as far as their experiment does not say otherwise.
        searches: Each search once, on a declared dataset.
    """

    root: Path
    datasets: tuple[DatasetConfig, ...]
    experiments: tuple[ExperimentConfig, ...]
    has_definitions: bool = True
    is_plain: bool = False
    stages: Mapping[Experiment, Experiment] = field(default_factory=dict)
    declared: Mapping[Experiment | str, Declared[Any]] = field(default_factory=dict, repr=False, compare=False)
    ensembles: tuple[EnsembleConfig, ...] = ()
    members: Mapping[Experiment, tuple[Experiment, ...]] = field(default_factory=dict)
    engine: ProjectEngine = field(default_factory=ProjectEngine)
    searches: tuple[SearchConfig, ...] = ()

    def dataset(self, name: str) -> DatasetConfig:
        """Returns the declaration of a dataset.

        Raises:
            ConfigError: It is not declared.
        """
        for dataset in self.datasets:
            if dataset.dataset == name:
                return dataset
        raise ConfigError(undeclared_sentence(name, [dataset.dataset for dataset in self.datasets]))

    def dataset_or_default(self, name: str) -> DatasetConfig:
        """Returns the declaration of a dataset; where it is not declared, one that says nothing but its name."""
        return next((one for one in self.datasets if one.dataset == name), None) or DatasetConfig(dataset=name)

    def experiment(self, name: str) -> ExperimentConfig:
        """Returns the declaration of an experiment, named as in its asset keys: `DATASET/VARIANT/TRAINER__...`.

        Raises:
            ConfigError: It is not declared.
        """
        named = {"/".join(experiment.identity.key_prefix): experiment for experiment in self.experiments}
        if name in named:
            return named[name]
        raise ConfigError(
            f"{name!r} is not an experiment of {self.root}.{did_you_mean(name, named)} Experiments: "
            f"{first_offenders(list(named)) or 'none'}."
        )

    def experiment_or_ensemble(self, name: str) -> ExperimentConfig | EnsembleConfig:
        """Returns the declaration of an experiment or of an ensemble, `DATASET/ensembles/NAME`.

        Raises:
            ConfigError: It is not declared.
        """
        named = {"/".join(ensemble.identity.key_prefix): ensemble for ensemble in self.ensembles}
        return named[name] if name in named else self.experiment(name)

    def problem(self, of: Experiment | str, location: Location, sentence: str) -> FileProblem:
        """Returns a problem at a location of a declaration: of an experiment, or of a dataset by its name."""
        return self.declared[of].problem(location, sentence)

    def experiments_of(self, dataset: str) -> tuple[ExperimentConfig, ...]:
        """Returns the experiments on a dataset; none where it has none."""
        return tuple(experiment for experiment in self.experiments if experiment.dataset == dataset)

    def ensembles_of(self, dataset: str) -> tuple[EnsembleConfig, ...]:
        """Returns the ensembles of a dataset's experiments; none where it has none."""
        return tuple(ensemble for ensemble in self.ensembles if ensemble.dataset == dataset)

    def searches_of(self, dataset: str) -> tuple[SearchConfig, ...]:
        """Returns the searches on a dataset; none where it has none."""
        return tuple(search for search in self.searches if search.of.dataset == dataset)

    def cross_validations(self) -> dict[Experiment, list[str]]:
        """Returns the folds of everything that has a summary: of each experiment, and of each ensemble."""
        trained = {config.identity: self.folds_of(config) for config in self.experiments}
        return trained | {config.identity: self.folds_of_ensemble(config) for config in self.ensembles}

    def cross_validations_of(self, dataset: str) -> dict[Experiment, list[str]]:
        """Returns those of a dataset."""
        return {one: folds for one, folds in self.cross_validations().items() if one.dataset == dataset}

    def folds_of_ensemble(self, ensemble: EnsembleConfig) -> list[str]:
        """Returns the folds that all members of an ensemble train, in order: `fold_0`, `fold_1`, ..."""
        members = self.members[ensemble.identity]
        configs = [config for config in self.experiments if config.identity in members]
        return [fold_key(index) for index in shared_indices(configs, self.dataset(ensemble.dataset).folds)]

    def folds_of(self, experiment: ExperimentConfig) -> list[str]:
        """Returns the folds that an experiment trains, in order: `fold_0`, `fold_1`, ..."""
        folds = experiment.folds if experiment.folds is not None else range(self.dataset(experiment.dataset).folds)
        return [fold_key(index) for index in sorted(folds)]

    def engine_of(self, experiment: ExperimentConfig) -> EngineConfig:
        """Returns where an experiment's folds train."""
        return engine_of(experiment, self.engine)

    @property
    def in_jobs(self) -> tuple[ExperimentConfig, ...]:
        """The experiments whose folds train in a cluster's jobs."""
        return tuple(one for one in self.experiments if not self.engine_of(one).is_here)

    def previous_stage(self, experiment: ExperimentConfig) -> Experiment | None:
        """Returns the experiment whose predictions a cascade reads; None: it is none, as far as the plans are known."""
        return self.stages.get(experiment.identity)

    def configurations_of(self, dataset: str, plans: str) -> list[str]:
        """Returns the configurations to preprocess for the experiments and searches with these plans, sorted."""
        wanted = self.trained_on(dataset)
        return sorted({one.configuration for one in wanted if one.plans == plans})

    def plans_of(self, dataset: str) -> list[str]:
        """Returns the plans of a dataset's experiments and searches, sorted."""
        return sorted({one.plans for one in self.trained_on(dataset)})

    def trained_on(self, dataset: str) -> tuple[ExperimentConfig | SearchedConfig, ...]:
        """Returns what says with which plans, configuration and trainer a dataset is trained on."""
        return (*self.experiments_of(dataset), *(search.of for search in self.searches_of(dataset)))


def read_project(project: Path) -> Project:
    """Reads and checks everything that a project folder declares; a project without declarations is legal.

    Raises:
        ConfigError: The folder is no project, or declarations are wrong: all of them, one a line, with file and line.
    """
    root = project.resolve()
    folder = root / EXPERIMENTS_FOLDER
    if not is_project(root):
        raise ConfigError(
            f"{root} is not a project: it has no folder '{EXPERIMENTS_FOLDER}'. Name the project's folder, or make a "
            "project with `nnunet-assets init`."
        )
    reader = _Reader(root)
    reader.read_folder(folder, ())
    planned = PlannedConfigurations(root)
    invalid = frozenset(reader.invalid_datasets)
    knows_all = reader.knows_every_dataset
    reader.problems.extend(contradictions(reader.datasets, reader.experiments, invalid, planned, knows_all=knows_all))
    is_whole = knows_all and not reader.problems
    ensembles = read_ensembles(reader.ensembles, reader.experiments, reader.datasets, knows_all=is_whole)
    reader.problems.extend(ensembles.problems)
    engine, engine_problems = read_engine(root)
    reader.problems.extend(engine_problems)
    if not engine_problems:
        reader.problems.extend(engine_contradictions(reader.experiments, engine))
    reader.problems.extend(
        search_problems(reader.searches, reader.experiments, reader.datasets, planned, engine, knows_all=is_whole)
    )
    if reader.problems:
        raise ConfigError(_in_words(folder, reader.problems))
    return Project(
        root=root,
        datasets=tuple(declared.config for declared in reader.datasets),
        experiments=tuple(declared.config for declared in reader.experiments),
        has_definitions=reader.has_definitions,
        is_plain=reader.is_plain,
        stages={
            config.identity: stage
            for config in (declared.config for declared in reader.experiments)
            if (stage := config.identity.previous_stage(planned.of(config.dataset, config.plans)))
        },
        declared={
            **{declared.config.dataset: declared for declared in reader.datasets},
            **{declared.config.identity: declared for declared in reader.experiments},
            **{declared.config.identity: declared for declared in reader.ensembles},
            **{declared.config.title: declared for declared in reader.searches},
        },
        ensembles=tuple(declared.config for declared in reader.ensembles),
        members=ensembles.members,
        engine=engine,
        searches=tuple(declared.config for declared in reader.searches),
    )


def declared_if_any(project: Path) -> Project:
    """Returns what a folder declares; nothing for one that is no project, which whoever names folders need not have.

    Raises:
        ConfigError: As `read_project`.
    """
    if is_project(project):
        return read_project(project)
    return Project(project, (), (), has_definitions=False)


class _Reader:
    """Reads a project's files in Dagster's order and collects declarations and problems."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.problems: list[FileProblem] = []
        self.datasets: list[Declared[DatasetConfig]] = []
        self.experiments: list[Declared[ExperimentConfig]] = []
        self.ensembles: list[Declared[EnsembleConfig]] = []
        self.searches: list[Declared[SearchConfig]] = []
        self.invalid_datasets: set[str] = set()
        self.knows_every_dataset = True
        self.has_definitions = False
        self.is_plain = True

    def read_folder(self, folder: Path, above: tuple[Path, ...]) -> None:
        """Reads a folder as Dagster does: its definitions file if it has one, else the folders in it.

        Args:
            folder: The folder, perhaps a symbolic link.
            above: The real paths of the folders around it.
        """
        here = folder.resolve()
        if here in above:
            self._report(folder, "is a symbolic link to a folder above it, which Dagster would follow without end.")
            return
        try:
            entries = sorted(entry for entry in folder.iterdir() if not _is_ignored(entry.name))
        except OSError as error:
            self._report(folder, f"the folder cannot be read: {error.strerror}.")
            return
        definitions = next((folder / name for name in DEFINITION_FILES if (folder / name).exists()), None)
        has_python = any(entry.suffix == ".py" for entry in entries)
        self.has_definitions |= bool(definitions) or has_python
        self.is_plain &= not has_python
        types = self._read_file(definitions) if definitions else set()
        reads_beneath = definitions is None or any(name.endswith(_FOLDER_COMPONENT) for name in types)
        # Beside a component of the user's own, other YAML files are that component's material.
        is_ours = types <= set(MODELS)
        for entry in entries:
            if entry.is_dir() and reads_beneath:
                self.read_folder(entry, (*above, here))
            elif entry != definitions and (is_ours or reads_beneath):
                self._report_unread(entry, definitions)

    def _report_unread(self, entry: Path, definitions: Path | None) -> None:
        """Reports the YAML files that Dagster passes over without a word."""
        if entry.is_dir():
            for file in sorted(entry.rglob("*")):
                if _is_yaml(file) and not any(map(_is_ignored, file.relative_to(entry).parts)):
                    self._report(
                        file,
                        f"Dagster reads {self._name(definitions or entry)} and nothing in the folders beneath it. Move "
                        "this file's folder beside that one.",
                    )
        elif _is_yaml(entry) and definitions:
            self._report(
                entry,
                f"Dagster reads only {definitions.name} in this folder. Add the documents of this file to it, each "
                "after a line `---`, or give it a folder of its own.",
            )
        elif _is_yaml(entry):
            target = self._name(entry.with_suffix("") / DEFINITION_FILES[0])
            self._report(entry, f"Dagster reads only files named {DEFINITION_FILES[0]}. Move this one to {target}.")

    def _read_file(self, path: Path) -> set[str]:
        """Reads a definitions file and returns the component types in it."""
        documents, problems = read_documents(path)
        if not documents and not problems:
            self._report(path, "the file declares nothing, which Dagster refuses. Declare something, or delete it.")
        file = self._name(path)
        self.knows_every_dataset &= not problems  # what comes after it was not read
        for document in documents:
            problems.extend(document_problems(document))
            problems.extend(self._declare(file, document))
        self.problems.extend(FileProblem(file, problem) for problem in problems)
        return {kind for document in documents if (kind := component_type(document))}

    def _declare(self, file: str, document: Document) -> list[Problem]:
        """Collects what a document declares, and returns what is wrong with its attributes.

        A value that YAML read as another (010 as 8) would raise more errors in its wake, so such a document counts as
        invalid too.
        """
        kind = component_type(document)
        self.is_plain &= kind in MODELS and {"type", "attributes"}.issuperset(document.value)
        if kind not in MODELS:
            is_stranger = kind and not kind.startswith(NAMESPACE)
            self.knows_every_dataset &= bool(is_stranger)
            return []
        self.knows_every_dataset &= not is_run_together(document)
        if kind == EXPERIMENT_TYPE:
            experiment, problems = read_attributes(document, ExperimentConfig)
            if experiment and not document.problems:
                self.experiments.append(Declared(experiment, file, document))
            return problems
        if kind == ENSEMBLE_TYPE:
            ensemble, problems = read_attributes(document, EnsembleConfig)
            if ensemble and not document.problems:
                self.ensembles.append(Declared(ensemble, file, document))
            return problems
        if kind == SEARCH_TYPE:
            search, problems = read_attributes(document, SearchConfig)
            if search and not document.problems:
                self.searches.append(Declared(search, file, document))
            return problems
        dataset, problems = read_attributes(document, DatasetConfig)
        if dataset:
            dataset, problems = with_known_folds(dataset, self.root, document)
        if dataset and not document.problems:
            self.datasets.append(Declared(dataset, file, document))
        elif name := document.texts.get(("attributes", "dataset")):
            self.invalid_datasets.add(name)
            self.knows_every_dataset &= re.fullmatch(DATASET_PATTERN, name) is not None
        else:
            self.knows_every_dataset = False
        return problems

    def _report(self, path: Path, sentence: str) -> None:
        self.problems.append(FileProblem(self._name(path), Problem(1, (), sentence)))

    def _name(self, path: Path) -> str:
        return path.relative_to(self.root).as_posix()


def _is_ignored(name: str) -> bool:
    return name.startswith(".") or name == "__pycache__"


def _is_yaml(path: Path) -> bool:
    return path.suffix.lower() in (".yaml", ".yml") and not path.is_dir()


def _in_words(folder: Path, problems: Iterable[FileProblem]) -> str:
    """Returns all problems, one a line, in the order of files and lines, headed by their number."""
    lines = [str(found) for found in sorted(problems, key=lambda found: (found.file, found.problem.line))]
    count = "1 error" if len(lines) == 1 else f"{len(lines)} errors"
    return "\n".join([f"{count} in the declarations of {folder}:", *lines])
