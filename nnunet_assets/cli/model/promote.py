"""`promote`: a version becomes the champion of its model."""

from pathlib import Path

import click

from nnunet_assets.cli.project_option import project_option
from nnunet_assets.settings import project_settings
from nnunet_assets.tracking.store.destination import Destination
from nnunet_assets.workflows.registry.registered_models import promote_version


@click.command()
@click.argument("name")
@click.argument("version", type=click.IntRange(min=1))
@click.option("--force", metavar="WHY", help="Promote it although the gate does not let it; kept with the version.")
@click.option("--tracking-uri", help="Another MLflow server or store than the project's own.")
@project_option
def promote(name: str, version: int, *, force: str | None, tracking_uri: str | None, project: Path) -> None:
    """Make VERSION of the model NAME its champion, which `models:/NAME@champion` means from then on.

    What passed the gate, and is not worse than today's champion, is promoted as it is; anything else needs --force with
    the reason. Who forced it, why and when stands on the version in MLflow. The champion before keeps its number.
    """
    settings = project_settings(project)
    promoted = promote_version(settings, Destination.of(settings, tracking_uri), name, version, force=force)
    click.echo(f"{promoted.address} is the champion: models:/{name}@champion.")
    if promoted.url:
        click.echo(promoted.url)
