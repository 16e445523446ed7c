"""`nnunet-assets import-dataset`: brings a dataset in another form into nnUNet_raw."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import click

from nnunet_assets.cli.project_option import project_option
from nnunet_assets.cli.terminal import TerminalProgress
from nnunet_assets.errors import ConfigError
from nnunet_assets.nnunet.importing.import_files import labels_from_file
from nnunet_assets.settings import project_settings
from nnunet_assets.workflows.dataset import import_dataset as workflow

if TYPE_CHECKING:
    from nnunet_assets.nnunet.importing.transfer import Link


@click.command("import-dataset")
@click.argument("source", type=click.Path(path_type=Path))
@click.option("--name", help="Name of the new dataset, such as Dataset004_Hippocampus. Default: from SOURCE's name.")
@click.option("--id", "dataset_id", type=int, help="Id of the new dataset, from 0 to 999. Default: from SOURCE's name.")
@click.option(
    "--images", metavar="PATTERN", help="How the images are named below SOURCE: 'imagesTr/{case}_{channel}.nii.gz'."
)
@click.option("--labels", metavar="PATTERN", help="How their label images are named: 'labelsTr/{case}.nii.gz'.")
@click.option("--test-images", metavar="PATTERN", help="How images without labels are named. Default: there are none.")
@click.option(
    "--list",
    "table",
    type=click.Path(path_type=Path),
    help="In place of patterns, a CSV or TSV with the columns case, image (or image_NAME for each channel) and label.",
)
@click.option(
    "--channel", "channels", multiple=True, help="Name of a channel, such as CT or T1; once for each, in order."
)
@click.option(
    "--label",
    "label_options",
    multiple=True,
    metavar="NAME=VALUE",
    help="A label, such as background=0; once for each. Default: by the values in the label images.",
)
@click.option(
    "--label-names",
    type=click.Path(path_type=Path),
    help="In place of --label, a JSON file of names to values, or a dataset.json.",
)
@click.option(
    "--link",
    type=click.Choice(["copy", "hardlink", "symlink"]),
    default="copy",
    show_default=True,
    help="How images that need no conversion get into nnUNet_raw.",
)
@click.option("--compress", is_flag=True, help="Turn .nii into .nii.gz.")
@click.option("--dry-run", is_flag=True, help="Say what would be done, in what time and space; nothing is written.")
@project_option
def import_dataset(
    source: Path,
    name: str | None,
    dataset_id: int | None,
    link: str,
    project: Path,
    *,
    dry_run: bool,
    **described: Any,
) -> None:
    """Bring the dataset in SOURCE into nnUNet_raw.

    SOURCE is an unpacked folder of the Medical Segmentation Decathlon (such as Task04_Hippocampus), an nnU-Net v1 task,
    or any folder of images and labels whose names --images and --labels describe, or --list lists. It is not changed.
    What is written is a dataset of nnU-Net v2: dataset.json with channel_names, labels by name, one file a channel. It
    is there as a whole or not at all.

    In a pattern {case} stands for the name of the case, {channel} for that of the channel, * for anything; any other
    word in braces, such as {session}, becomes part of the case's name. Sub-folders are written as they are: BIDS is
    'sub-{case}/anat/sub-{case}_{channel}.nii.gz'.
    """
    bring = _source(source, described)
    if not bring.is_named:
        _refuse_without_names(described)
    how: dict[str, Any] = {
        "name": name,
        "dataset_id": dataset_id,
        "link": cast("Link", link),
        "compress": described["compress"],
    }
    settings = project_settings(project)
    if dry_run:
        with TerminalProgress() as progress:
            looked = workflow.import_dry_run(settings, bring, progress, **how)
        click.echo("\n".join(looked.in_words()))
        return
    with TerminalProgress() as progress:
        imported = workflow.import_dataset(settings, bring, progress, **how)
    click.echo(f"{imported.name}: {imported.n_training} training and {imported.n_test} test cases in {imported.folder}")
    for change in imported.changes:
        click.echo(f"  {change}")


def _source(folder: Path, described: dict[str, Any]) -> workflow.Source:
    return workflow.Source(
        folder,
        images=described["images"],
        labels=described["labels"],
        test_images=described["test_images"],
        table=described["table"],
        channels=described["channels"],
        label_values=_labels(described["label_options"], described["label_names"]),
    )


def _refuse_without_names(described: dict[str, Any]) -> None:
    flags = {"channels": "--channel", "label_options": "--label", "label_names": "--label-names"}
    given = [flags.get(key, f"--{key.replace('_', '-')}") for key, value in described.items() if value]
    if given:
        raise ConfigError(
            f"{', '.join(given)} need --images or --list. Without one of them, SOURCE is a folder of the Decathlon or "
            "of nnU-Net v1, whose dataset.json says all that."
        )


def _labels(options: Sequence[str], file: Path | None) -> dict[str, Any] | None:
    """Returns `labels` as dataset.json has them; None where nothing is said."""
    if options and file:
        raise ConfigError("--label and --label-names both name the labels. Give one of the two.")
    if file:
        return labels_from_file(file)
    labels: dict[str, int] = {}
    for option in options:
        label_name, equals, value = option.rpartition("=")
        if not equals or not label_name or not re.fullmatch("[0-9]{1,5}", value):
            raise ConfigError(f"--label is {option!r}. It must be a name, = and a whole number, such as background=0.")
        if label_name in labels:
            raise ConfigError(f"--label names {label_name!r} twice.")
        labels[label_name] = int(value)
    return {"labels": labels} if labels else None
