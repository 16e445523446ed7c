"""What scripts and notebooks call: what the commands do, a function each, with the same result and without Dagster.

A project is its folder; None: `NNUNET_ASSETS_PROJECT`, else the current folder. Its `.env` counts as for the commands.
How far the work is goes to Python's logging, or to the `Progress` that is given. What goes wrong is raised as an
`errors.NnunetAssetsError`, a full sentence.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from nnunet_assets.core.files.layout import DEFAULT_PLANS, DEFAULT_TRAINER
from nnunet_assets.core.fold.fold_result import FoldResult
from nnunet_assets.core.progress import LOGGED, Progress
from nnunet_assets.core.summary.cv_summary import CvSummary as CVSummary
from nnunet_assets.settings import project_settings
from nnunet_assets.workflows.fold.tracked_trainer import create_tracked_trainer
from nnunet_assets.workflows.results.export_tables import export_csv, export_latex
from nnunet_assets.workflows.results.recorded_summaries import log_cv_summary, summarize_experiment

if TYPE_CHECKING:
    from nnunet_assets.core.comparison.comparison import Comparison
    from nnunet_assets.core.selection.best_configuration import BestConfiguration
    from nnunet_assets.core.verification.findings import Verification
    from nnunet_assets.nnunet.importing.planned_import import ImportedDataset
    from nnunet_assets.tracking.registry.versions import RegisteredVersion
    from nnunet_assets.workflows.dataset.prepare import LookedAt
    from nnunet_assets.workflows.fold.adopt import AdoptionReport
    from nnunet_assets.workflows.fold.sync import SyncReport
    from nnunet_assets.workflows.fold.train import TrainedFold
    from nnunet_assets.workflows.model.ensemble import MadeEnsemble
    from nnunet_assets.workflows.model.package import PackagedModel
    from nnunet_assets.workflows.model.predict import PredictedImages
    from nnunet_assets.workflows.registry.register import Registered
    from nnunet_assets.workflows.results.accept import AcceptedSummary
    from nnunet_assets.workflows.results.evaluate import Evaluated
    from nnunet_assets.workflows.results.summarize import MadeSummary

__all__ = [
    "CVSummary",
    "FoldResult",
    "accept",
    "adopt",
    "best",
    "check",
    "compare",
    "create_tracked_trainer",
    "ensemble",
    "evaluate",
    "export_csv",
    "export_latex",
    "import_dataset",
    "log_cv_summary",
    "models",
    "package",
    "predict",
    "promote",
    "register",
    "summarize",
    "summarize_experiment",
    "sync",
    "train_fold",
    "verify",
]


def import_dataset(
    source: Path | str,
    *,
    name: str | None = None,
    dataset_id: int | None = None,
    images: str | None = None,
    labels: str | None = None,
    test_images: str | None = None,
    table: Path | str | None = None,
    channels: Sequence[str] = (),
    label_values: Mapping[str, int | list[int]] | None = None,
    project: Path | str | None = None,
    progress: Progress = LOGGED,
) -> "ImportedDataset":
    """Brings a dataset into nnUNet_raw, as `nnunet-assets import-dataset` does; the source is not changed.

    Args:
        source: An unpacked folder of the Medical Segmentation Decathlon, an nnU-Net v1 task, or any other.
        name: `DatasetXXX_Name`; None: from the source's name.
        dataset_id: Replaces the number in the source's name.
        images: How the images are named below any other folder, such as `images/{case}_{channel}.nii.gz`.
        labels: How their label images are named.
        test_images: How images without labels are named; None: there are none.
        table: In place of patterns, a CSV or TSV of the files.
        channels: Names of the channels, in order.
        label_values: Label name to its value, or values; None: by what is in the label images.
        project: Whose nnUNet_raw.
        progress: Hears of each file.

    Raises:
        NnunetAssetsError: The dataset is there already, or the source cannot be brought.
    """
    from nnunet_assets.workflows.dataset.import_dataset import Source
    from nnunet_assets.workflows.dataset.import_dataset import import_dataset as bring

    described = Source(
        Path(source),
        images=images,
        labels=labels,
        test_images=test_images,
        table=_folder(table),
        channels=tuple(channels),
        label_values={"labels": dict(label_values)} if label_values else None,
    )
    return bring(project_settings(_folder(project)), described, progress, name=name, dataset_id=dataset_id)


def check(
    dataset: str, *, rehash: bool = False, project: Path | str | None = None, progress: Progress = LOGGED
) -> "LookedAt":
    """Reads every case of a raw dataset and returns what is wrong with it, as `nnunet-assets check` does.

    Args:
        dataset: `DatasetXXX_Name`, declared or not.
        rehash: Read every file anew, also those whose size and times are as they were.
        project: Whose nnUNet_raw, and where the dataset may be declared.
        progress: Hears of each case.

    Raises:
        DatasetError: There is no such dataset, or nothing of it can be looked at.
    """
    from nnunet_assets.workflows.dataset.check import check as look

    return look(project_settings(_folder(project)), dataset, progress, rehash=rehash)


def train_fold(
    dataset: str | int,
    configuration: str,
    fold: int | Literal["all"],
    *,
    trainer: str = DEFAULT_TRAINER,
    plans: str = DEFAULT_PLANS,
    variant: str | None = None,
    undeclared: bool = False,
    device: Literal["cuda", "cpu", "mps"] | None = None,
    retrain: bool = False,
    track: bool = True,
    project: Path | str | None = None,
    progress: Progress = LOGGED,
) -> "TrainedFold":
    """Trains and validates one fold in a process of its own, as `nnunet-assets train` does.

    A finished fold is not trained again; an interrupted one goes on from its last checkpoint. Data that is not prepared
    yet is prepared first.

    Args:
        dataset: A name or a number: `4`, `Dataset004_Hippocampus`.
        configuration: `2d`, `3d_fullres`, or any other that the plans file has.
        fold: Its number, or `all`: a model of every case.
        trainer: Trainer class.
        plans: Plans identifier.
        variant: Of a declared experiment; None: the default.
        undeclared: Whether what is named is meant though the project declares others that it may be short for.
        device: None: as declared, else a GPU where there is one.
        retrain: Train anew where the fold is there already; the old one is kept.
        track: Whether MLflow gets to know of it. A server that is down costs nothing but delay.
        project: Where the experiment may be declared.
        progress: Told how far it is.

    Raises:
        NnunetAssetsError: The fold cannot be trained, or its training failed.
    """
    from nnunet_assets.declarations.named_fold import NamedFold, undeclared_remark
    from nnunet_assets.declarations.project import declared_if_any
    from nnunet_assets.tracking.store.destination import Destination
    from nnunet_assets.workflows.fold.start import prepared_request, train_from_there
    from nnunet_assets.workflows.fold.train import AskedNow

    settings = project_settings(_folder(project))
    declared = declared_if_any(settings.project)
    named = NamedFold(str(dataset), configuration, str(fold), trainer, plans, variant, undeclared=undeclared)
    key, config = named.chosen(declared, settings.roots)
    if remark := undeclared_remark(config.identity, declared):
        progress.say(remark)
    asked = AskedNow(retrain=retrain, device=device)
    request = prepared_request(settings, declared, config, key, asked, progress=progress)
    return train_from_there(settings, request, Destination.of(settings) if track else None, progress, retrain=retrain)


def summarize(experiment: str, *, track: bool = True, project: Path | str | None = None) -> "MadeSummary":
    """Summarizes the finished folds of a declared experiment and writes the files, as the asset `cv_summary` does.

    Args:
        experiment: `DATASET/TRAINER__PLANS__CONFIGURATION`, a variant after the dataset.
        track: Whether the summary's MLflow run is brought up to date. What MLflow does not have, and why, is in the
            result's `tracked`.
        project: Where the experiment is declared.

    Raises:
        ConfigError: It is not declared.
        SummaryError: No fold is finished, one cannot be read, or they must not be averaged.
    """
    from nnunet_assets.declarations.project import read_project
    from nnunet_assets.tracking.store.destination import Destination
    from nnunet_assets.workflows.results.summarize import make_summary

    settings = project_settings(_folder(project))
    declared = read_project(settings.project)
    config = declared.experiment(experiment)
    destination = Destination.of(settings) if track else None
    return make_summary(settings.roots, config.identity, declared.folds_of(config), destination=destination)


def accept(
    experiment: str,
    *,
    incomplete: bool = False,
    note: str = "",
    project: Path | str | None = None,
    progress: Progress = LOGGED,
) -> "AcceptedSummary":
    """Accepts the summary of a declared experiment as its baseline, as `nnunet-assets accept` does.

    Args:
        experiment: As for `summarize`.
        incomplete: Accept it though folds are missing: only those that it has are compared later. Otherwise nothing is
            accepted, and the result's `baseline` is None.
        note: Why; kept with the baseline.
        project: Where the experiment is declared.
        progress: Told where the summary is made first.

    Raises:
        ConfigError: It is not declared.
        SummaryError: No fold is finished, or they must not be averaged.
    """
    from nnunet_assets.declarations.project import read_project
    from nnunet_assets.workflows.results.accept import accept_summary

    settings = project_settings(_folder(project))
    declared = read_project(settings.project)
    config = declared.experiment(experiment)
    folds = declared.folds_of(config)
    return accept_summary(settings.roots, config.identity, folds, incomplete=incomplete, note=note, progress=progress)


def compare(
    dataset: str,
    *,
    metric: str | None = None,
    project: Path | str | None = None,
    progress: Progress = LOGGED,
) -> "Comparison":
    """Compares the declared experiments of a dataset, as `nnunet-assets compare` does; its files are not written.

    Args:
        dataset: Whose experiments.
        metric: Of the evaluations; None: the summaries' Dice and IoU.
        project: Where they are declared.
        progress: Told which summaries are made first.

    Raises:
        ConfigError: The dataset is not declared.
        SummaryError: No two of the experiments may be compared.
    """
    from nnunet_assets.declarations.project import read_project
    from nnunet_assets.workflows.results.compare import compare_declared, compare_evaluated

    settings = project_settings(_folder(project))
    declared = read_project(settings.project)
    if metric is None:
        return compare_declared(settings.roots, declared, dataset, progress)
    return compare_evaluated(settings.roots, declared, dataset, metric, progress)


def best(
    dataset: str,
    *,
    postprocessing: bool = True,
    max_members: int = 1,
    project: Path | str | None = None,
    progress: Progress = LOGGED,
) -> "BestConfiguration":
    """Chooses among the declared experiments of a dataset, as `nnunet-assets best` does.

    Files of the choice are not written.

    Args:
        dataset: Whose experiments.
        postprocessing: Read the validation masks, to choose postprocessing steps too.
        max_members: Make the ensembles of up to so many experiments too; 1: none but those that are declared.
        project: Where they are declared.
        progress: Told which summaries are made first, and how many masks are read.

    Raises:
        ConfigError: The dataset is not declared.
        SummaryError: No experiment has a complete summary, or no two of several may be compared.
    """
    from nnunet_assets.declarations.project import read_project
    from nnunet_assets.workflows.model.best import find_best_configuration

    settings = project_settings(_folder(project))
    declared = read_project(settings.project)
    return find_best_configuration(
        settings,
        declared,
        dataset,
        progress,
        makes_summaries=True,
        with_postprocessing=postprocessing,
        max_members=max_members,
    )


def ensemble(
    dataset: str,
    members: Sequence[str] = (),
    *,
    name: str | None = None,
    device: str | None = None,
    keep_probabilities: bool | None = None,
    project: Path | str | None = None,
    progress: Progress = LOGGED,
) -> "MadeEnsemble":
    """Averages the probabilities of experiments and scores the masks, as `nnunet-assets ensemble` does.

    Args:
        dataset: Whose experiments.
        members: Two declared experiments or more, each in as many of its words as tell it from the others; none: the
            declared ensemble of that name.
        name: What it is called; None: by its members.
        device: Where the members predict: `auto`, `cuda`, `cpu` or `mps`; None: as declared, else `auto`.
        keep_probabilities: Whether those of the members stay on the disk; None: as declared, else they are removed.
        project: Where the experiments are declared.
        progress: Told of what is predicted and made.

    Raises:
        ConfigError: A member is not declared, or there is no such ensemble.
        FoldError: A fold of a member is not finished, or members differ in data, splits, cases or labels.
        PredictionError: Memory or disk do not suffice.
    """
    from nnunet_assets.workflows.model.ensemble import make_named_ensemble

    settings = project_settings(_folder(project))
    return make_named_ensemble(
        settings, dataset, members, name, progress, device=device, keeps_probabilities=keep_probabilities
    )


def register(
    experiment: str,
    *,
    name: str | None = None,
    tracking_uri: str | None = None,
    project: Path | str | None = None,
    progress: Progress = LOGGED,
) -> "Registered":
    """Registers an experiment or an ensemble in MLflow, as the asset `registered_model` does, and asks the gate.

    Args:
        experiment: A declared one: `DATASET/TRAINER__PLANS__CONFIGURATION`, a variant after the dataset, or
            `DATASET/ensembles/NAME`.
        name: Of the model; None: as the declaration's `register` says.
        tracking_uri: Another server or store than the project's own.
        project: Where the experiment is declared.
        progress: Told what happens.

    Raises:
        NnunetAssetsError: Folds are unfinished, mixed or of other plans, or the registry does not answer.
    """
    from nnunet_assets.declarations.project import read_project
    from nnunet_assets.tracking.store.destination import Destination
    from nnunet_assets.workflows.registry.register_declared import register_declared

    settings = project_settings(_folder(project))
    declared = read_project(settings.project)
    destination = Destination.of(settings, tracking_uri)
    config = declared.experiment_or_ensemble(experiment)
    return register_declared(settings, declared, config, destination, name=name, progress=progress)


def models(
    name: str | None = None, *, tracking_uri: str | None = None, project: Path | str | None = None
) -> "list[RegisteredVersion]":
    """Returns the versions that nnunet-assets registered, by name, the newest of each first.

    Args:
        name: Of one model; None: of all.
        tracking_uri: Another server or store than the project's own.
        project: Whose registry.

    Raises:
        TrackingError: The registry does not answer, or has no model of that name.
    """
    from nnunet_assets.tracking.store.destination import Destination
    from nnunet_assets.workflows.registry.registered_models import registered_versions

    return registered_versions(Destination.of(project_settings(_folder(project)), tracking_uri), name)


def promote(
    name: str,
    version: int,
    *,
    force: str | None = None,
    tracking_uri: str | None = None,
    project: Path | str | None = None,
) -> "RegisteredVersion":
    """Makes a version the champion of its model, as `nnunet-assets promote` does.

    Args:
        name: Of the model.
        version: Its number.
        force: Why it is to be the champion although the gate does not let it; kept with the version. None: only what
            passed the gate becomes champion.
        tracking_uri: Another server or store than the project's own.
        project: Whose registry.

    Raises:
        ConfigError: The gate does not let it.
        TrackingError: There is no such version, or the registry does not answer.
    """
    from nnunet_assets.tracking.store.destination import Destination
    from nnunet_assets.workflows.registry.registered_models import promote_version

    settings = project_settings(_folder(project))
    return promote_version(settings, Destination.of(settings, tracking_uri), name, version, force=force)


def package(
    experiment: str,
    output: Path | str,
    *,
    full_model: bool = False,
    licence: str | None = None,
    intended_use: str | None = None,
    project: Path | str | None = None,
    progress: Progress = LOGGED,
) -> "PackagedModel":
    """Writes the finished folds of a declared experiment as a package, as `nnunet-assets package` does.

    Args:
        experiment: As for `summarize`; or a declared ensemble, `DATASET/ensembles/NAME`.
        output: Folder of the package, or a file that ends in `.zip`; must not be there yet.
        full_model: Take the model of every case in place of the folds.
        licence: Of the weights; None: as declared.
        intended_use: What the model may be used for, in words; None: as declared.
        project: Where the experiment is declared.
        progress: Told how large it will be and how far it is.

    Raises:
        NnunetAssetsError: A fold is not finished, the disk has no room, or there is something of that name.
    """
    from nnunet_assets.workflows.model.package import package_named

    return package_named(
        project_settings(_folder(project)),
        experiment,
        Path(output),
        full_model=full_model,
        licence=licence,
        intended_use=intended_use,
        progress=progress,
    )


def evaluate(
    target: str | Path,
    *,
    references: Path | str | None = None,
    tolerances_mm: Mapping[str, float] | None = None,
    lesion_labels: Sequence[str] = (),
    output: Path | str | None = None,
    project: Path | str | None = None,
    progress: Progress = LOGGED,
) -> "Evaluated":
    """Evaluates saved predictions, as `nnunet-assets evaluate` does: overlap, surface distances and volumes.

    Args:
        target: A declared experiment, the folder of a trained model, or one of predictions, which needs `references`;
            beside these a path is one of predictions, and a model's folder is given as text.
        references: Folder of references; None: those that nnU-Net validated with.
        tolerances_mm: By label, how far apart its surfaces may be, over what is declared.
        lesion_labels: Labels whose components are counted, beside those that are declared.
        output: Folder for the tables; None: beside the predictions.
        project: Where the experiment is declared.
        progress: Told how far it is.

    Raises:
        NnunetAssetsError: There is nothing of that name, or no case of it could be evaluated.
    """
    from nnunet_assets.workflows.results.evaluate import evaluate as evaluate_target
    from nnunet_assets.workflows.results.evaluate import target_named

    settings = project_settings(_folder(project))
    return evaluate_target(
        settings,
        target_named(settings, str(target) if references is None else target, references=_folder(references)),
        progress,
        tolerances_mm=tolerances_mm or {},
        lesion_labels=lesion_labels,
        output=_folder(output),
    )


def predict(
    model: str | Path,
    images: Path | str | Sequence[Path | str],
    output: Path | str,
    *,
    folds: Sequence[int | Literal["all"]] = (),
    checkpoint: str | None = None,
    step_size: float = 0.5,
    mirroring: bool = True,
    save_probabilities: bool = False,
    postprocessing: bool = True,
    pattern: str | None = None,
    channels: Sequence[str] = (),
    overwrite: bool = False,
    previews: bool = True,
    device: Literal["cuda", "cpu", "mps"] | None = None,
    n_gpus: int | None = None,
    project: Path | str | None = None,
    progress: Progress = LOGGED,
) -> "PredictedImages":
    """Predicts new images, as `nnunet-assets predict` does; what is finished is not predicted again.

    Args:
        model: An experiment (`DATASET/TRAINER__PLANS__CONFIGURATION`, a variant after the dataset), an ensemble
            (`DATASET/ensembles/NAME`), a package (a folder or a zip), or a registered version
            (`models:/NAME@champion`).
        images: A folder, or files.
        output: Folder for the masks and what lies beside them.
        folds: Of an experiment; empty: every declared fold. `all`: its model of every case.
        checkpoint: File name in each fold; None: the one by which the folds were validated.
        step_size: By which share of a patch the window moves, in (0, 1].
        mirroring: Whether the mean over mirrored images is taken.
        save_probabilities: Whether `CASE.npz` and `CASE.pkl` are kept beside the masks.
        postprocessing: Whether the model's own is applied.
        pattern: How the images below the folder are named, such as `{case}/{channel}.nii.gz`; None: as nnU-Net does.
        channels: What `{channel}` stands for, in the model's order.
        overwrite: Predict the cases anew, whatever lies in their place.
        previews: Whether a picture of each case is drawn.
        device: None: every GPU that is free, else the CPU.
        n_gpus: On how many GPUs at once; None: on all that there are.
        project: Where the experiment is declared.
        progress: Told how far it is.

    Raises:
        NnunetAssetsError: There is no such model, the images are not those that it reads, or they could not be
            predicted.
    """
    from nnunet_assets.workflows.model.named_model import model_named
    from nnunet_assets.workflows.model.predict import Asked, plan_prediction

    settings = project_settings(_folder(project))
    asked = Asked(
        images=[Path(images)] if isinstance(images, str | Path) else [Path(image) for image in images],
        output=Path(output),
        pattern=pattern,
        channels=channels,
        step_size=step_size,
        mirroring=mirroring,
        save_probabilities=save_probabilities,
        postprocessing=postprocessing,
        overwrite=overwrite,
        previews=previews,
        device=device or "auto",
        n_gpus=n_gpus,
    )
    named = model_named(
        settings, str(model), folds=[str(fold) for fold in folds], checkpoint=checkpoint, progress=progress
    )
    return plan_prediction(settings, named, asked, progress).carry_out(progress)


def verify(
    *files: Path | str, quick: bool = False, project: Path | str | None = None, progress: Progress = LOGGED
) -> "list[Verification]":
    """Verifies files that were exported, as `nnunet-assets verify` does: what holds, what changed, what is not known.

    Args:
        files: Tables, pages, figures, results (JSON), packages of models.
        quick: Whether the predicted masks are not scored again.
        project: Of whose folds they are said to be.
        progress: Told how far it is.

    Raises:
        VerificationError: One of them is not there, cannot be read, or is nothing that this package exports.
    """
    from nnunet_assets.workflows.verification.verify import verify as verify_files

    return verify_files(project_settings(_folder(project)), [Path(file) for file in files], progress, quick=quick)


def adopt(folder: Path | str, *, track: bool = True, project: Path | str | None = None) -> "AdoptionReport":
    """Adopts the finished folds below a folder, or the folder itself, that plain nnU-Net trained.

    As `nnunet-assets adopt` does, but for Dagster's record, which the command writes.

    Args:
        folder: nnUNet_results, or the folder of a dataset, a model or a fold in it.
        track: Whether MLflow gets their curves and scores.
        project: Which takes them in.

    Raises:
        FoldError: There is none.
    """
    from nnunet_assets.tracking.store.destination import Destination
    from nnunet_assets.workflows.fold.adopt import adopt as adopt_below

    settings = project_settings(_folder(project))
    return adopt_below(settings, Path(folder), Destination.of(settings) if track else None)


def sync(
    folds: Sequence[Path | str] = (), *, timeout_seconds: float = 300.0, project: Path | str | None = None
) -> "SyncReport":
    """Sends to MLflow what waits of these folds, or of every fold of the project, as `nnunet-assets sync` does.

    Args:
        folds: Folders `fold_k`; empty: every fold of the project that was ever tracked.
        timeout_seconds: After which the rest is left waiting.
        project: Whose folds, and whose MLflow.

    Raises:
        TrackingError: One of the folders holds no fold that was tracked.
    """
    from nnunet_assets.tracking.store.destination import Destination
    from nnunet_assets.workflows.fold.sync import sync as send

    settings = project_settings(_folder(project))
    return send(settings, Destination.of(settings), [Path(fold) for fold in folds], timeout_seconds)


def _folder(given: Path | str | None) -> Path | None:
    return None if given is None else Path(given)
