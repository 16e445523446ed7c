"""On which engine an experiment's folds train, by what the project and the experiment declare."""

from nnunet_assets.declarations.config import ExperimentConfig
from nnunet_assets.declarations.engine_file import declared_engine
from nnunet_assets.engines.engine import Engine
from nnunet_assets.engines.job_watch import Note
from nnunet_assets.engines.local import LOCAL
from nnunet_assets.engines.named import engine_named
from nnunet_assets.settings import Settings


def chosen_engine(
    settings: Settings, config: ExperimentConfig, *, device: str | None = None, note: Note = lambda *_: None
) -> Engine:
    """Returns the engine; the declaration of the project's is read anew.

    Args:
        settings: Where the project keeps its things.
        config: The experiment.
        device: What one run asks for; None: as declared.
        note: Takes a job's id and how it is, at each change.

    Raises:
        ConfigError: As `declared_engine`.
    """
    declared = declared_engine(settings.project, config)
    resources = declared.resources(device=device or config.device, num_gpus=config.num_gpus)
    return engine_named(declared.chosen, resources, settings.cluster_environment(), note)


def is_trained_here(engine: Engine) -> bool:
    """Says whether the devices and the processors of this machine are those that a fold trains on."""
    return engine.name == LOCAL.name
