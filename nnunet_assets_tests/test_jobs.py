from collections.abc import Sequence

import dagster as dg

from nnunet_assets.declarations.config import DatasetConfig, ExperimentConfig
from nnunet_assets.declarations.sections.variant_config import VariantConfig
from nnunet_assets.jobs import build_jobs
from nnunet_assets_tests.assets.graphs import declared, graph

DATASET = "Dataset004_Hippo-2.0"
PROJECT = declared(
    [DatasetConfig(dataset=DATASET)],
    [
        ExperimentConfig(
            dataset=DATASET,
            configuration="3d_fullres",
            folds=[1, 3],
            variant=VariantConfig(name="lr-0.1", initial_lr=0.1),
        ),
        ExperimentConfig(dataset=DATASET, configuration="2d", plans="myPlans"),
    ],
)

MADE_OF_FOLDS = ("cv_evaluation", "cv_figures", "cv_report", "cv_summary", "cv_tables")


def contents() -> dict[str, tuple[list[str], Sequence[str]]]:
    """Returns job name to the assets that it makes, without their dataset, and its partitions."""
    definitions = dg.Definitions.merge(graph(PROJECT), dg.Definitions(jobs=build_jobs(PROJECT)))
    found = {}
    for name in (job.name for job in build_jobs(PROJECT)):
        job = definitions.resolve_job_def(name)
        keys = sorted(key.to_user_string().removeprefix(f"{DATASET}/") for key in job.asset_layer.selected_asset_keys)
        found[name] = (keys, job.partitions_def.get_partition_keys() if job.partitions_def else [])
    return found


def test_preparation_folds_and_summary_are_jobs_of_their_own() -> None:
    assert contents() == {
        "prepare__Dataset004_Hippo_2_0": (
            ["case_list", "myPlans/preprocessed_plans", "preprocessed_plans", "raw_dataset", "splits"],
            [],
        ),
        "train__Dataset004_Hippo_2_0__lr_0_1__nnUNetTrainer__nnUNetPlans__3d_fullres": (
            ["lr-0.1/nnUNetTrainer__nnUNetPlans__3d_fullres/fold_model"],
            ["fold_1", "fold_3"],
        ),
        "summarize__Dataset004_Hippo_2_0__lr_0_1__nnUNetTrainer__nnUNetPlans__3d_fullres": (
            [f"lr-0.1/nnUNetTrainer__nnUNetPlans__3d_fullres/{name}" for name in MADE_OF_FOLDS],
            [],
        ),
        "train__Dataset004_Hippo_2_0__nnUNetTrainer__myPlans__2d": (
            ["nnUNetTrainer__myPlans__2d/fold_model"],
            ["fold_0", "fold_1", "fold_2", "fold_3", "fold_4"],
        ),
        "summarize__Dataset004_Hippo_2_0__nnUNetTrainer__myPlans__2d": (
            [f"nnUNetTrainer__myPlans__2d/{name}" for name in MADE_OF_FOLDS],
            [],
        ),
    }


def test_a_test_set_is_predicted_by_the_job_that_summarizes() -> None:
    config = ExperimentConfig(dataset=DATASET, configuration="2d", test_set=True)
    project = declared([DatasetConfig(dataset=DATASET)], [config])
    definitions = dg.Definitions.merge(graph(project), dg.Definitions(jobs=build_jobs(project)))
    job = definitions.resolve_job_def("summarize__Dataset004_Hippo_2_0__nnUNetTrainer__nnUNetPlans__2d")
    assert sorted(key.path[-1] for key in job.asset_layer.selected_asset_keys) == [*MADE_OF_FOLDS, "test_predictions"]


def test_every_job_says_what_it_does() -> None:
    assert all(job.description for job in build_jobs(PROJECT))
