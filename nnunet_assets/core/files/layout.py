"""Where things lie on disk and what they are called: nnU-Net's own folders, and ours inside them.

One token names a thing everywhere: the fold `fold_3` is a folder, a Dagster partition key and an MLflow tag value.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from nnunet_assets.errors import ConfigError

DATASET_PATTERN = r"^Dataset[0-9]{3}_[A-Za-z0-9._-]{1,64}$"
NAME_PATTERN = r"^[A-Za-z][A-Za-z0-9._-]{0,63}$"
MAX_NAME_LENGTH = 64
"""By that pattern."""
CONFIGURATION_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$"
CONFIGURATIONS = ("2d", "3d_fullres", "3d_lowres", "3d_cascade_fullres")
"""Those that nnU-Net's planner makes; a plans file may have others."""
PREVIOUS_STAGES = {"3d_cascade_fullres": "3d_lowres"}
"""Configuration to the one whose predictions it reads, where no plans say otherwise."""
DEFAULT_TRAINER = "nnUNetTrainer"
DEFAULT_PLANS = "nnUNetPlans"

TRAINING_POOL = "nnunet_training"
"""Dagster's pool of what computes on this machine: its limit is how many folds train at once, normally one for each
device."""

JOBS_POOL = "nnunet_jobs"
"""Dagster's pool of folds whose process runs in a cluster's jobs: its limit is the user's, in engine.yaml."""

OWN_FOLDER = ".nnunet_assets"
"""Inside a fold and inside a preprocessed dataset: what this package writes there, hidden from nnU-Net's listings."""

STOP_FILE = f"{OWN_FOLDER}/STOP"
"""In a fold's folder; whoever makes it asks the training to end after its epoch, and to be validated."""

MLFLOW_RUN_FILE = "mlflow_run.json"
"""In a fold's hidden folder: which MLflow run is the fold's, and what it has. Written by `tracking.fold.fold_run`."""

REQUEST_FILE = "request.json"
"""In a fold's hidden folder, and wherever else a process of its own is asked for something: what it was asked."""

SUMMARY_FOLDER, CV_SUMMARY_FILE = "nnunet_assets", "cv_summary.json"
"""Inside a model's folder (`TRAINER__PLANS__CONFIGURATION`): summary, tables, superseded folds. Inside the folder of a
dataset's results: the comparison of its experiments."""


EXPERIMENTS_FOLDER = "experiments"
"""What a project declares lies in this folder of it."""

ENSEMBLES = "ensembles"
"""Beside the models of a dataset: what predicts with several of them. nnU-Net's own choice of a configuration writes
its ensembles there too, under names that no ensemble of ours has."""

FULL_FOLD = "fold_all"
"""nnU-Net's folder of a model trained on every case; it is validated on cases that it was trained on."""


def fold_key(index: int | Literal["all"]) -> str:
    """Returns nnU-Net's folder name of a fold, which is its partition key too: `fold_3`, `fold_all`."""
    return f"fold_{index}"


def fold_index(key: str) -> int | Literal["all"]:
    """Returns what nnU-Net calls the fold: the number in `fold_3`, or `all`.

    Raises:
        ConfigError: The key is neither `fold_all` nor of the form `fold_N` with N >= 0.
    """
    if key == FULL_FOLD:
        return "all"
    if not re.fullmatch(r"fold_(0|[1-9][0-9]*)", key):
        raise ConfigError(f"{key!r} is not a fold. Folds are named fold_0, fold_1, ... as nnU-Net names their folders.")
    return int(key.removeprefix("fold_"))


@dataclass(frozen=True)
class Roots:
    """The three folders that nnU-Net takes from `nnUNet_raw`, `nnUNet_preprocessed` and `nnUNet_results`."""

    raw: Path
    preprocessed: Path
    results: Path

    def for_variant(self, variant: str | None) -> "Roots":
        """Returns the roots of a variant: its results lie apart, so that plain nnU-Net tools read them unchanged.

        None stands for the experiment with the trainer's own settings.
        """
        return self if variant is None else replace(self, results=self.results / "variants" / variant)

    def environment(self) -> dict[str, str]:
        """Returns the variables that nnU-Net reads when it is imported."""
        return {
            "nnUNet_raw": str(self.raw),
            "nnUNet_preprocessed": str(self.preprocessed),
            "nnUNet_results": str(self.results),
        }


@dataclass(frozen=True)
class Experiment:
    """The identity of one cross-validation: dataset, plans, configuration, trainer and, where it has one, variant.

    An ensemble of several is one too, whose folds are scored and not trained: its configuration is its name, and its
    trainer and plans are `ensembles`.
    """

    dataset: str
    configuration: str
    trainer: str = DEFAULT_TRAINER
    plans: str = DEFAULT_PLANS
    variant: str | None = None

    def __post_init__(self) -> None:
        """Refuses what is no text with a TypeError: a record that was damaged, whose names would become folders."""
        for name, value in vars(self).items():
            if not isinstance(value, str) and (name, value) != ("variant", None):
                raise TypeError(f"{name} of an experiment is {value!r:.40}, and no text")

    @classmethod
    def ensemble(cls, dataset: str, name: str) -> "Experiment":
        """Returns the identity of an ensemble of a dataset's experiments."""
        return cls(dataset, configuration=name, trainer=ENSEMBLES, plans=ENSEMBLES)

    @property
    def is_ensemble(self) -> bool:
        """Whether it predicts with the mean of other experiments' probabilities."""
        return self.trainer == self.plans == ENSEMBLES

    @property
    def name(self) -> str:
        """nnU-Net's folder name, `TRAINER__PLANS__CONFIGURATION`; of an ensemble `ensembles/NAME`."""
        if self.is_ensemble:
            return f"{ENSEMBLES}/{self.configuration}"
        return f"{self.trainer}__{self.plans}__{self.configuration}"

    @property
    def key_prefix(self) -> tuple[str, ...]:
        """The asset key's components before the asset's own name."""
        return (self.dataset, *([self.variant] if self.variant else []), *self.name.split("/"))

    @classmethod
    def of_key_prefix(cls, prefix: Sequence[str]) -> "Experiment":
        """Returns the experiment, or the ensemble, with this `key_prefix`.

        Raises:
            ConfigError: There can be none.
        """
        dataset, *variant, name = prefix if len(prefix) in (2, 3) else ("", "")
        parts = name.split("__")
        if len(parts) == 3:
            return cls(dataset, parts[2], parts[0], parts[1], *variant)
        if variant == [ENSEMBLES] and len(parts) == 1:
            return cls.ensemble(dataset, name)
        raise ConfigError(
            f"No experiment has assets below {'/'.join(prefix)}: their keys begin with DATASET/TRAINER__PLANS__"
            f"CONFIGURATION, a variant after the dataset, or with DATASET/{ENSEMBLES}/NAME."
        )

    @property
    def title(self) -> str:
        """The experiment in one line for people: `Dataset004_Hippocampus / short / nnUNetTrainer__nnUNetPlans__2d`."""
        return " / ".join(self.key_prefix)

    @property
    def name_in_dataset(self) -> str:
        """The experiment where its dataset is known: `short/nnUNetTrainer__nnUNetPlans__2d`."""
        return "/".join(self.key_prefix[1:])

    def previous_stage(self, planned: Mapping[str, Mapping[str, Any]] | None = None) -> "Experiment | None":
        """Returns the experiment whose predictions this one reads, of the same trainer, plans and variant, if any.

        nnU-Net looks for them beside the model's own folder, so it must share the variant's results.

        Args:
            planned: What the plans have, by configuration, with what each inherits; None, or without this one: all that
                is known is nnU-Net's own cascade.
        """
        plan = (planned or {}).get(self.configuration)
        stage = PREVIOUS_STAGES.get(self.configuration) if plan is None else plan.get("previous_stage")
        return replace(self, configuration=stage) if stage else None

    def model_folder(self, roots: Roots) -> Path:
        """Returns nnU-Net's model folder, which holds `fold_0` ... and our `nnunet_assets`."""
        return roots.for_variant(self.variant).results / self.dataset / self.name

    def fold_folder(self, roots: Roots, fold: str) -> Path:
        """Returns the folder of one fold, e.g. `fold_3`."""
        return self.model_folder(roots) / fold

    def place_of(self, roots: Roots, fold: str) -> "FoldPlace":
        """Returns where one fold lies in the project's results, or would lie."""
        return FoldPlace(self, fold, self.fold_folder(roots, fold))

    def summary_folder(self, roots: Roots) -> Path:
        """Returns the folder of the summary, its tables and superseded folds."""
        return self.model_folder(roots) / SUMMARY_FOLDER


@dataclass(frozen=True)
class FoldPlace:
    """Where a fold lies, and what it is a fold of; derived once and passed on.

    Attributes:
        experiment: The cross-validation.
        fold: `fold_0` ...
        folder: nnU-Net's `fold_k`: in the project's results (`Experiment.place_of`), or wherever it was adopted.
    """

    experiment: Experiment
    fold: str
    folder: Path

    @property
    def own(self) -> Path:
        """The hidden folder of what this package writes."""
        return self.folder / OWN_FOLDER

    @property
    def model_folder(self) -> Path:
        """nnU-Net's folder of the model, which holds all folds."""
        return self.folder.parent

    @property
    def lock(self) -> Path:
        """The file whose kernel lock the process holds that trains the fold."""
        return lock_of(self.folder)

    @property
    def job_lock(self) -> Path:
        """The file whose kernel lock a cluster's job holds that trains the fold, on the machine where it runs."""
        return job_lock_of(self.folder)

    @property
    def title(self) -> str:
        """The fold in one line for people: `Dataset004_Hippocampus / nnUNetTrainer__nnUNetPlans__2d, fold_3`."""
        return f"{self.experiment.title}, {self.fold}"


def lock_of(fold_folder: Path) -> Path:
    """Returns what `FoldPlace.lock` is, of a fold whose experiment need not be known."""
    return fold_folder.parent / SUMMARY_FOLDER / f"{fold_folder.name}.lock"


def job_lock_of(fold_folder: Path) -> Path:
    """Returns what `FoldPlace.job_lock` is, of a fold whose experiment need not be known."""
    return fold_folder.parent / SUMMARY_FOLDER / f"{fold_folder.name}.job.lock"


def comparison_folder(roots: Roots, dataset: str) -> Path:
    """Returns the folder of the comparison of a dataset's experiments, beside the models without a variant."""
    return roots.results / dataset / SUMMARY_FOLDER


def dataset_key(dataset: str, name: str) -> tuple[str, ...]:
    """Returns the asset key of what belongs to a dataset."""
    return (dataset, name)


def plans_key(dataset: str, plans: str) -> tuple[str, ...]:
    """Returns the asset key of a dataset's plans; plans other than nnU-Net's default are one more component."""
    return (dataset, *([plans] if plans != DEFAULT_PLANS else []), "preprocessed_plans")
