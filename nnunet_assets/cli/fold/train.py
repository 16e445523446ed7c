"""`nnunet-assets train`: one fold, in nnU-Net's own words, trained and tracked as its asset does it."""

import json
import logging
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from nnunet_assets.cli.exit_codes import DONE, ERROR
from nnunet_assets.cli.project_option import project_option
from nnunet_assets.cli.terminal import TerminalProgress
from nnunet_assets.core.files.layout import DEFAULT_PLANS, DEFAULT_TRAINER
from nnunet_assets.errors import NnunetAssetsError, storage_errors_in_words
from nnunet_assets.settings import Settings, project_settings

if TYPE_CHECKING:
    from nnunet_assets.cli.fold.train_flags import Flags
    from nnunet_assets.core.fold.commit import FinishedFold
    from nnunet_assets.core.fold.fold import Fold
    from nnunet_assets.core.fold.fold_request import FoldRequest
    from nnunet_assets.core.progress import Progress
    from nnunet_assets.declarations.config import ExperimentConfig
    from nnunet_assets.declarations.project import Project


@click.command()
@click.argument("dataset", required=False)
@click.argument("configuration", required=False, metavar="[CONFIGURATION]")
@click.argument("fold", required=False)
@click.option("-tr", "trainer", help=f"Trainer class.  [default: {DEFAULT_TRAINER}]")
@click.option("-p", "plans", help=f"Plans identifier.  [default: {DEFAULT_PLANS}]")
@click.option(
    "-pretrained_weights",
    type=click.Path(resolve_path=True, dir_okay=False),
    help="Checkpoint whose weights the training starts from.",
)
@click.option("-num_gpus", type=click.IntRange(min=1), help="GPUs that the fold trains on together.  [default: 1]")
@click.option("--npz", is_flag=True, help="Keep the class probabilities of the validation cases, for ensembling.")
@click.option("--c", "continue_training", is_flag=True, help="Go on with an interrupted fold; it does so anyway.")
@click.option("--val", "validation_only", is_flag=True, help="Only validate a fold that is trained.")
@click.option("--val_best", is_flag=True, help="Validate checkpoint_best.pth in place of the final one.")
@click.option("--use_compressed", is_flag=True, help="Accepted; current nnU-Net has no such mode.")
@click.option("--disable_checkpointing", is_flag=True, help="Write no checkpoint at all, to try things out.")
@click.option(
    "-device",
    type=click.Choice(["cuda", "cpu", "mps"]),
    help="Where to train.  [default: as declared, else a GPU where there is one]",
)
@click.option("--tracker-disable", is_flag=True, help="Do not track this training in MLflow.")
@click.option("--variant", metavar="NAME", help="The declared experiment of that variant, or a name for these flags.")
@click.option("--seed", type=click.IntRange(0, 2**32 - 1), help="Seed everything that draws random numbers.")
@click.option("--deterministic", is_flag=True, help="One process, deterministic algorithms only; slower.")
@click.option("--patience", type=click.IntRange(min=1), help="Stop after so many epochs without a better pseudo Dice.")
@click.option(
    "--time-budget-minutes",
    type=click.FloatRange(min=0, min_open=True),
    help="Stop after the last epoch that leaves time to validate within so many minutes.",
)
@click.option("--tensorboard", is_flag=True, help="Write the curves for TensorBoard too, into the fold's folder.")
@click.option("--retrain", is_flag=True, help="Train anew where the fold is there already; the old one is kept.")
@click.option(
    "--from-run", metavar="RUN_ID", help="Train the fold of an MLflow run again, with what that run was trained with."
)
@click.option(
    "--despite-changes",
    is_flag=True,
    help="Also go on with a fold that another minor version of nnU-Net began; with --from-run: also on other data, "
    "plans or splits.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON; everything else goes to stderr.")
@project_option
def train(**given: Any) -> int:
    """Train one fold as nnUNetv2_train does, tracked, and safe to interrupt.

    DATASET is a name or a number: 4, 004, Dataset004_Hippocampus. CONFIGURATION is 2d, 3d_fullres, 3d_lowres,
    3d_cascade_fullres, or any other that the plans file has. FOLD is a number, or all: a model on every case. An
    experiment that the project declares is trained as declared; any other as the flags say. Data that is not prepared
    yet is prepared first.

    A finished fold is not trained again unless --retrain is given, which keeps the old one. An interrupted fold goes
    on from its last checkpoint, with or without --c.

    --from-run needs no DATASET, CONFIGURATION and FOLD. It says first what differs today from when the run was made,
    and trains in a variant of its own, rerun_ and the first digits of RUN_ID.
    """
    # Dagster comes with it.
    from nnunet_assets.cli.fold.train_flags import Flags

    flags = Flags(**given)
    progress = TerminalProgress(to_stderr=flags.as_json)
    result: dict[str, Any] = {"dataset": flags.dataset, "configuration": flags.configuration, "fold": flags.fold}
    try:
        with _terminated_as_by_ctrl_c(), storage_errors_in_words(), progress:
            result |= _train(flags, progress, result)
    except KeyboardInterrupt:
        again = "The same command without --retrain" if flags.retrain else "The same command"
        progress.say(f"Interrupted. {again} goes on from the last checkpoint, where one is written already.")
        result["status"] = "interrupted"
    except NnunetAssetsError as error:
        if not flags.as_json:
            raise
        click.echo(str(error), err=True)
        result |= {"status": "failed", "error": str(error)}
    if flags.as_json:
        click.echo(json.dumps(result, indent=2, ensure_ascii=False))
    return ERROR if result["status"] in ("interrupted", "failed") else DONE


def _train(flags: "Flags", progress: "Progress", shown: dict[str, Any]) -> dict[str, Any]:
    """Trains what the flags ask for and returns the result's fields; `shown` takes those that a failure has too."""
    from nnunet_assets.assets.fold.fold_training import fold_request, train_fold
    from nnunet_assets.cli.dataset.preparation import ensure_prepared
    from nnunet_assets.cli.fold.rerun import rerun_of
    from nnunet_assets.core.fold.fold import Fold
    from nnunet_assets.core.fold.training_rules import check_options
    from nnunet_assets.nnunet.folds.fold_versions import check_versions

    settings = project_settings(flags.project)
    project = _project(settings)
    asked = flags.asked_now
    # MLflow's news about its own tables is none for whoever trains.
    logging.getLogger("mlflow.store.db.utils").setLevel(logging.WARNING)
    rerun = rerun_of(flags.from_run, flags, settings, project) if flags.from_run else None
    if rerun:
        fold, config, asked = rerun.recalled.fold, rerun.config, rerun.asked(asked)
        shown |= {"dataset": config.dataset, "configuration": config.configuration, "fold": fold}
    else:
        fold, config = _named(flags, settings, project)
    check_options(
        asked.options(config.options(settings.project)),
        device=asked.device or config.device,
        retrain=asked.retrain,
        continue_training=flags.continue_training,
    )
    if flags.use_compressed:
        progress.say("Current nnU-Net has no mode --use_compressed: its preprocessed cases are always compressed.")
    if not rerun and config.identity not in [declared.identity for declared in project.experiments]:
        progress.say(f"{config.identity.title} is not declared in {project.root}: it is trained as the flags say.")
    if not asked.retrain:
        # Before hours of preprocessing by the version that is installed now.
        check_versions(config.identity.place_of(settings.roots, fold), despite_changes=asked.despite_changes)
    ensure_prepared(settings, project, config, progress, despite_changes=asked.despite_changes)
    request = fold_request(settings, config, fold, asked)
    if rerun:
        changes = rerun.changes(settings, request)
        shown |= {"from_run": flags.from_run, "changes": [asdict(change) for change in changes]}
        progress.say("\n".join(rerun.in_words(changes)))
        rerun.check(changes, accepted=flags.despite_changes)
    there = Fold.read(config.identity.place_of(settings.roots, fold), check_files=True)
    progress.say(f"{there.place.title}: {_starting_point(request, there, flags)}")
    outcome, tracked = train_fold(
        settings,
        request,
        environment=settings.variables,
        progress=progress,
        retrain=flags.retrain,
        known=there,
        is_tracked=not flags.tracker_disable,
    )
    status = "validated" if flags.validation_only else "trained"
    result = _result(request, outcome.finished, status if outcome.is_new else "up to date")
    progress.say(_in_words(result))
    if "mlflow_run" in tracked.metadata:
        progress.say(f"Tracked in MLflow: {tracked.metadata['mlflow_run'].value}")
    return result


def _named(flags: "Flags", settings: Settings, project: "Project") -> tuple[str, "ExperimentConfig"]:
    """Returns the fold and the experiment that the command line names."""
    from nnunet_assets.cli.fold.train_flags import chosen_experiment, dataset_named, fold_named

    dataset, _, fold = flags.named
    return fold_named(fold), chosen_experiment(flags, dataset_named(dataset, project, settings.roots), project)


def _project(settings: Settings) -> "Project":
    """Returns what the project declares; who only set nnU-Net's variables needs no project."""
    from nnunet_assets.declarations.project import EXPERIMENTS_FOLDER, Project, read_project

    if settings.variables.get("nnUNet_raw") and not (settings.project / EXPERIMENTS_FOLDER).is_dir():
        return Project(settings.project, (), (), has_definitions=False)
    return read_project(settings.project)


def _starting_point(request: "FoldRequest", fold: "Fold", flags: "Flags") -> str:
    """Returns what happens with what is there already.

    Raises:
        FoldError: A training with other data or settings is there, which only `--retrain` puts aside.
    """
    from nnunet_assets.errors import FoldError

    state = fold.state
    if flags.retrain and state != "absent":
        return "training anew; the one that is there is kept among the superseded folds."
    if state in ("committed", "interrupted") and (others := _changes(fold, request)):
        raise FoldError(
            f"{fold.place.folder} holds a training with other {' and '.join(others)}. It is kept "
            "as it is. --retrain trains anew and keeps it among the superseded folds; --variant NAME, with flags that "
            "change the result, trains beside it."
        )
    if flags.validation_only:
        return "predicting and scoring the validation cases again."
    if state == "committed" and _is_to_validate(fold, request):
        return "finished already; nothing is trained, but its validation runs again."
    return {
        "adopted": "trained elsewhere and adopted; nothing is trained. --retrain trains it anew.",
        "committed": "finished already; nothing is trained. --retrain trains it anew.",
        "interrupted": "interrupted before; going on from its last checkpoint, with or without --c. --retrain begins "
        "anew.",
    }.get(
        state, "training from the beginning" + (": there is nothing to go on with." if flags.continue_training else ".")
    )


def _is_to_validate(fold: "Fold", request: "FoldRequest") -> bool:
    from nnunet_assets.nnunet.folds.validation_files import reason_to_validate

    return fold.finished is not None and reason_to_validate(fold.finished, request.options) is not None


def _changes(fold: "Fold", request: "FoldRequest") -> list[str]:
    """Names in what the fold that is there differs from the one that is asked for."""
    from nnunet_assets.core.fold.fold_provenance import FoldProvenance
    from nnunet_assets.nnunet.folds.fold_attempt import changes_since_begun

    if fold.finished is None:
        return changes_since_begun(fold.place, request)
    manifest = fold.finished.manifest
    details = manifest.details
    there = FoldProvenance.asked(manifest.inputs, details.get("overrides") or {}, details.get("options") or {})
    return there.differences(FoldProvenance.asked(request.inputs, request.overrides, asdict(request.options)))


def _result(request: "FoldRequest", finished: "FinishedFold", status: str) -> dict[str, Any]:
    """Returns what `--json` prints; scores that say nothing about new cases are null."""
    from nnunet_assets.core.files.layout import FULL_FOLD
    from nnunet_assets.core.fold.journal import journal_path, read_records
    from nnunet_assets.core.summary.cv_summary import summarize
    from nnunet_assets.nnunet.results.results import result_of

    experiment, fold = request.experiment, request.fold
    metrics: dict[str, float | None] = {"dice": None, "iou": None, "validation_loss": None}
    if fold != FULL_FOLD:
        summary = summarize(experiment, [fold], [result_of(finished)])
        losses = [r.values["val_loss"] for r in read_records(journal_path(finished.folder)) if r.kind == "epoch"]
        metrics = {
            "dice": summary.foreground.dice.pooled.mean,
            "iou": summary.foreground.iou.pooled.mean,
            "validation_loss": losses[-1] if losses else None,
        }
    return {
        "status": status,
        "model_path": str(finished.folder),
        "dataset": experiment.dataset,
        "configuration": experiment.configuration,
        "trainer": experiment.trainer,
        "plans": experiment.plans,
        "variant": experiment.variant,
        "fold": fold,
        "metrics": metrics,
    }


def _in_words(result: dict[str, Any]) -> str:
    named = {"Dice": result["metrics"]["dice"], "IoU": result["metrics"]["iou"]}
    scores = ", ".join(f"{name} {value:.4f}" for name, value in named.items() if value is not None)
    shown = f": {scores} on its validation cases" if scores else ""
    return f"{result['fold']} is finished{shown}. {result['model_path']}"


@contextmanager
def _terminated_as_by_ctrl_c() -> Iterator[None]:
    """Makes SIGTERM, which a cluster sends, end the fold and its MLflow run as Ctrl-C does."""
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
