"""`full_model`: one model trained on every case, for use after the cross-validation has said how good it will be."""

import dagster as dg

from nnunet_assets.assets.fold.fold_model import FoldRunConfig, materialize_fold, model_deps
from nnunet_assets.assets.fold.queued import queued_as
from nnunet_assets.assets.types import FINISHED_FOLD
from nnunet_assets.core.files.layout import FULL_FOLD, TRAINING_POOL, Experiment
from nnunet_assets.declarations.config import ExperimentConfig
from nnunet_assets.resources.asset_values import VALUES_KEY
from nnunet_assets.resources.project_folder import ProjectResource

DESCRIPTION = """One model trained on every case, in nnU-Net's own folder `fold_all`.

It has no validation cases: nnU-Net scores it on cases that it was trained on, so no Dice is shown, and it is no part of
the cross-validation's summary, which says how well models trained in this way do on new cases."""


def full_model_key(experiment: Experiment) -> dg.AssetKey:
    """Returns the key of an experiment's model of every case."""
    return dg.AssetKey([*experiment.key_prefix, "full_model"])


def build_full_model(
    *, config: ExperimentConfig, previous: Experiment | None, group: str, pool: str = TRAINING_POOL
) -> dg.AssetsDefinition:
    """Returns the asset of one experiment; arguments as for `build_fold_model`."""
    declared, training_hash = config, config.training_hash()

    @dg.asset(
        key=full_model_key(config.identity),
        deps=[*model_deps(config, previous), *([full_model_key(config.continued)] if config.continued else [])],
        group_name=group,
        dagster_type=FINISHED_FOLD,
        io_manager_key=VALUES_KEY,
        kinds={"pytorch", "mlflow"},
        owners=config.owners,
        description="\n\n".join(filter(None, [config.description, DESCRIPTION])),
        code_version=training_hash[:16],
        op_tags=queued_as(training_hash),
        pool=pool,
    )
    def full_model(
        context: dg.AssetExecutionContext,
        config: FoldRunConfig,
        project: ProjectResource,
        mlflow: dg.ResourceParam[object],
    ) -> dg.MaterializeResult:
        return materialize_fold(context, declared, FULL_FOLD, config, project=project, mlflow=mlflow)

    return full_model
