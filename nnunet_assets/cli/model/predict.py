"""`nnunet-assets predict`: masks of new images, in nnU-Net's own words."""

import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from nnunet_assets.cli import completions
from nnunet_assets.cli.exit_codes import DONE
from nnunet_assets.cli.project_option import project_option_if_any
from nnunet_assets.cli.terminal import TerminalProgress
from nnunet_assets.core.dataset.findings import findings_text
from nnunet_assets.core.text.amounts import bytes_text
from nnunet_assets.errors import ConfigError, first_offenders
from nnunet_assets.settings import project_settings

if TYPE_CHECKING:
    from nnunet_assets.workflows.model.planned_prediction import Asked, PlannedPrediction
    from nnunet_assets.workflows.model.predict import PredictedImages


class _SeveralFolds(click.Command):
    """Takes `-f 0 1 2`, as nnU-Net does."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Writes the option before each of its values."""
        return super().parse_args(ctx, list(_one_by_one(args)))


def _one_by_one(args: Sequence[str]) -> Iterator[str]:
    is_folds = False
    for number, argument in enumerate(args):
        is_fold = re.fullmatch(r"\d+|all|fold_\w+", argument) is not None
        if is_folds and is_fold and args[number - 1] != "-f":
            yield "-f"
        is_folds = argument == "-f" or (is_folds and is_fold)
        yield argument


@click.command(cls=_SeveralFolds)
@click.argument("model", shell_complete=completions.experiments)
@click.argument("images", nargs=-1, type=click.Path(path_type=Path))
@click.option("-i", "input_folder", type=click.Path(path_type=Path), help="Folder of images, in place of IMAGES.")
@click.option(
    "-o", "output", required=True, type=click.Path(path_type=Path), help="Folder for the masks, made if need be."
)
@click.option(
    "-f",
    "folds",
    multiple=True,
    metavar="FOLD...",
    help="Folds of an experiment, or `all`, its model of every case.  [default: every declared fold]",
)
@click.option("-chk", "checkpoint", help="Checkpoint of each fold.  [default: the one it was validated by]")
@click.option("-step_size", type=float, default=0.5, show_default=True, help="Step of the window, in patches.")
@click.option("--disable_tta", is_flag=True, help="Do not average over mirrored images: faster, less exact.")
@click.option("--save_probabilities", is_flag=True, help="Keep CASE.npz and CASE.pkl beside the masks.")
@click.option(
    "-device",
    type=click.Choice(["cuda", "cpu", "mps"]),
    help="Where to predict.  [default: every GPU that is free, else the CPU]",
)
@click.option("--gpus", "n_gpus", type=click.IntRange(min=1), help="On how many GPUs at once.  [default: all]")
@click.option("--pattern", help="How the images below the folder are named, such as '{case}/{channel}.nii.gz'.")
@click.option(
    "--channel", "channels", multiple=True, help="What {channel} stands for; once for each, in the model's order."
)
@click.option("--no-postprocessing", is_flag=True, help="Leave the masks as they are predicted.")
@click.option("--no-previews", is_flag=True, help="Draw no picture of each case.")
@click.option("--continue_prediction", is_flag=True, help="Accepted; a killed prediction goes on anyway.")
@click.option("--overwrite", is_flag=True, help="Predict the cases anew, whatever lies in their place.")
@click.option("--dry-run", is_flag=True, help="Look at the images, and say what would be predicted.")
@project_option_if_any
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def predict(
    *,
    model: str,
    images: Sequence[Path],
    input_folder: Path | None,
    folds: Sequence[str],
    checkpoint: str | None,
    dry_run: bool,
    project: Path,
    as_json: bool,
    **given: Any,
) -> int:
    """Predict IMAGES by MODEL: a mask a case, with volumes, warnings and a picture of each.

    MODEL is an experiment of the project (DATASET/TRAINER__PLANS__CONFIGURATION, a variant after the dataset), whose
    folds predict together; a declared ensemble, DATASET/ensembles/NAME; a package, a folder or a zip; or a registered
    version: models:/NAME@champion, models:/NAME/2 or models:/NAME/latest. IMAGES is a folder, named as nnU-Net names
    them (CASE_0000.nii.gz) or by --pattern, or some files.

    All images are looked at before anything is predicted. What is finished is not predicted again: the same command
    goes on after a kill, and another model into the same folder is refused.
    """
    settings = project_settings(project)
    # numpy, which wrong usage need not wait for.
    from nnunet_assets.workflows.model.named_model import model_named
    from nnunet_assets.workflows.model.planned_prediction import plan_prediction
    from nnunet_assets.workflows.model.predict import predict_images

    asked = _asked(images, input_folder, given)
    with TerminalProgress(to_stderr=as_json) as progress:
        named = model_named(settings, model, folds=folds, checkpoint=checkpoint, progress=progress)
        plan = plan_prediction(settings, named, asked, progress)
        if dry_run:
            _show_plan(plan, as_json=as_json)
            return DONE
        done = predict_images(plan, progress)
    _show(done, as_json=as_json)
    return DONE


def _asked(images: Sequence[Path], input_folder: Path | None, given: dict[str, Any]) -> "Asked":
    from nnunet_assets.workflows.model.planned_prediction import Asked

    if bool(images) == (input_folder is not None):
        raise ConfigError("Name the images once: a folder or files after MODEL, or a folder with -i.")
    return Asked(
        images=images if input_folder is None else (input_folder,),
        output=given["output"],
        pattern=given["pattern"],
        channels=given["channels"],
        step_size=given["step_size"],
        mirroring=not given["disable_tta"],
        save_probabilities=given["save_probabilities"],
        postprocessing=not given["no_postprocessing"],
        overwrite=given["overwrite"],
        previews=not given["no_previews"],
        device=given["device"] or "auto",
        n_gpus=given["n_gpus"],
    )


def _show_plan(plan: "PlannedPrediction", *, as_json: bool) -> None:
    n_cases = len(plan.checked.cases)
    if as_json:
        content = {
            "model": plan.model.usable.title,
            "digest": plan.model.usable.digest,
            "cases": [case.name for case in plan.checked.cases],
            "to_predict": list(plan.missing),
            "conflicts": list(plan.conflicts),
            "warnings": [finding.message for finding in plan.warnings],
            "bytes": plan.needed_bytes,
        }
        click.echo(json.dumps(content, indent=2))
        return
    click.echo(
        f"{plan.model.usable.title} ({plan.model.usable.digest[:12]}) would predict {len(plan.missing)} of {n_cases} "
        f"cases into {plan.asked.output}: {first_offenders(plan.missing) or 'none is missing'}."
    )
    if plan.missing:
        click.echo(f"They take up to about {bytes_text(plan.needed_bytes)} on the disk.")
    if plan.warnings:
        click.echo(findings_text(plan.warnings))
    for conflict in plan.conflicts:
        click.echo(f"{conflict} It would be refused without --overwrite.")


def _show(done: "PredictedImages", *, as_json: bool) -> None:
    from nnunet_assets.workflows.model.predicted_files import CSV_FILE, PREVIEWS

    if as_json:
        content = {
            "folder": str(done.folder),
            "model": done.model,
            "digest": done.digest,
            "cases": list(done.cases),
            "predicted_now": done.n_predicted,
            "device": done.device,
            "warnings": [finding.message for finding in done.warnings],
        }
        click.echo(json.dumps(content, indent=2))
        return
    click.echo(f"{done.headline}")
    pictures = "; pictures are in previews" if (done.folder / PREVIEWS).is_dir() else ""
    click.echo(f"Masks: {done.folder}. Volumes and warnings are in {CSV_FILE} there{pictures}.")
    if done.n_warned:
        click.echo(
            f"Look with care at {'1 case' if done.n_warned == 1 else f'{done.n_warned} cases'}: see the warnings."
        )
