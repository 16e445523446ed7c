"""`nnunet-assets train`: one fold, in nnU-Net's own words, trained and tracked as its asset does it."""

import json
import logging
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from nnunet_assets.cli import completions
from nnunet_assets.cli.exit_codes import DONE, ERROR, INTERRUPTED
from nnunet_assets.cli.finite_numbers import FiniteRange
from nnunet_assets.cli.project_option import project_option
from nnunet_assets.cli.terminal import TerminalProgress
from nnunet_assets.cli.termination import terminated_as_by_ctrl_c
from nnunet_assets.core.files.layout import DEFAULT_PLANS, DEFAULT_TRAINER
from nnunet_assets.errors import NnunetAssetsError, storage_errors_in_words
from nnunet_assets.settings import project_settings

if TYPE_CHECKING:
    from nnunet_assets.cli.fold.interrupted import FoldAtWork
    from nnunet_assets.cli.fold.train_flags import Flags
    from nnunet_assets.core.progress import Progress
    from nnunet_assets.declarations.config import ExperimentConfig
    from nnunet_assets.declarations.project import Project
    from nnunet_assets.settings import Settings
    from nnunet_assets.tracking.fold.fold_tracker import TrackingReport
    from nnunet_assets.tracking.store.destination import Destination
    from nnunet_assets.workflows.fold.train import AskedNow, TrainedFold


@click.command()
@click.argument("dataset", required=False, shell_complete=completions.datasets)
@click.argument("configuration", required=False, metavar="[CONFIGURATION]", shell_complete=completions.configurations)
@click.argument("fold", required=False, shell_complete=completions.folds)
@click.option(
    "-tr", "trainer", shell_complete=completions.trainers, help=f"Trainer class.  [default: {DEFAULT_TRAINER}]"
)
@click.option("-p", "plans", shell_complete=completions.plans, help=f"Plans identifier.  [default: {DEFAULT_PLANS}]")
@click.option(
    "-pretrained_weights",
    type=click.Path(resolve_path=True, dir_okay=False),
    help="Checkpoint whose weights the training starts from.",
)
@click.option("-num_gpus", type=click.IntRange(min=1), help="GPUs that the fold trains on together.  [default: 1]")
@click.option("--npz", is_flag=True, help="Keep the class probabilities of the validation cases, for ensembling.")
@click.option("-c", "--c", "continue_training", is_flag=True, help="Go on with an interrupted fold; it does so anyway.")
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
@click.option(
    "--variant",
    metavar="NAME",
    shell_complete=completions.variants,
    help="The declared experiment of that variant, or a name for these flags.",
)
@click.option(
    "--undeclared",
    is_flag=True,
    help="Train what is typed, though the project declares others that it may be short for.",
)
@click.option("--seed", type=click.IntRange(0, 2**32 - 1), help="Seed everything that draws random numbers.")
@click.option("--deterministic", is_flag=True, help="One process, deterministic algorithms only; slower.")
@click.option("--patience", type=click.IntRange(min=1), help="Stop after so many epochs without a better pseudo Dice.")
@click.option("--restore-best", is_flag=True, help="End with the weights of the epoch of the best pseudo Dice.")
@click.option(
    "--time-budget-minutes",
    type=FiniteRange(min=0, min_open=True),
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
@click.option(
    "--dry-run", is_flag=True, help="Say what would be done, on which device and how long; nothing is written."
)
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON; everything else goes to stderr.")
@project_option
def train(**given: Any) -> int:
    """Train one fold as nnUNetv2_train does, tracked, and safe to interrupt.

    DATASET is a name or a number: 4, 004, Dataset004_Hippocampus. CONFIGURATION is 2d, 3d_fullres, 3d_lowres,
    3d_cascade_fullres, or any other that the plans file has. FOLD is a number, or all: a model on every case. An
    experiment that the project declares is trained as declared; any other as the flags say, unless they may be short
    for one that is declared. Data that is not prepared yet is prepared first.

    A finished fold is not trained again unless --retrain is given, which keeps the old one. An interrupted fold goes
    on from its last checkpoint, with or without --c.

    --from-run needs no DATASET, CONFIGURATION and FOLD. It says first what differs today from when the run was made,
    and trains in a variant of its own, rerun_ and the first digits of RUN_ID.
    """
    from nnunet_assets.cli.fold.interrupted import FoldAtWork
    from nnunet_assets.cli.fold.train_flags import Flags

    flags, at_work = Flags(**given), FoldAtWork()
    progress = TerminalProgress(to_stderr=flags.as_json)
    result: dict[str, Any] = {"dataset": flags.dataset, "configuration": flags.configuration, "fold": flags.fold}
    try:
        with terminated_as_by_ctrl_c(), storage_errors_in_words(), progress:
            result |= _train(flags, progress, result, at_work)
    except KeyboardInterrupt:
        validates = flags.validation_only or flags.val_best
        progress.say(at_work.interrupted(retrain=flags.retrain, validates=validates))
        result["status"] = "interrupted"
    except NnunetAssetsError as error:
        if not flags.as_json:
            raise
        click.echo(str(error), err=True)
        result |= {"status": "failed", "error": str(error)}
    if flags.as_json:
        click.echo(json.dumps(result, indent=2, ensure_ascii=False))
    return {"interrupted": INTERRUPTED, "failed": ERROR}.get(result["status"], DONE)


def _train(flags: "Flags", progress: "Progress", shown: dict[str, Any], at_work: "FoldAtWork") -> dict[str, Any]:
    """Trains what the flags ask for and returns the result's fields; `shown` takes those that a failure has too."""
    from nnunet_assets.declarations.named_fold import undeclared_remark
    from nnunet_assets.declarations.project import declared_if_any, read_project
    from nnunet_assets.project_folder.network_drives import network_sentences
    from nnunet_assets.tracking.store.destination import Destination
    from nnunet_assets.workflows.fold.chosen_engine import chosen_engine
    from nnunet_assets.workflows.fold.rerun import rerun_of
    from nnunet_assets.workflows.fold.start import prepared_request, train_from_there

    # MLflow's news about its own tables is none for whoever trains.
    logging.getLogger("mlflow.store.db.utils").setLevel(logging.WARNING)
    settings = project_settings(flags.project)
    for sentence in network_sentences(settings):
        progress.warn(sentence)
    # Who only set nnU-Net's variables needs no project.
    read = declared_if_any if settings.variables.get("nnUNet_raw") else read_project
    project = read(settings.project)
    asked = flags.asked_now
    if flags.use_compressed:
        progress.say("Current nnU-Net has no mode --use_compressed: its preprocessed cases are always compressed.")
    rerun = rerun_of(flags.from_run, flags.named, settings, project) if flags.from_run else None
    if rerun:
        fold, config, asked = rerun.recalled.fold, rerun.config, rerun.asked(asked)
        shown |= {"dataset": config.dataset, "configuration": config.configuration, "fold": fold}
    else:
        fold, config = flags.named.chosen(project, settings.roots)
        if remark := undeclared_remark(config.identity, project):
            progress.say(remark)
    going_on = flags.continue_training
    if flags.dry_run:
        return _dry_run(settings, project, config, fold, asked, progress=progress, continue_training=going_on)
    at_work.begin(config.identity.place_of(settings.roots, fold))
    request = prepared_request(settings, project, config, fold, asked, progress=progress, continue_training=going_on)
    if rerun:
        changes = rerun.changes(settings, request)
        shown |= {"from_run": flags.from_run, "changes": [asdict(change) for change in changes]}
        progress.say("\n".join(rerun.in_words(changes)))
        rerun.check(changes, accepted=flags.despite_changes)
    destination = None if flags.tracker_disable else Destination.of(settings).declared(config)
    trained = train_from_there(
        settings,
        request,
        destination,
        progress,
        retrain=flags.retrain,
        continue_training=going_on,
        engine=chosen_engine(settings, config, device=asked.device),
    )
    result = _result(trained)
    progress.say(_in_words(result))
    if destination and trained.tracking and trained.tracking.run_id:
        progress.say(_where_tracked(destination, trained.tracking, trained.run_url))
    return result


def _dry_run(
    settings: "Settings",
    project: "Project",
    config: "ExperimentConfig",
    fold: str,
    asked: "AskedNow",
    *,
    progress: "Progress",
    continue_training: bool,
) -> dict[str, Any]:
    """Says what a training would do, and returns the result's fields."""
    from nnunet_assets.workflows.fold.dry_run import dry_run

    found = dry_run(settings, project, config, fold, asked, continue_training=continue_training)
    progress.say("\n".join(found.in_words()))
    return {"status": "dry run", **found.to_json()}


def _where_tracked(destination: "Destination", tracking: "TrackingReport", url: str | None) -> str:
    """Returns a link to the fold's run where a server shows it now, else how to see it."""
    from nnunet_assets.tracking.runs.run_pages import shows_run

    if url and tracking.run_id and shows_run(url, destination, tracking.run_id):
        return f"Tracked in MLflow: {url}"
    seen = "" if destination.tracking_uri.startswith("http") else " `nnunet-assets dev` shows it."
    return f"Tracked in MLflow, run {tracking.run_id}.{seen}"


def _result(trained: "TrainedFold") -> dict[str, Any]:
    """Returns what `--json` prints; scores that say nothing about new cases are null."""
    experiment, scores = trained.request.experiment, trained.scores
    done = "validated" if trained.request.options.validation_only else "trained"
    return {
        "status": done if trained.is_new else "up to date",
        "model_path": str(trained.finished.folder),
        "dataset": experiment.dataset,
        "configuration": experiment.configuration,
        "trainer": experiment.trainer,
        "plans": experiment.plans,
        "variant": experiment.variant,
        "fold": trained.request.fold,
        "metrics": {
            "dice": scores.foreground.dice.pooled.mean if scores else None,
            "iou": scores.foreground.iou.pooled.mean if scores else None,
            "validation_loss": trained.validation_loss if scores else None,
        },
    }


def _in_words(result: dict[str, Any]) -> str:
    named = {"Dice": result["metrics"]["dice"], "IoU": result["metrics"]["iou"]}
    scores = ", ".join(f"{name} {value:.4f}" for name, value in named.items() if value is not None)
    shown = f": {scores} on its validation cases" if scores else ""
    return f"{result['fold']} is finished{shown}. {result['model_path']}"
