"""Whether what the declarations name is there, before an hour of planning ends without it."""

from collections.abc import Iterator

from nnunet_assets.cli.diagnosis.findings import Finding
from nnunet_assets.declarations.absent import absent_choices, absent_data
from nnunet_assets.declarations.project import Project
from nnunet_assets.declarations.sections.variant_config import VariantConfig
from nnunet_assets.declarations.yaml_files.documents import FileProblem
from nnunet_assets.errors import did_you_mean
from nnunet_assets.nnunet.trainer.trainer_names import trainer_names
from nnunet_assets.nnunet.trainer.trainer_sources import FoundTrainers, found_trainers
from nnunet_assets.settings import Settings


def absent_findings(project: Project, settings: Settings) -> Iterator[Finding]:
    """Yields an error for each thing, with the file and line that name it."""
    for problem in (*absent_data(project, settings.roots), *wrong_choices(project, settings)):
        yield Finding("error", "declarations", str(problem))


def wrong_choices(project: Project, settings: Settings) -> list[FileProblem]:
    """Returns the trainers, plans and weights that are not there or do not fit, which no data that comes changes."""
    if not (project.experiments or project.searches):
        return []
    environment = settings.child_environment()
    sources = found_trainers(environment)
    found = sources.trainers
    unbuildable = [
        project.problem(experiment.identity, ("attributes", "trainer"), problem)
        for experiment in project.experiments
        if (source := found.get(experiment.trainer)) and (problem := source.problem)
    ]
    absent = absent_choices(project, settings.roots, trainer_names(environment))
    return [*absent, *unbuildable, *_settings_of_none(project, sources)]


def _settings_of_none(project: Project, sources: FoundTrainers) -> Iterator[FileProblem]:
    """Yields what searches vary and no source of their trainer ever sets."""
    for search in project.searches:
        for name in search.space:
            if not (name in VariantConfig.model_fields or sources.mentions(search.of.trainer, name)):
                known = sources.settings(search.of.trainer)
                sentence = f"{search.of.trainer} has no such setting.{did_you_mean(name, known)}"
                yield project.problem(search.title, ("attributes", "space", name), sentence)
