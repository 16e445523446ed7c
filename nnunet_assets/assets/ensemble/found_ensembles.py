"""`found_ensembles`: the ensembles of a dataset's experiments that nobody declares, to be chosen from."""

from collections.abc import Sequence

import dagster as dg

from nnunet_assets.assets.events.failures import shown_as_failure
from nnunet_assets.assets.events.progress import LogProgress
from nnunet_assets.assets.events.tables import shown_table
from nnunet_assets.assets.types import CV_SUMMARIES
from nnunet_assets.core.files.digests import json_sha256
from nnunet_assets.core.files.layout import TRAINING_POOL, Experiment, dataset_key
from nnunet_assets.declarations.config import DatasetConfig
from nnunet_assets.declarations.project import Project
from nnunet_assets.processes.variables import FOLDS_AT_ONCE_VARIABLE
from nnunet_assets.project_folder.instance_state import pool_limit_of
from nnunet_assets.reports.text.escaping import escape_markdown
from nnunet_assets.resources.asset_values import VALUES_KEY
from nnunet_assets.resources.mlflow import destination_of
from nnunet_assets.resources.project_folder import ProjectResource
from nnunet_assets.workflows.model.found_ensembles import FoundEnsembles, make_found_ensembles
from nnunet_assets.workflows.values.asset_values import AssetPlace, read_value

NAME = "found_ensembles"

DESCRIPTION = """Every ensemble of up to {max_members} of the dataset's experiments, beside those that are declared, for
`best_configuration` to choose from.

It predicts: each member predicts the validation cases of its folds again, each case once for all ensembles, which takes
about as long as these validations took, and large probabilities lie on the disk meanwhile. What is there already, of
members that did not change, costs nothing. {when} `found_ensembles` of the dataset says how many members, and when;
`max_members: 1` means none."""

BY_HAND = "Nothing makes it by itself: materialize it when the experiments are finished."
BY_ITSELF = "It is made by itself, once all folds of the experiments are finished, and again when one changes."


def found_ensembles_key(dataset: str) -> dg.AssetKey:
    """Returns the key of the ensembles of a dataset's experiments that nobody declares."""
    return dg.AssetKey(dataset_key(dataset, NAME))


def build_found_ensembles(
    *, config: DatasetConfig, experiments: Sequence[Experiment], project: Project, group: str
) -> dg.AssetsDefinition:
    """Returns the asset of one dataset.

    Args:
        experiments: The dataset's, at least two.
        project: All declarations, as they were when the definitions were loaded.
    """
    wanted, declared = config.ensembles_to_find, project

    @dg.asset(
        key=found_ensembles_key(config.dataset),
        deps=[dg.AssetKey([*experiment.key_prefix, "cv_summary"]) for experiment in experiments],
        group_name=group,
        dagster_type=CV_SUMMARIES,
        io_manager_key=VALUES_KEY,
        kinds={"pytorch", "json"},
        owners=config.owners,
        description=DESCRIPTION.format(max_members=wanted.max_members, when=BY_ITSELF if wanted.automatic else BY_HAND),
        code_version=f"1-{wanted.max_members}",
        pool=TRAINING_POOL,
    )
    def found_ensembles(
        context: dg.AssetExecutionContext, project: ProjectResource, mlflow: dg.ResourceParam[object]
    ) -> dg.MaterializeResult:
        settings = project.settings
        with shown_as_failure():
            found = make_found_ensembles(
                settings,
                declared,
                config.dataset,
                LogProgress(context.log),
                # As for a fold: whoever trains beside it shares the processors with it.
                environment={
                    FOLDS_AT_ONCE_VARIABLE: str(pool_limit_of(context.instance) or 1),
                    **settings.child_environment(),
                },
                destination=destination_of(mlflow, settings),
                dagster_run_id=context.run.run_id,
            )
        context.log.info(found.headline())
        return dg.MaterializeResult(
            value=read_value(AssetPlace(settings, found_ensembles_key(config.dataset).path, declared=declared)),
            data_version=dg.DataVersion(json_sha256(found.digests)),
            metadata=_shown(found),
        )

    return found_ensembles


def _shown(found: FoundEnsembles) -> dict[str, dg.MetadataValue]:
    rows: list[dict[str, str | int | float | bool | None]] = [
        {"ensemble": name, "members": ", ".join(one.name_in_dataset for one in of), "made now": name in found.made}
        for name, of in found.members.items()
    ]
    reasons = [f"- {escape_markdown(f'{name}: {reason}')}" for name, reason in found.unfit.items()]
    return {
        "headline": dg.MetadataValue.text(found.headline()),
        "n_ensembles": dg.MetadataValue.int(len(rows)),
        "cases_predicted": dg.MetadataValue.int(found.n_predicted),
        **({"ensembles": shown_table(rows)} if rows else {}),
        **({"not_made": dg.MetadataValue.md("\n".join(reasons))} if reasons else {}),
    }
