"""The graph that a project's declarations become, as a person would check it in a review."""

import dagster as dg
import pytest

from nnunet_assets.declarations.config import DatasetConfig, ExperimentConfig
from nnunet_assets.declarations.sections.engine_config import EngineConfig
from nnunet_assets.declarations.sections.variant_config import VariantConfig
from nnunet_assets_tests.assets.graphs import declared, graph

HIPPOCAMPUS = "Dataset004_Hippocampus"
RESENC = "nnUNetResEncUNetLPlans"

SHORT = ExperimentConfig(
    dataset=HIPPOCAMPUS,
    configuration="3d_fullres",
    folds=[2, 0],
    owners=["team:imaging"],
    description="Is it worth the time?",
    variant=VariantConfig(name="short", num_epochs=5),
)
PROJECT = declared(
    [DatasetConfig(dataset=HIPPOCAMPUS, owners=["data@example.org"]), DatasetConfig(dataset="Dataset005_Prostate")],
    [SHORT, ExperimentConfig(dataset=HIPPOCAMPUS, configuration="2d", plans=RESENC)],
)

SNAPSHOT = """
Dataset004_Hippocampus/best_configuration
    from short/nnUNetTrainer__nnUNetPlans__3d_fullres/cv_summary, nnUNetTrainer__nnUNetResEncUNetLPlans__2d/cv_summary, found_ensembles | group Dataset004_Hippocampus | json, mlflow, table | data@example.org
Dataset004_Hippocampus/case_list
    from nothing | group Dataset004_Hippocampus | dataset | data@example.org | step Dataset004_Hippocampus__raw_dataset
Dataset004_Hippocampus/comparison
    from short/nnUNetTrainer__nnUNetPlans__3d_fullres/cv_summary, nnUNetTrainer__nnUNetResEncUNetLPlans__2d/cv_summary | group Dataset004_Hippocampus | json, mlflow, table | data@example.org
Dataset004_Hippocampus/dataset_report
    from comparison, best_configuration | group Dataset004_Hippocampus | html | data@example.org
Dataset004_Hippocampus/found_ensembles
    from short/nnUNetTrainer__nnUNetPlans__3d_fullres/cv_summary, nnUNetTrainer__nnUNetResEncUNetLPlans__2d/cv_summary | group Dataset004_Hippocampus | json, pytorch | data@example.org | pool nnunet_training
Dataset004_Hippocampus/nnUNetResEncUNetLPlans/preprocessed_plans
    from raw_dataset | group Dataset004_Hippocampus | json, numpy | data@example.org
Dataset004_Hippocampus/nnUNetTrainer__nnUNetResEncUNetLPlans__2d/cv_evaluation
    from fold_model | group ResEncUNetLPlans_2d/Dataset004_Hippocampus | csv, parquet | nobody
Dataset004_Hippocampus/nnUNetTrainer__nnUNetResEncUNetLPlans__2d/cv_figures
    from cv_evaluation, cv_summary | group ResEncUNetLPlans_2d/Dataset004_Hippocampus | png, svg | nobody
Dataset004_Hippocampus/nnUNetTrainer__nnUNetResEncUNetLPlans__2d/cv_report
    from cv_evaluation, cv_figures, cv_summary | group ResEncUNetLPlans_2d/Dataset004_Hippocampus | html | nobody
Dataset004_Hippocampus/nnUNetTrainer__nnUNetResEncUNetLPlans__2d/cv_summary
    from fold_model | group ResEncUNetLPlans_2d/Dataset004_Hippocampus | json, mlflow | nobody
Dataset004_Hippocampus/nnUNetTrainer__nnUNetResEncUNetLPlans__2d/cv_tables
    from cv_summary | group ResEncUNetLPlans_2d/Dataset004_Hippocampus | csv, parquet, table | nobody
Dataset004_Hippocampus/nnUNetTrainer__nnUNetResEncUNetLPlans__2d/fold_model
    from nnUNetResEncUNetLPlans/preprocessed_plans, splits | group ResEncUNetLPlans_2d/Dataset004_Hippocampus | mlflow, pytorch | nobody | fold_0 fold_1 fold_2 fold_3 fold_4 | pool nnunet_training
Dataset004_Hippocampus/preprocessed_plans
    from raw_dataset | group Dataset004_Hippocampus | json, numpy | data@example.org
Dataset004_Hippocampus/raw_dataset
    from nothing | group Dataset004_Hippocampus | dataset, file | data@example.org | step Dataset004_Hippocampus__raw_dataset
Dataset004_Hippocampus/short/nnUNetTrainer__nnUNetPlans__3d_fullres/cv_evaluation
    from fold_model | group short_3d_fullres/Dataset004_Hippocampus | csv, parquet | team:imaging
Dataset004_Hippocampus/short/nnUNetTrainer__nnUNetPlans__3d_fullres/cv_figures
    from cv_evaluation, cv_summary | group short_3d_fullres/Dataset004_Hippocampus | png, svg | team:imaging
Dataset004_Hippocampus/short/nnUNetTrainer__nnUNetPlans__3d_fullres/cv_report
    from cv_evaluation, cv_figures, cv_summary | group short_3d_fullres/Dataset004_Hippocampus | html | team:imaging
Dataset004_Hippocampus/short/nnUNetTrainer__nnUNetPlans__3d_fullres/cv_summary
    from fold_model | group short_3d_fullres/Dataset004_Hippocampus | json, mlflow | team:imaging
Dataset004_Hippocampus/short/nnUNetTrainer__nnUNetPlans__3d_fullres/cv_tables
    from cv_summary | group short_3d_fullres/Dataset004_Hippocampus | csv, parquet, table | team:imaging
Dataset004_Hippocampus/short/nnUNetTrainer__nnUNetPlans__3d_fullres/fold_model
    from preprocessed_plans, splits | group short_3d_fullres/Dataset004_Hippocampus | mlflow, pytorch | team:imaging | fold_0 fold_2 | pool nnunet_training
Dataset004_Hippocampus/splits
    from case_list | group Dataset004_Hippocampus | json | data@example.org
Dataset005_Prostate/case_list
    from nothing | group Dataset005_Prostate | dataset | nobody | step Dataset005_Prostate__raw_dataset
Dataset005_Prostate/raw_dataset
    from nothing | group Dataset005_Prostate | dataset, file | nobody | step Dataset005_Prostate__raw_dataset
Dataset005_Prostate/splits
    from case_list | group Dataset005_Prostate | json | nobody
"""  # noqa: E501 (one asset a line reads better than a table)


def snapshot(definitions: dg.Definitions) -> str:
    """Returns two lines an asset: its key; where it comes from, its group, kinds, owners, partitions and pool."""
    text = ""
    assets = [asset for asset in definitions.assets or [] if isinstance(asset, dg.AssetsDefinition)]
    specs = [(spec, asset) for asset in assets for spec in asset.specs]
    for spec, asset in sorted(specs, key=lambda one: one[0].key.to_user_string()):
        prefix = "/".join(spec.key.path[:-1]) + "/"
        parts = [
            "from " + (", ".join(_near(dep.asset_key, prefix) for dep in spec.deps) or "nothing"),
            f"group {spec.group_name}",
            ", ".join(sorted(spec.kinds)),
            ", ".join(spec.owners) or "nobody",
        ]
        if spec.partitions_def:
            parts.append(" ".join(spec.partitions_def.get_partition_keys()))
        if asset.op.pool:
            parts.append(f"pool {asset.op.pool}")
        if len(list(asset.specs)) > 1:
            parts.append(f"step {asset.op.name}")
        text += f"{spec.key.to_user_string()}\n    {' | '.join(parts)}\n"
    return "\n" + text


def _near(key: dg.AssetKey, prefix: str) -> str:
    """Returns a key as it is called within its dataset or experiment."""
    return key.to_user_string().removeprefix(prefix).removeprefix(f"{key.path[0]}/")


def key_of(config: ExperimentConfig, name: str) -> dg.AssetKey:
    return dg.AssetKey([*config.identity.key_prefix, name])


def spec_of(config: ExperimentConfig, name: str, *others: ExperimentConfig) -> dg.AssetSpec:
    project = declared([DatasetConfig(dataset=HIPPOCAMPUS)], [config, *others])
    return graph(project).resolve_assets_def(key_of(config, name)).get_asset_spec()


def test_two_datasets_and_two_experiments_are_one_graph() -> None:
    assert snapshot(graph(PROJECT)) == SNAPSHOT


def test_the_graph_is_one_that_dagster_takes() -> None:
    dg.Definitions.validate_loadable(graph(PROJECT))


def test_every_asset_and_check_says_what_it_is() -> None:
    for asset in graph(PROJECT).get_repository_def().assets_defs_by_key.values():
        assert all(spec.description and spec.code_version for spec in asset.specs)
        assert all(check.description for check in asset.check_specs)


def test_the_description_of_an_experiment_heads_that_of_its_folds() -> None:
    description = str(spec_of(SHORT, "fold_model").description)
    assert description.startswith("Is it worth the time?\n\nOne trained and validated model a fold")


@pytest.mark.parametrize(
    ("changes", "is_same"),
    [
        ({"description": "", "owners": [], "folds": [1], "device": "cpu"}, True),
        ({"num_gpus": 2, "npz": True, "time_budget_minutes": 60.0, "full_model": True}, True),
        ({"variant": VariantConfig(name="short", num_epochs=6)}, False),
        ({"variant": None}, False),
        ({"configuration": "2d"}, False),
        ({"trainer": "nnUNetTrainerDA5"}, False),
    ],
    ids=["what does not train", "what trains the same", "epochs", "no variant", "configuration", "trainer"],
)
def test_the_code_version_of_a_fold_is_what_it_is_trained_by(changes: dict[str, object], is_same: bool) -> None:
    before = spec_of(SHORT, "fold_model").code_version
    after = spec_of(SHORT.model_copy(update=changes), "fold_model").code_version
    assert (before == after) is is_same


def test_the_code_version_of_plans_is_who_makes_them_and_for_what() -> None:
    plans = graph(PROJECT).resolve_assets_def(dg.AssetKey([HIPPOCAMPUS, RESENC, "preprocessed_plans"]))
    assert str(plans.get_asset_spec().code_version).endswith(", nnUNetPlannerResEncL: 2d")
    assert str(plans.get_asset_spec().code_version).startswith("nnunetv2 ")


def test_only_the_check_of_the_raw_data_stops_what_follows() -> None:
    checks = [check for asset in graph(PROJECT).assets or [] for check in asset.check_specs]  # type: ignore[union-attr]
    assert {check.name for check in checks if check.blocking} == {"is_consistent"}


def test_folds_on_plans_derived_for_their_variant_follow_from_the_plans_that_are_declared() -> None:
    sized = SHORT.model_copy(update={"variant": VariantConfig(name="short", batch_size=4)})
    folds = spec_of(sized, "fold_model")

    assert folds.key.path[-2].endswith("__nnUNetPlans_bs4__3d_fullres")
    assert "preprocessed_plans" in [dep.asset_key.path[-1] for dep in folds.deps]


def test_a_fold_depends_on_the_fold_of_its_number_that_it_continues() -> None:
    variant = VariantConfig(name="longer", continues="short", num_epochs=500)
    longer = SHORT.model_copy(update={"variant": variant, "full_model": True})
    parent = SHORT.model_copy(update={"full_model": True})
    folds, full = (spec_of(longer, name, parent) for name in ("fold_model", "full_model"))

    (continued,) = [dep for dep in folds.deps if dep.asset_key.path[-1] == "fold_model"]
    assert "short" in continued.asset_key.path
    assert isinstance(continued.partition_mapping, dg.IdentityPartitionMapping)
    assert [dep.asset_key.path[1] for dep in full.deps if dep.asset_key.path[-1] == "full_model"] == ["short"]
    assert folds.code_version != spec_of(SHORT, "fold_model").code_version


def test_a_full_model_is_declared_beside_the_folds_and_needs_no_split() -> None:
    full = spec_of(SHORT.model_copy(update={"full_model": True}), "full_model")

    assert [dep.asset_key.path[-1] for dep in full.deps] == ["preprocessed_plans"]
    assert full.partitions_def is None
    assert full.code_version == spec_of(SHORT, "fold_model").code_version
    with pytest.raises(Exception, match="full_model"):
        spec_of(SHORT, "full_model")


def test_folds_in_jobs_have_a_pool_of_their_own_and_what_computes_here_keeps_its() -> None:
    dataset = DatasetConfig(dataset=HIPPOCAMPUS)
    engine = EngineConfig(kind="slurm")
    config = SHORT.model_copy(update={"engine": engine, "full_model": True, "test_set": True})
    assets = graph(declared([dataset], [config])).resolve_asset_graph()
    pools = {node.key.path[-1]: node.pools for node in assets.asset_nodes}
    assert pools["fold_model"] == pools["full_model"] == {"nnunet_jobs"}
    assert pools["test_predictions"] == {"nnunet_training"}


def test_a_full_model_is_no_part_of_the_summary() -> None:
    summary = spec_of(SHORT.model_copy(update={"full_model": True}), "cv_summary")
    assert [dep.asset_key.path[-1] for dep in summary.deps] == ["fold_model"]


def test_a_test_set_is_predicted_where_it_is_declared_and_on_the_device_of_a_fold() -> None:
    definitions = graph(declared([DatasetConfig(dataset=HIPPOCAMPUS)], [SHORT.model_copy(update={"test_set": True})]))
    predictions = definitions.resolve_assets_def(key_of(SHORT, "test_predictions"))

    deps = [dep.asset_key.path[-1] for dep in predictions.get_asset_spec().deps]
    assert sorted(deps) == ["cv_evaluation", "fold_model"]
    assert predictions.op.pool == "nnunet_training"
    assert predictions.get_asset_spec().partitions_def is None
    with pytest.raises(Exception, match="test_predictions"):
        spec_of(SHORT, "test_predictions")


def test_a_cascade_predicts_the_test_set_after_the_stage_before_it() -> None:
    lowres = ExperimentConfig(dataset=HIPPOCAMPUS, configuration="3d_lowres", test_set=True)
    cascade = lowres.model_copy(update={"configuration": "3d_cascade_fullres"})
    assets = graph(declared([DatasetConfig(dataset=HIPPOCAMPUS)], [lowres, cascade]))
    deps = assets.resolve_assets_def(key_of(cascade, "test_predictions")).get_asset_spec().deps
    assert key_of(lowres, "test_predictions") in [dep.asset_key for dep in deps]


def test_each_fold_of_a_cascade_needs_every_fold_of_the_stage_before_it() -> None:
    lowres = ExperimentConfig(dataset=HIPPOCAMPUS, configuration="3d_lowres")
    cascade = lowres.model_copy(update={"configuration": "3d_cascade_fullres"})
    assets = graph(declared([DatasetConfig(dataset=HIPPOCAMPUS)], [lowres, cascade]))

    dg.Definitions.validate_loadable(assets)
    deps = {
        dep.asset_key: dep for dep in assets.resolve_assets_def(key_of(cascade, "fold_model")).get_asset_spec().deps
    }

    assert set(deps) == {
        key_of(lowres, "fold_model"),
        dg.AssetKey([HIPPOCAMPUS, "preprocessed_plans"]),
        dg.AssetKey([HIPPOCAMPUS, "splits"]),
    }
    assert isinstance(deps[key_of(lowres, "fold_model")].partition_mapping, dg.AllPartitionMapping)
