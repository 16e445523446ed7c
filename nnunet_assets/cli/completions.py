"""What a shell offers when somebody presses Tab: the datasets, experiments, folds and variants that there are.

Read from the declarations and from the names of folders, without a heavy import: a person waits for each.
"""

from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from nnunet_assets.errors import NnunetAssetsError

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

    from nnunet_assets.declarations.config import ExperimentConfig
    from nnunet_assets.declarations.project import Project
    from nnunet_assets.settings import Settings

Completer = Callable[[click.Context, click.Parameter, str], "list[CompletionItem[str]]"]


@dataclass(frozen=True)
class Known:
    """What is known where somebody types.

    Attributes:
        settings: Where the project keeps its things.
        project: What it declares; nothing where it has an error.
        dataset: That was typed already; None: none, or none that there is.
        configuration: That was typed already.
    """

    settings: "Settings"
    project: "Project"
    dataset: str | None
    configuration: str | None

    @property
    def experiments(self) -> "list[ExperimentConfig]":
        """The declared experiments that what is typed may mean."""
        return [
            one
            for one in self.project.experiments
            if self.dataset in (None, one.dataset) and self.configuration in (None, one.configuration)
        ]


def _completer(find: Callable[[Known], Iterable[str]]) -> Completer:
    def complete(context: click.Context, parameter: click.Parameter, incomplete: str) -> "list[CompletionItem[str]]":
        from click.shell_completion import CompletionItem

        # A mistake in a file, or a folder that cannot be read, is told by the command itself.
        with suppress(NnunetAssetsError, OSError):
            words = dict.fromkeys(find(_known(context)))
            return [CompletionItem(word) for word in words if _fits(word, incomplete)]
        return []

    return complete


def _fits(word: str, incomplete: str) -> bool:
    # nnU-Net knows a dataset by its number, too.
    return word.startswith(incomplete) or (
        incomplete.isdecimal() and word.startswith((f"Dataset{incomplete}", f"Dataset{int(incomplete):03}_"))
    )


def _known(context: click.Context) -> Known:
    from nnunet_assets.declarations.named_fold import dataset_named
    from nnunet_assets.declarations.project import Project, declared_if_any
    from nnunet_assets.settings import project_settings

    settings = project_settings(context.params.get("project") or Path.cwd())
    try:
        project = declared_if_any(settings.project)
    except NnunetAssetsError:
        project = Project(settings.project, (), (), has_definitions=False)
    # Behind an option whose value is still to come, click leaves all arguments where they are.
    typed = dict(zip(("dataset", "configuration"), context.args, strict=False))
    typed |= {name: value for name, value in context.params.items() if value}
    dataset = None
    with suppress(NnunetAssetsError):
        if typed.get("dataset"):
            dataset = dataset_named(typed["dataset"], project, settings.roots)
    return Known(settings, project, dataset, typed.get("configuration"))


def _datasets(known: Known) -> list[str]:
    from nnunet_assets.declarations.named_fold import datasets_there

    return sorted(datasets_there(known.project, known.settings.roots))


def _configurations(known: Known) -> list[str]:
    from nnunet_assets.core.files.layout import CONFIGURATIONS

    return [*(one.configuration for one in known.experiments), *CONFIGURATIONS]


def _folds(known: Known) -> list[str]:
    from nnunet_assets.core.splits.splits_files import readable_splits
    from nnunet_assets.declarations.config import DatasetConfig

    declared = next((one for one in known.project.datasets if one.dataset == known.dataset), None)
    n_folds = (declared or DatasetConfig(dataset=known.dataset or "Dataset001_None")).folds
    if known.dataset and (splits := readable_splits(known.settings.roots.preprocessed / known.dataset)):
        n_folds = len(splits)
    return [*map(str, range(n_folds)), "all"]


def _variants(known: Known) -> list[str]:
    return [one.variant.name for one in known.experiments if one.variant]


def _trainers(known: Known) -> list[str]:
    from nnunet_assets.core.files.layout import DEFAULT_TRAINER

    return [*(one.trainer for one in known.experiments), DEFAULT_TRAINER]


def _plans(known: Known) -> list[str]:
    from nnunet_assets.core.dataset.configurations import PLANNERS

    return [*(one.plans for one in known.experiments), *PLANNERS]


def _experiments(known: Known) -> list[str]:
    return ["/".join(one.identity.key_prefix) for one in known.project.experiments]


def _searches(known: Known) -> list[str]:
    return [name for one in known.project.searches for name in (one.name, f"{one.of.dataset}/{one.name}")]


datasets = _completer(_datasets)
configurations = _completer(_configurations)
folds = _completer(_folds)
variants = _completer(_variants)
trainers = _completer(_trainers)
plans = _completer(_plans)
experiments = _completer(_experiments)
searches = _completer(_searches)
