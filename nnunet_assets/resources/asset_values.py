"""`nnunet_values`: loads the value of this package's assets for whoever takes one as an input, from the files on disk.

Nothing is stored with it: an asset has written its files before its value is handed on. So a value is what is on the
disk when it is asked for, whichever run made it, or none (folds that were adopted), and no pickle lies anywhere.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import dagster as dg

from nnunet_assets.core.text.redaction import redacted
from nnunet_assets.errors import NnunetAssetsError, first_offenders
from nnunet_assets.resources.mlflow import MLFLOW_KEY, PROJECT_KEY, destination_of
from nnunet_assets.settings import Settings
from nnunet_assets.tracking.store.destination import Destination
from nnunet_assets.workflows.values.asset_values import AssetPlace, is_readable, read_fold, read_folds, read_value

VALUES_KEY = "nnunet_values"


class AssetValues(dg.IOManager):
    """Reads what assets of this package made; an asset of another one needs another IO manager.

    Args:
        settings: Of the project.
        destination: Where its MLflow runs and registered models are.
    """

    def __init__(self, settings: Settings, destination: Destination) -> None:
        self._settings, self._destination = settings, destination

    def handle_output(self, context: dg.OutputContext, _value: object) -> None:
        """Does nothing: the files are written.

        Raises:
            DagsterInvalidDefinitionError: The asset is none of this package's, so that nobody would find its value.
        """
        if not is_readable(context.asset_key.path):
            raise dg.DagsterInvalidDefinitionError(
                f"{context.asset_key.to_user_string()} has the IO manager {VALUES_KEY!r}, which stores nothing: it "
                "reads the files of nnunet_assets' own assets. Give yours another one, or leave `io_manager_key` away."
            )

    def load_input(self, context: dg.InputContext) -> Any:
        """Returns the value of an asset; of folds the one that is asked for, or those that are finished, by name."""
        place = AssetPlace(self._settings, context.asset_key.path, self._destination)
        with _shown_as_failure():
            if not context.has_asset_partitions:
                return read_value(place)
            folds = context.asset_partition_keys
            # A partition that depends on the same one of the folds wants it alone; whoever takes all, what is there.
            if context.has_partition_key and len(folds) == 1:
                return read_fold(place, folds[0])
            found = read_folds(place, folds)
        if missing := [fold for fold in folds if fold not in found]:
            context.log.warning(f"{first_offenders(missing)} of {context.asset_key.to_user_string()}: not finished.")
        return found


@dg.io_manager(
    required_resource_keys={PROJECT_KEY, MLFLOW_KEY},
    description="Loads the values of nnunet_assets' assets from their files.",
)
def asset_values(context: dg.InitResourceContext) -> AssetValues:
    """Returns the IO manager of a project."""
    settings = getattr(context.resources, PROJECT_KEY).settings
    return AssetValues(settings, destination_of(getattr(context.resources, MLFLOW_KEY), settings))


@contextmanager
def _shown_as_failure() -> Iterator[None]:
    """Turns an error into one sentence: trying again finds the same files."""
    try:
        yield
    except NnunetAssetsError as error:
        raise dg.Failure(redacted(str(error)), allow_retries=False) from None
