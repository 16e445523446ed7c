"""Saved predictions against their references: of an experiment, of the folder of a model, or of two plain folders.

What is measured as declared lies in the model's `nnunet_assets/evaluation/` (see `nnunet.evaluation.evaluation`); what
is measured otherwise, or against other references, in a folder of its own in there.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nnunet_assets.core.dataset.dataset_json import DATASET_JSON, parse_dataset_json
from nnunet_assets.core.evaluation.evaluation import Evaluation
from nnunet_assets.core.evaluation.evaluation_files import CSV_FILE, PARQUET_FILE, evaluation_folder, read_evaluation
from nnunet_assets.core.evaluation.metric_policy import MetricPolicy, metric_policy
from nnunet_assets.core.files.digests import file_sha256, json_sha256
from nnunet_assets.core.files.layout import Experiment, Roots, fold_key
from nnunet_assets.core.progress import Progress
from nnunet_assets.declarations.config import DatasetConfig
from nnunet_assets.declarations.project import read_project
from nnunet_assets.errors import ConfigError, EvaluationError
from nnunet_assets.reports.tables.case_table import write_case_table
from nnunet_assets.reports.tables.evaluation_tables import write_label_tables
from nnunet_assets.settings import Settings, is_project

if TYPE_CHECKING:
    from nnunet_assets.nnunet.evaluation.predicted_cases import PredictedCases


@dataclass(frozen=True)
class Target:
    """What to evaluate, where its files go, and what the project declares for it.

    Attributes:
        found: The cases.
        folder: Of the declared evaluation.
        tolerances_mm: Declared; empty where nothing is.
        lesion_labels: Likewise.
        others: What the declared evaluation does not have: other references, folds that are not adopted.
    """

    found: "PredictedCases"
    folder: Path
    tolerances_mm: Mapping[str, float] = field(default_factory=dict)
    lesion_labels: Sequence[str] = ()
    others: Sequence[str] = ()

    @property
    def declared(self) -> MetricPolicy:
        """What is measured where nobody asks for more."""
        return metric_policy(self.found.description, self.tolerances_mm, self.lesion_labels)


@dataclass(frozen=True)
class Evaluated:
    """An evaluation that was brought up to date.

    Attributes:
        evaluation: What it says.
        content: The same, as JSON values.
        folder: Where its files lie.
    """

    evaluation: Evaluation
    content: Mapping[str, Any]
    folder: Path

    @property
    def table_parquet(self) -> Path:
        """A row a case and label."""
        return self.folder / PARQUET_FILE

    @property
    def table_csv(self) -> Path:
        """The same as CSV."""
        return self.folder / CSV_FILE

    def digest(self) -> str:
        """Returns what names its content; the table is read for it."""
        return json_sha256([self.content, file_sha256(self.table_csv)])


def target_named(
    settings: Settings, name: str | Path, *, references: Path | None = None, dataset_json: Path | None = None
) -> Target:
    """Returns what a user means: a declared experiment, the folder of a model, or one of predictions.

    Args:
        settings: Of the project.
        name: Of an experiment (DATASET/TRAINER__PLANS__CONFIGURATION, a variant after the dataset), or a folder. As a
            path it is one of predictions.
        references: Folder of references; None: those that nnU-Net validated with, which a folder of predictions lacks.
        dataset_json: Of predictions; None: the one beside them, beside the references, or above these.

    Raises:
        NnunetAssetsError: There is nothing of that name, or nothing to evaluate in it.
    """
    folder = Path(name)
    if isinstance(name, str):
        if _is_model(folder):
            return _of_model(settings, folder, references)
        if not folder.is_dir():
            return _of_experiment(settings, name, references)
    if references is None:
        raise EvaluationError(
            f"{folder} is not the folder of a model, which has {DATASET_JSON} and fold_0, ...; and a folder of "
            "predictions needs --references, the folder of what is right."
        )
    return _of_folders(settings, folder, references, dataset_json)


def target_of_folds(
    settings: Settings,
    model: Path,
    folds: Sequence[str],
    subject: str,
    *,
    references: Path | None = None,
    dataset: DatasetConfig | None = None,
    of_plain_nnunet: bool = False,
) -> Target:
    """Returns the validation cases of the finished folds of a model.

    Args:
        settings: Of the project.
        model: nnU-Net's folder of the model.
        folds: Those to look at.
        subject: What the model is called.
        references: To compare with; None: those that nnU-Net validated with.
        dataset: What is declared to be measured; None: nothing.
        of_plain_nnunet: Also take the folds that nnU-Net trained without this package.

    Raises:
        DatasetError: The model's dataset.json cannot be used.
        EvaluationError: No fold is finished.
    """
    # numpy, which whoever loads the definitions, and wrong usage, need not wait for.
    from nnunet_assets.nnunet.evaluation.predicted_cases import cases_of_folds, references_folder
    from nnunet_assets.nnunet.results.results_folder import experiment_of, is_foreign

    experiment = experiment_of(model)
    validated_with = references_folder(settings.roots, experiment.dataset if experiment else model.parent.name)
    other = references if references and references.resolve() != validated_with.resolve() else None
    found = cases_of_folds(
        model,
        validated_with,
        folds,
        subject,
        other_references=other,
        of_plain_nnunet=of_plain_nnunet,
        trusted=settings.trusted_code,
    )
    others = [fold for fold in found.folds if is_foreign(model / fold)] + ([str(other.resolve())] if other else [])
    tolerances_mm, lesions = (dataset.nsd_tolerance_mm, dataset.lesion_labels) if dataset else ({}, ())
    return Target(found, evaluation_folder(model), tolerances_mm, lesions, others)


def evaluate_as_declared(settings: Settings, target: Target, progress: Progress) -> Evaluated:
    """Brings the declared evaluation up to date; what was computed before is not computed again.

    Raises:
        EvaluationError: Another process evaluates into the folder, or it cannot be written.
    """
    return _evaluate(settings, target, target.declared, target.folder, progress)


def evaluate(
    settings: Settings,
    target: Target,
    progress: Progress,
    *,
    tolerances_mm: Mapping[str, float],
    lesion_labels: Sequence[str],
    output: Path | None = None,
) -> Evaluated:
    """Brings an evaluation up to date that may differ from what is declared.

    Args:
        settings: Of the project.
        target: What to evaluate.
        progress: Told how far it is.
        tolerances_mm: By label, over what is declared.
        lesion_labels: Beside those that are declared.
        output: Folder for the files; None: that of the declared evaluation, or one in it where something differs.

    Raises:
        EvaluationError: No case could be evaluated, another process evaluates into the folder, or it cannot be written.
    """
    policy = metric_policy(
        target.found.description,
        {**target.tolerances_mm, **tolerances_mm},
        (*target.lesion_labels, *lesion_labels),
    )
    folder = output or target.folder
    if not output and (policy != target.declared or target.others):
        # Reports and figures show the declared evaluation, and would show this one in its place. The name is the same
        # in every version of the metrics: what an older one left there is brought up to date.
        folder /= json_sha256([policy.digest_of_version(1), *target.others])[:16]
    evaluated = _evaluate(settings, target, policy, folder, progress)
    evaluated.evaluation.refuse_empty()
    return evaluated


def declared_evaluation(roots: Roots, experiment: Experiment, dataset: DatasetConfig) -> dict[str, Any]:
    """Returns what the evaluation of an experiment says, where it measured what is declared now.

    Raises:
        DatasetError: The model's dataset.json cannot be used.
        EvaluationError: It is missing, damaged, or measured otherwise.
    """
    model = experiment.model_folder(roots)
    description = parse_dataset_json(model / DATASET_JSON)
    policy = metric_policy(description, dataset.nsd_tolerance_mm, dataset.lesion_labels)
    return read_evaluation(evaluation_folder(model), policy)


def _evaluate(settings: Settings, target: Target, policy: MetricPolicy, folder: Path, progress: Progress) -> Evaluated:
    from nnunet_assets.nnunet.evaluation.evaluation import evaluate_cases

    evaluation = evaluate_cases(
        target.found,
        policy,
        folder,
        write_table=write_case_table,
        write_labels=write_label_tables,
        progress=progress,
        places=settings.places,
        trusted=settings.trusted_code,
    )
    return Evaluated(evaluation, evaluation.to_json(), folder)


def _is_model(folder: Path) -> bool:
    return (folder / DATASET_JSON).is_file() and any(path.is_dir() for path in folder.glob("fold_*"))


def _of_model(settings: Settings, folder: Path, references: Path | None) -> Target:
    """Takes the finished folds in a model's folder, those of plain nnU-Net too; as declared, where it is."""
    model = folder.resolve()
    if is_project(settings.project):
        declared = read_project(settings.project)
        for experiment, folds in declared.cross_validations().items():
            if experiment.model_folder(settings.roots).resolve() == model:
                dataset = declared.dataset(experiment.dataset)
                return target_of_folds(
                    settings, model, folds, str(folder), references=references, dataset=dataset, of_plain_nnunet=True
                )
    # Not fold_all, which was validated on cases that it was trained on.
    numbers = sorted(int(path.name[5:]) for path in model.glob("fold_*") if path.name[5:].isdecimal())
    folds = [fold_key(number) for number in numbers]
    return target_of_folds(settings, model, folds, str(folder), references=references, of_plain_nnunet=True)


def _of_experiment(settings: Settings, name: str, references: Path | None) -> Target:
    """Takes the finished folds of a declared experiment, measured as its dataset's declaration says."""
    declared, wanted = read_project(settings.project), name.replace(" ", "")
    folds = declared.cross_validations()
    ensemble = next((one for one in folds if one.is_ensemble and "/".join(one.key_prefix) == wanted), None)
    try:
        experiment = ensemble or declared.experiment(wanted).identity
    except ConfigError as error:
        raise EvaluationError(f"{name!r} is neither a folder nor an experiment. {error}") from None
    dataset, model = declared.dataset(experiment.dataset), experiment.model_folder(settings.roots)
    return target_of_folds(settings, model, folds[experiment], experiment.title, references=references, dataset=dataset)


def _of_folders(settings: Settings, predictions: Path, references: Path, dataset_json: Path | None) -> Target:
    from nnunet_assets.nnunet.evaluation.predicted_cases import cases_of_folders

    places = [predictions / DATASET_JSON, references / DATASET_JSON, references.resolve().parent / DATASET_JSON]
    description = dataset_json or next((place for place in places if place.is_file()), None)
    if description is None:
        raise EvaluationError(
            f"There is no {DATASET_JSON}, which names the labels, in {predictions}, {references} or above that. "
            "Name it with --dataset-json."
        )
    found = cases_of_folders(predictions, references, description, settings.trusted_code)
    return Target(found, evaluation_folder(predictions))
