"""A declared experiment that somebody names, in as many of its words as tell it from the others."""

from collections.abc import Iterable, Sequence

from nnunet_assets.core.files.layout import FULL_FOLD
from nnunet_assets.declarations.config import ExperimentConfig
from nnunet_assets.declarations.experiment_words import named_experiments, parts_of, words_of
from nnunet_assets.declarations.named_fold import fold_named
from nnunet_assets.declarations.project import Project
from nnunet_assets.errors import ConfigError, did_you_mean, first_offenders


def experiment_named(words: Iterable[str], project: Project) -> ExperimentConfig:
    """Returns the declared experiment that some words name: dataset, variant, trainer, plans, configuration.

    Its title and its folder's name are such words, with or without `/` between them; a dataset may be named by its
    number. Where no variant is named, and the words leave one without a variant beside some with one, it is that.

    Raises:
        ConfigError: None has all of the words, or several have.
    """
    parts = parts_of(words)
    declared = {one.identity: one for one in project.experiments}
    found = named_experiments(parts, declared)
    if len(found) == 1:
        return declared[found[0]]
    titles = [one.title for one in found or declared]
    if not titles:
        raise ConfigError(f"{project.root} declares no experiment.")
    shown = "".join(f"\n  {title}" for title in titles)
    if found:
        said = f"{' '.join(parts)!r} is said" if parts else "None is named"
        raise ConfigError(f"{said} where {len(found)} experiments may be meant. Name one of them:{shown}")
    known = {word for one in declared for word in words_of(one)}
    unknown = [part for part in parts if part not in known]
    near = did_you_mean(unknown[0], known) if unknown else ""
    raise ConfigError(f"{project.root} declares no experiment {' '.join(parts)!r}.{near} There are:{shown}")


def folds_named(text: str | None, config: ExperimentConfig, project: Project) -> Sequence[str]:
    """Returns the folds of a list such as `0,1`, all declared ones of None.

    Raises:
        ConfigError: It is no list of folds, or the experiment does not declare one of them.
    """
    declared = [fold for fold in project.folds_of(config) if fold != FULL_FOLD]
    if text is None:
        return declared
    named = sorted({fold_named(part.strip().removeprefix("fold_")) for part in text.split(",")})
    if unknown := [fold for fold in named if fold not in declared]:
        raise ConfigError(
            f"{config.identity.title} has no {first_offenders(unknown)}. It declares {first_offenders(declared)}."
        )
    return [fold for fold in declared if fold in named]
