"""Dagster's type of each asset: what it is called in the web UI, what it holds, and what may not be wrong with it.

A type names a class without importing it, which may load numpy: every load of the definitions would pay for that. The
rules are `workflows.values.value_rules`; `resources.asset_values` loads the value for whoever takes it as an input.
"""

from collections.abc import Callable
from importlib import import_module
from typing import Any

import dagster as dg

from nnunet_assets.workflows.values import value_rules

PUBLIC = "nnunet_assets.api.values"
"""The module from which people import the classes."""


def asset_type(
    name: str, description: str, problem_of: Callable[[Any], str], *, annotation: str, of: str
) -> dg.DagsterType:
    """Returns a type of a value.

    Args:
        name: Of the type.
        description: What the value is.
        problem_of: Returns what is wrong with a value of the class; empty: nothing.
        annotation: What whoever takes the value as an input writes.
        of: The class, as `MODULE:NAME`; several in a row, of which any will do.
    """

    def check(_context: dg.TypeCheckContext, value: object) -> dg.TypeCheck:
        if not isinstance(value, tuple(map(_class, of.split()))):
            return dg.TypeCheck(False, f"{name} is a value of {annotation}, and not of {type(value).__name__}.")
        problem = problem_of(value)
        return dg.TypeCheck(not problem, problem or None)

    return dg.DagsterType(check, name=name, description=f"{description}\n\nTake it as an input of `{annotation}`.")


def _class(where: str) -> type:
    module, _, name = where.partition(":")
    found: type = getattr(import_module(module), name)
    return found


_MAPPING, _LIST = "builtins:dict", "builtins:list"

RAW_DATASET = asset_type(
    "RawRecord",
    "The raw dataset as it was last looked at: its cases, digests, and the volumes of its labels in ml.",
    value_rules.problem_of_raw,
    annotation=f"{PUBLIC}.RawRecord",
    of="nnunet_assets.nnunet.raw.raw_record:RawRecord",
)
CASE_LIST = asset_type(
    "CaseList",
    "The names of the training cases, sorted.",
    value_rules.problem_of_cases,
    annotation="list[str]",
    of=_LIST,
)
SPLITS = asset_type(
    "Splits",
    "nnU-Net's own form of a split: a fold after the other, each with the names of its cases under `train` and `val`.",
    value_rules.problem_of_splits,
    annotation="list[dict[str, list[str]]]",
    of=_LIST,
)
PLANS = asset_type(
    "Plans",
    "nnU-Net's plans file, with its configurations and the folders of their preprocessed cases.",
    value_rules.problem_of_plans,
    annotation=f"{PUBLIC}.Plans",
    of="nnunet_assets.nnunet.plans.plans:Plans",
)
FOLD_RESULT = asset_type(
    "FoldResult",
    "What one fold scored on its validation cases, case by case (Dice and IoU between 0 and 1, None where undefined), "
    "and what it was made from. Whoever takes all folds gets those that are finished, by name.",
    value_rules.problem_of_fold,
    annotation=f"{PUBLIC}.FoldResult`, or `dict[str, FoldResult]",
    of="nnunet_assets.core.summary.cross_validation:FoldResult",
)
FOLD_RESULTS = asset_type(
    "FoldResults",
    "What an ensemble scored on the validation cases of each fold, by the fold's name.",
    value_rules.problem_of_folds,
    annotation=f"dict[str, {PUBLIC}.FoldResult]",
    of=_MAPPING,
)
FINISHED_FOLD = asset_type(
    "FinishedFold",
    "A finished model: its folder, its manifest (what made it, from what, in which time) and the digest that names it.",
    value_rules.problem_of_finished,
    annotation=f"{PUBLIC}.FinishedFold",
    of="nnunet_assets.core.fold.commit:FinishedFold",
)
CV_SUMMARY = asset_type(
    "CVSummary",
    "The result of a cross-validation: Dice and IoU (between 0 and 1) by label and for the foreground, pooled over "
    "cases and over folds, with intervals, and the scores of every case. It is of the finished folds, and says "
    "which are missing.",
    value_rules.problem_of_summary,
    annotation=f"{PUBLIC}.CVSummary",
    of="nnunet_assets.core.summary.cross_validation:CVSummary",
)
CV_SUMMARIES = asset_type(
    "CVSummaries",
    "The summaries of several ensembles, by name; there may be none.",
    value_rules.problem_of_summaries,
    annotation=f"dict[str, {PUBLIC}.CVSummary]",
    of=_MAPPING,
)
FILES = asset_type(
    "Files",
    "Files that were written, by name: tables by their ending (`csv`), figures by their file's name.",
    value_rules.problem_of_files,
    annotation="dict[str, pathlib.Path]",
    of=_MAPPING,
)
PAGE = asset_type(
    "Page",
    "An HTML page in one file.",
    value_rules.problem_of_page,
    annotation="pathlib.Path",
    of="pathlib:Path",
)
CASE_EVALUATION = asset_type(
    "CaseEvaluation",
    "Saved predictions, measured case by case: what each label comes to, and the table of all cases, which is read "
    "when its rows are asked for. Distances are in mm, volumes in ml.",
    value_rules.problem_of_evaluation,
    annotation=f"{PUBLIC}.CaseEvaluation",
    of="nnunet_assets.workflows.values.evaluation_values:CaseEvaluation",
)
TEST_PREDICTIONS = asset_type(
    "TestPredictions",
    "The masks of a test set, and, where it has references, their evaluation and the gap to the validation cases.",
    value_rules.problem_of_test_predictions,
    annotation=f"{PUBLIC}.TestPredictions",
    of="nnunet_assets.workflows.values.evaluation_values:TestPredictions",
)
COMPARISON = asset_type(
    "Comparison",
    "Experiments against each other: differences of pooled means with intervals, tests and effects, and ranks.",
    value_rules.problem_of_comparison,
    annotation=f"{PUBLIC}.Comparison",
    of="nnunet_assets.core.comparison.comparison:Comparison",
)
BEST_CONFIGURATION = asset_type(
    "BestConfiguration",
    "Which model to take among the candidates, why, and the Dice that it may be expected to score. While no summary is "
    "complete there is none.",
    value_rules.problem_of_choice,
    annotation=f"{PUBLIC}.BestConfiguration",
    of="nnunet_assets.core.selection.best_configuration:BestConfiguration types:NoneType",
)
REGISTERED_VERSION = asset_type(
    "RegisteredVersion",
    "A version of a model in MLflow's registry: its address, aliases, digest, numbers and what the gate says.",
    value_rules.problem_of_version,
    annotation=f"{PUBLIC}.RegisteredVersion",
    of="nnunet_assets.tracking.registry.versions:RegisteredVersion",
)
SEARCH = asset_type(
    "SearchReport",
    "A search as it is: its trials with their points, curves and ends, ranked by the pseudo Dice, which is no result.",
    value_rules.problem_of_search,
    annotation=f"{PUBLIC}.SearchReport",
    of="nnunet_assets.core.search.report:SearchReport",
)
