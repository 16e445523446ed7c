"""Experiments of one dataset with summaries of folds that were never trained, to be compared with each other."""

from pathlib import Path

from nnunet_assets.core.files.json_file import write_json_atomically
from nnunet_assets.core.files.layout import Roots
from nnunet_assets.core.fold.commit import FoldInputs
from nnunet_assets.core.summary.scored_summary import summarize
from nnunet_assets.declarations.config import ExperimentConfig
from nnunet_assets.declarations.sections.variant_config import VariantConfig
from nnunet_assets_tests.builders import INPUTS, build_fold_result

DATASET = "Dataset001_Tiny"
PLAIN = ExperimentConfig(dataset=DATASET, configuration="2d")
SEED_7 = PLAIN.model_copy(update={"variant": VariantConfig(name="seed7", seed=7)})
LONG = PLAIN.model_copy(update={"variant": VariantConfig(name="long", num_epochs=2000)})
FILES = {
    *("comparison.json", "comparison.md", "comparison_ranks.csv"),
    *(f"comparison_differences.{ending}" for ending in ("csv", "svg", "png")),
    *(f"comparison_table.{ending}" for ending in ("csv", "parquet", "tex", "md")),
}
DICES = [0.5, 0.6, 0.7, 0.8, 0.55, 0.65, 0.75, 0.85]

DECLARED = """
type: nnunet_assets.components.NnunetDataset
attributes: {dataset: Dataset001_Tiny, folds: 2}
---
type: nnunet_assets.components.CrossValidationExperiment
attributes: {dataset: Dataset001_Tiny, configuration: 2d}
---
type: nnunet_assets.components.CrossValidationExperiment
attributes: {dataset: Dataset001_Tiny, configuration: 2d, variant: {name: long, num_epochs: 2000}}
"""
"""PLAIN and LONG, as a user declares them."""


def roots_of(project: Path) -> Roots:
    data = project / "data"
    return Roots(data / "nnUNet_raw", data / "nnUNet_preprocessed", data / "nnUNet_results")


def summarized(
    project: Path, config: ExperimentConfig, shift: float, *, n_folds: int = 2, inputs: FoldInputs = INPUTS
) -> None:
    """Writes the summary of an experiment whose cases score so much better, and a tenth of it by case."""
    scores = {f"c{k}": {"organ": dice + shift * (1 + k / 10)} for k, dice in enumerate(DICES)}
    parts = [dict(list(scores.items())[:4]), dict(list(scores.items())[4:])]
    folds = [build_fold_result(f"fold_{k}", parts[k], inputs) for k in range(n_folds)]
    summary = summarize(config.identity, ["fold_0", "fold_1"], folds)
    write_json_atomically(config.identity.summary_folder(roots_of(project)) / "cv_summary.json", summary.to_json())
