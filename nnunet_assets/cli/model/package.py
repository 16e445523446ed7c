"""`package`: the folds of an experiment as one folder or zip that can be handed on."""

import json
from pathlib import Path
from typing import Any

import click

from nnunet_assets.cli import completions
from nnunet_assets.cli.project_option import project_option
from nnunet_assets.cli.terminal import TerminalProgress, console
from nnunet_assets.core.model.model_description import ModelNumber
from nnunet_assets.core.text.numbers import fixed
from nnunet_assets.settings import project_settings
from nnunet_assets.workflows.model.package import PackagedModel, package_named


@click.command()
@click.argument("experiment", shell_complete=completions.experiments)
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    required=True,
    help="Folder of the package, or a file that ends in .zip. Must not be there yet.",
)
@click.option("--full-model", is_flag=True, help="Take the model of every case (fold_all) in place of the folds.")
@click.option("--licence", "--license", help="Licence of the weights, such as CC-BY-4.0.  [default: as declared]")
@click.option("--intended-use", help="What the model may be used for, in words.  [default: as declared]")
@project_option
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def package(
    experiment: str,
    *,
    output: Path,
    full_model: bool,
    licence: str | None,
    intended_use: str | None,
    project: Path,
    as_json: bool,
) -> None:
    """Write the finished folds of EXPERIMENT as a model that can be handed on.

    EXPERIMENT is a declared one: DATASET/TRAINER__PLANS__CONFIGURATION, a variant after the dataset; or a declared
    ensemble of several, DATASET/ensembles/NAME. The package holds what predicts and what is known of the model, and no
    case id or path. nnU-Net reads it as it is; it installs the zip with nnUNetv2_install_pretrained_model_from_zip.
    Ends with 1, and writes nothing, where a fold is not finished.
    """
    settings = project_settings(project)
    with TerminalProgress(to_stderr=True) as progress:
        packaged = package_named(
            settings,
            experiment,
            output,
            full_model=full_model,
            licence=licence,
            intended_use=intended_use,
            progress=progress,
        )
    if as_json:
        click.echo(json.dumps(_json(packaged), indent=2, ensure_ascii=False))
    else:
        _print(packaged)


def _json(packaged: PackagedModel) -> dict[str, Any]:
    from nnunet_assets.core.files.typed_json import dataclass_to_json

    return {
        "path": str(packaged.path),
        "bytes": packaged.n_bytes,
        "digest": packaged.digest,
        "place": packaged.place,
        "may_overwrite": packaged.may_overwrite,
        "description": dataclass_to_json(packaged.description),
    }


def _print(packaged: PackagedModel) -> None:
    terminal, description = console(), packaged.description
    terminal.print(f"{description.title}: {packaged.path}, {packaged.n_bytes / 1e6:.1f} MB")
    if dice := description.numbers.get("dice"):
        terminal.print(f"Dice {_in_words(dice)}. {dice.estimand}")
    said = {"Licence": description.licence, "Intended use": description.intended_use}
    for name, text in said.items():
        terminal.print(f"{name}: {text or 'not said'}")
    if packaged.place:
        terminal.print(f"nnUNetv2_install_pretrained_model_from_zip puts it into nnUNet_results/{packaged.place}.")
        if packaged.may_overwrite:
            terminal.print("It writes over a model that is there, without a question: folds of both would be mixed.")
    terminal.print(f"Digest: {packaged.digest}")


def _in_words(number: ModelNumber) -> str:
    interval = number.interval
    ends = f" (95 % interval {fixed(interval.low)} to {fixed(interval.high)})" if interval else ""
    return f"{fixed(number.mean)}{ends} of {number.n_cases} cases"
