"""What the project's Dagster instance recorded: the one thing that the commands for results need Dagster for.

Imported where somebody asks for it.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from nnunet_assets.assets.fold.recorded_folds import DagsterRecord
from nnunet_assets.core.summary.cv_groups import CvRecord
from nnunet_assets.errors import ConfigError
from nnunet_assets.project_folder.opened_instance import open_instance
from nnunet_assets.settings import Settings


@contextmanager
def dagster_record(settings: Settings) -> Iterator[CvRecord]:
    """Yields the record of the project's instance.

    Raises:
        ConfigError: There is none.
    """
    home = settings.dagster_home
    if not home.is_dir():
        raise ConfigError(f"Dagster recorded nothing yet: {home} is not there. Name the project with --project.")
    with open_instance(settings.project) as instance:
        yield DagsterRecord(instance, settings.roots)
