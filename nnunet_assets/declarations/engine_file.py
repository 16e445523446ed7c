"""`engine.yaml` of a project's folder: where its folds train, if not on the machine that supervises them."""

from collections.abc import Iterable, Iterator
from pathlib import Path

from nnunet_assets.declarations.config import ExperimentConfig
from nnunet_assets.declarations.sections.engine_config import EngineConfig, ProjectEngine
from nnunet_assets.declarations.yaml_files.documents import Declared, FileProblem
from nnunet_assets.declarations.yaml_files.sentences import validation_problems
from nnunet_assets.declarations.yaml_files.yaml_source import Problem, read_documents
from nnunet_assets.errors import ConfigError

ENGINE_FILE = "engine.yaml"


def read_engine(project: Path) -> tuple[ProjectEngine, list[FileProblem]]:
    """Returns what a project declares of its engine, and what is wrong with it; no file declares nothing.

    Args:
        project: The project's folder.
    """
    from pydantic import ValidationError

    file = project / ENGINE_FILE
    if not file.exists():
        return ProjectEngine(), []
    documents, problems = read_documents(file)
    if len(documents) > 1:
        sentence = "one document is all that this file may have: remove the line `---` and what follows."
        problems.append(Problem(documents[1].line, (), sentence))
    config = ProjectEngine()
    for document in documents[:1]:
        problems.extend(document.problems)
        if document.value is None:
            continue
        if not isinstance(document.value, dict):
            sentence = "must be fields, one `name: value` a line, such as `kind: slurm`."
            problems.append(Problem(document.line, (), sentence))
            continue
        known = {problem.location for problem in document.problems}
        try:
            config = ProjectEngine.model_validate(document.value)
        except ValidationError as error:
            found = validation_problems(error, ProjectEngine, document, ())
            problems.extend(problem for problem in found if problem.location not in known)
    return config, [FileProblem(ENGINE_FILE, problem) for problem in problems]


def engine_of(experiment: ExperimentConfig, project: EngineConfig) -> EngineConfig:
    """Returns where an experiment's folds train: what it declares itself, and the project's for the rest."""
    return experiment.engine.over(project) if experiment.engine else project


def engine_contradictions(
    experiments: Iterable[Declared[ExperimentConfig]], engine: EngineConfig
) -> Iterator[FileProblem]:
    """Yields the experiments that cannot train as they and the project together declare it.

    Args:
        experiments: The valid ones.
        engine: The project's.
    """
    for declared in experiments:
        config = declared.config
        own = engine_of(config, engine)
        if problem := own.problem_with(device=config.device, num_gpus=config.num_gpus, is_whole=True):
            field = "num_gpus" if "(num_gpus)" in problem else "engine"
            yield declared.problem(("attributes", field), f"by {ENGINE_FILE} {problem}.")


def declared_engine(project: Path, experiment: ExperimentConfig) -> EngineConfig:
    """Returns where an experiment's folds train, with the project's file read anew.

    Args:
        project: The project's folder.
        experiment: The experiment.

    Raises:
        ConfigError: The project's file is wrong, or the two together contradict the experiment.
    """
    base, problems = read_engine(project)
    if problems:
        raise ConfigError("\n".join([f"{project / ENGINE_FILE} is wrong:", *map(str, problems)]))
    config = engine_of(experiment, base)
    if problem := config.problem_with(device=experiment.device, num_gpus=experiment.num_gpus, is_whole=True):
        raise ConfigError(f"{experiment.identity.title}: {problem}, in {project / ENGINE_FILE} or `engine`.")
    return config
