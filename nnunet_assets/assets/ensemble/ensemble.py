"""`ensemble`: the mean of the probabilities of several experiments, scored on the validation cases of each fold."""

from collections.abc import Sequence

import dagster as dg

from nnunet_assets.assets.events.failures import shown_as_failure
from nnunet_assets.assets.events.progress import LogProgress
from nnunet_assets.assets.fold.fold_metadata import plotted
from nnunet_assets.assets.fold.partitions import ensemble_key, fold_model_key
from nnunet_assets.assets.fold.recorded_folds import COMMITS_METADATA
from nnunet_assets.assets.types import FOLD_RESULTS
from nnunet_assets.core.files.digests import json_sha256
from nnunet_assets.core.files.layout import TRAINING_POOL, Experiment
from nnunet_assets.core.summary.cross_validation import FoldResult
from nnunet_assets.declarations.ensemble_config import EnsembleConfig
from nnunet_assets.processes.variables import FOLDS_AT_ONCE_VARIABLE
from nnunet_assets.project_folder.instance_state import pool_limit_of
from nnunet_assets.resources.asset_values import VALUES_KEY
from nnunet_assets.resources.project_folder import ProjectResource
from nnunet_assets.workflows.model.ensemble import MadeEnsemble, make_ensemble

DESCRIPTION = """An ensemble of experiments: the mean of their probabilities, a mask of it for each validation case, and
its scores.

Of each fold, every member predicts its validation cases with the checkpoint by which it was validated; no model sees a
case that it was trained on. Members may be of different configurations, plans, trainers and variants, on the same data,
splits and labels. The probabilities are made for this and removed afterwards. Only folds of which a member changed are
made again. What is scored is read like an experiment: summary, tables, evaluation, comparison and selection."""


def build_ensemble(
    *, config: EnsembleConfig, members: Sequence[Experiment], folds: Sequence[str], group: str
) -> dg.AssetsDefinition:
    """Returns the asset of one ensemble of declared experiments."""
    ensemble = config.identity

    @dg.asset(
        key=ensemble_key(ensemble),
        deps=[fold_model_key(member) for member in members],
        group_name=group,
        dagster_type=FOLD_RESULTS,
        io_manager_key=VALUES_KEY,
        kinds={"pytorch", "json"},
        owners=config.owners,
        description="\n\n".join(filter(None, [DESCRIPTION, config.description])),
        code_version=f"1-{json_sha256([member.name_in_dataset for member in members])[:16]}",
        pool=TRAINING_POOL,
    )
    def made_ensemble(context: dg.AssetExecutionContext, project: ProjectResource) -> dg.MaterializeResult:
        settings = project.settings
        with shown_as_failure():
            made = make_ensemble(
                settings,
                config.dataset,
                members,
                config.name,
                LogProgress(context.log),
                folds=folds,
                device=config.device,
                keeps_probabilities=config.keep_probabilities,
                # As for a fold: whoever trains beside it shares the processors with it.
                environment={
                    FOLDS_AT_ONCE_VARIABLE: str(pool_limit_of(context.instance) or 1),
                    **settings.child_environment(),
                },
            )
        context.log.info(made.headline())
        return dg.MaterializeResult(
            value={fold.fold: FoldResult.of(fold) for fold in made.summary.folds},
            data_version=dg.DataVersion(made.made.digest),
            metadata=_shown(made),
        )

    return made_ensemble


def _shown(made: MadeEnsemble) -> dict[str, dg.MetadataValue]:
    mean = made.summary.foreground.dice.pooled.mean
    return {
        "headline": dg.MetadataValue.text(made.headline()),
        **({} if mean is None else {"dice_mean_pooled": plotted(mean)}),
        "members": dg.MetadataValue.json([member.name_in_dataset for member in made.members]),
        "n_members": dg.MetadataValue.int(len(made.members)),
        "validation_cases": dg.MetadataValue.int(made.summary.n_cases),
        "folds_made": dg.MetadataValue.text(", ".join(made.made_folds) or "none: all were there"),
        "cases_predicted": dg.MetadataValue.int(made.n_predicted),
        COMMITS_METADATA: dg.MetadataValue.json({fold.fold: fold.commit_sha256 for fold in made.summary.folds}),
        "folder": dg.MetadataValue.path(made.folder),
    }
