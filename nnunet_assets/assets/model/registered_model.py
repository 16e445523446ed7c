"""`registered_model`: a model in MLflow's registry, and the gate before its alias `champion`."""

import dagster as dg

from nnunet_assets.assets.events.failures import shown_as_failure
from nnunet_assets.assets.events.progress import LogProgress
from nnunet_assets.assets.fold.partitions import ensemble_key, fold_model_key
from nnunet_assets.assets.types import REGISTERED_VERSION
from nnunet_assets.core.files.layout import Experiment, dataset_key
from nnunet_assets.core.registry.gate import RULES, Verdict
from nnunet_assets.core.text.amounts import bytes_text
from nnunet_assets.declarations.config import DatasetConfig, ExperimentConfig
from nnunet_assets.declarations.ensemble_config import EnsembleConfig
from nnunet_assets.declarations.project import Project
from nnunet_assets.resources.asset_values import VALUES_KEY
from nnunet_assets.resources.mlflow import destination_of
from nnunet_assets.resources.project_folder import ProjectResource
from nnunet_assets.workflows.registry.register import Registered
from nnunet_assets.workflows.registry.register_declared import register_declared

DESCRIPTION = """A version of the model in MLflow's registry, packed so that it predicts anywhere.

What was registered last is called `challenger` at once. It becomes `champion` only where every check of the gate
passes: all folds finished and of one training, a bare process predicts with the version exactly what the folds predict,
and it is not worse than the champion by more than the declared margin, case by case. Whoever fails stays challenger,
with the reason here and on the version; a champion is never taken away, and `nnunet-assets promote` decides otherwise.
What did not change since is not registered twice."""

OF_SELECTION = """What `best_configuration` chose last: a model or an ensemble, with the postprocessing that it earned
and the Dice that it may be expected to score."""


def registered_key(experiment: Experiment) -> dg.AssetKey:
    """Returns the key of an experiment's registered model; one that asks for none has none."""
    return dg.AssetKey([*experiment.key_prefix, "registered_model"])


def build_registered_model(
    *, config: ExperimentConfig | EnsembleConfig | DatasetConfig, declared: Project, group: str
) -> dg.AssetsDefinition:
    """Returns the asset of an experiment or ensemble that asks for a registered model, or of a dataset for its best."""
    if isinstance(config, DatasetConfig):
        key = dg.AssetKey(dataset_key(config.dataset, "registered_model"))
        description = f"{DESCRIPTION}\n\n{OF_SELECTION}"
    else:
        key, description = registered_key(config.identity), DESCRIPTION

    @dg.asset(
        key=key,
        deps=_packed(config),
        group_name=group,
        dagster_type=REGISTERED_VERSION,
        io_manager_key=VALUES_KEY,
        kinds={"pytorch", "mlflow"},
        owners=config.owners,
        description=description,
        code_version="1",
        check_specs=[dg.AssetCheckSpec(rule, asset=key, description=text) for rule, text in RULES.items()],
    )
    def registered_model(
        context: dg.AssetExecutionContext, project: ProjectResource, mlflow: dg.ResourceParam[object]
    ) -> dg.MaterializeResult:
        settings = project.settings
        with shown_as_failure():
            registered = register_declared(
                settings,
                declared,
                config,
                destination_of(mlflow, settings),
                progress=LogProgress(context.log),
                dagster_run_id=context.run.run_id,
            )
        return dg.MaterializeResult(
            value=registered.version,
            data_version=dg.DataVersion(registered.version.digest),
            metadata=registered_metadata(registered),
            check_results=[check_result(verdict) for verdict in registered.verdicts],
        )

    return registered_model


def _packed(config: ExperimentConfig | EnsembleConfig | DatasetConfig) -> list[dg.AssetKey]:
    if isinstance(config, DatasetConfig):
        return [dg.AssetKey(dataset_key(config.dataset, "best_configuration"))]
    summary = dg.AssetKey([*config.identity.key_prefix, "cv_summary"])
    if isinstance(config, EnsembleConfig):
        return [ensemble_key(config.identity), summary]
    if config.register_full_model:
        return [fold_model_key(config.identity), dg.AssetKey([*config.identity.key_prefix, "full_model"]), summary]
    # Where the raw data have changed, the gate compares on the test set.
    tested = [dg.AssetKey([*config.identity.key_prefix, "test_predictions"])] if config.test_set else []
    return [fold_model_key(config.identity), *tested, summary]


def registered_metadata(registered: Registered) -> dict[str, dg.MetadataValue]:
    """Returns what Dagster shows of a version."""
    version = registered.version
    before = registered.champion_before
    return {
        "headline": dg.MetadataValue.text(registered.headline()),
        "model": dg.MetadataValue.text(version.name),
        "version": dg.MetadataValue.int(version.version),
        "address": dg.MetadataValue.text(version.address),
        "aliases": dg.MetadataValue.text(", ".join(version.aliases)),
        "digest": dg.MetadataValue.text(version.digest),
        **(
            {
                "size": dg.MetadataValue.text(bytes_text(version.size_bytes)),
                "size_bytes": dg.MetadataValue.int(version.size_bytes),
            }
            if version.size_bytes
            else {}
        ),
        **{name: dg.MetadataValue.text(text) for name, text in version.numbers.items()},
        **({"mlflow_model": dg.MetadataValue.url(version.url)} if version.url else {}),
        **({"champion_before": dg.MetadataValue.int(before.version)} if before else {}),
    }


def check_result(verdict: Verdict) -> dg.AssetCheckResult:
    """Returns a verdict of the gate as Dagster shows it; a challenger is no failure of a run."""
    return dg.AssetCheckResult(
        check_name=verdict.rule,
        passed=verdict.passed,
        severity=dg.AssetCheckSeverity.WARN,
        description=verdict.sentence,
        metadata={
            name: dg.MetadataValue.int(number) if isinstance(number, int) else dg.MetadataValue.float(number)
            for name, number in verdict.numbers.items()
        },
    )
