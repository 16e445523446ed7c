"""`cv_evaluation`: the saved predictions of the finished folds, measured case by case, without training again."""

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import dagster as dg

from nnunet_assets.assets.events.failures import shown_as_failure
from nnunet_assets.core.dataset.dataset_json import DATASET_JSON, parse_dataset_json
from nnunet_assets.core.evaluation.evaluation import Evaluation
from nnunet_assets.core.evaluation.evaluation_files import CSV_FILE, PARQUET_FILE, evaluation_folder, read_evaluation
from nnunet_assets.core.evaluation.metric_policy import metric_policy
from nnunet_assets.core.files.digests import file_sha256, json_sha256
from nnunet_assets.core.files.layout import Experiment, Roots
from nnunet_assets.declarations.config import DatasetConfig, ExperimentConfig
from nnunet_assets.reports.tables.case_table import write_case_table
from nnunet_assets.reports.tables.evaluation_tables import interval_records, notes, short_records, write_label_tables
from nnunet_assets.resources.project_folder import ProjectResource

EVALUATED_CHECK = "every_case_is_evaluated"
LOG_SECONDS = 30
"""How often the log says how far the evaluation is."""

DESCRIPTION = """A row a validation case and label, from the predictions that the finished folds saved: Dice, IoU,
sensitivity, precision, HD95, ASSD, surface Dice at a tolerance (NSD), volumes and their error; lesions where asked for.

What was computed before is not computed again. A prediction that cannot be compared with its reference is named, and
the rest is reported. `evaluation.json` holds the definitions and what each label comes to: mean, SD, quartiles and the
95 % interval of the mean; `labels.csv`, `.md` and `.tex` are the same as tables."""


def build_cv_evaluation(
    *, config: ExperimentConfig, dataset: DatasetConfig, folds: Sequence[str], group: str
) -> dg.AssetsDefinition:
    """Returns the asset of one experiment on a dataset."""
    experiment = config.identity
    key = dg.AssetKey([*experiment.key_prefix, "cv_evaluation"])
    measured = {"nsd_tolerance_mm": dataset.nsd_tolerance_mm, "lesion_labels": dataset.lesion_labels}

    @dg.asset(
        key=key,
        deps=[dg.AssetKey([*experiment.key_prefix, "fold_model"])],
        group_name=group,
        kinds={"parquet", "csv"},
        owners=config.owners,
        description=DESCRIPTION,
        code_version=f"4-{json_sha256(measured)[:16]}",
        # In a run with the summary and its tables it comes after them: they take a second, this may take an hour.
        op_tags={"dagster/priority": "-1"},
        check_specs=[
            dg.AssetCheckSpec(
                EVALUATED_CHECK, asset=key, description="Every validation case of every fold is evaluated."
            )
        ],
    )
    def cv_evaluation(context: dg.AssetExecutionContext, project: ProjectResource) -> dg.MaterializeResult:
        # numpy, which whoever loads the definitions has no use for.
        from nnunet_assets.nnunet.predictions.evaluation import evaluate_cases
        from nnunet_assets.nnunet.predictions.predicted_cases import cases_of_folds, references_folder

        roots = project.settings.roots
        folder = evaluation_folder(experiment.model_folder(roots))
        with shown_as_failure():
            found = cases_of_folds(
                experiment.model_folder(roots), references_folder(roots, experiment.dataset), folds, experiment.title
            )
            evaluation = evaluate_cases(
                found,
                metric_policy(found.description, dataset.nsd_tolerance_mm, dataset.lesion_labels),
                folder,
                write_table=write_case_table,
                write_labels=write_label_tables,
                on_progress=progress_log(context.log.info),
                places=project.settings.places,
            )
        context.log.info(f"{evaluation.headline()}; {evaluation.n_computed} cases computed, the others were known.")
        content = evaluation.to_json()
        return dg.MaterializeResult(
            data_version=dg.DataVersion(json_sha256([content, file_sha256(folder / CSV_FILE)])),
            metadata={
                "headline": dg.MetadataValue.text(evaluation.headline()),
                **shown_labels(content),
                "cases_computed": dg.MetadataValue.int(evaluation.n_computed),
                "file_parquet": dg.MetadataValue.path(folder / PARQUET_FILE),
                "file_csv": dg.MetadataValue.path(folder / CSV_FILE),
                **({"problems": dg.MetadataValue.text(evaluation.problem_text())} if evaluation.problems else {}),
            },
            check_results=[every_case(evaluation)],
        )

    return cv_evaluation


def shown_labels(content: Mapping[str, Any]) -> dict[str, dg.MetadataValue]:
    """Returns as metadata what `Evaluation.to_json` says of the labels.

    Without labels, or without intervals, there are fewer entries: Dagster takes no table without a row.
    """
    tables = {"labels": short_records(content), "intervals": interval_records(content)}
    shown: dict[str, dg.MetadataValue] = {
        name: dg.MetadataValue.table([dg.TableRecord(row) for row in rows]) for name, rows in tables.items() if rows
    }
    sentences = notes(content)
    return {**shown, "notes": dg.MetadataValue.text("\n".join(sentences))} if sentences else shown


def declared_evaluation(roots: Roots, experiment: Experiment, dataset: DatasetConfig) -> dict[str, Any]:
    """Returns what `cv_evaluation` wrote, where it measured what is declared now.

    Raises:
        DatasetError: The model's dataset.json cannot be used.
        EvaluationError: It is missing, damaged, or measured otherwise.
    """
    model = experiment.model_folder(roots)
    description = parse_dataset_json(model / DATASET_JSON)
    policy = metric_policy(description, dataset.nsd_tolerance_mm, dataset.lesion_labels)
    return read_evaluation(evaluation_folder(model), policy)


def progress_log(say: Callable[[str], None], done: str = "evaluated") -> Callable[[int, int], None]:
    """Returns what says, every `LOG_SECONDS`, how many cases are done and how long the rest will take.

    What takes less is not talked about. The time counts from now, or from when it is told of 0 cases.

    Args:
        say: Takes a line of the log.
        done: What is done to the cases.
    """
    start = last = time.monotonic()

    def report(n_done: int, n_cases: int) -> None:
        nonlocal start, last
        now = time.monotonic()
        if not n_done:  # what came before, such as a wait for a GPU, says nothing about the rest
            start = last = now
        if now - last < LOG_SECONDS:
            return
        last = now
        minutes = (now - start) / n_done * (n_cases - n_done) / 60
        say(f"{n_done} of {n_cases} cases {done}, about {max(1, round(minutes))} min left.")

    return report


def every_case(evaluation: Evaluation) -> dg.AssetCheckResult:
    """Returns the check that says which folds are missing, which cases could not be evaluated, and why."""
    missing = f"Not finished: {', '.join(evaluation.missing_folds)}." if evaluation.missing_folds else ""
    return dg.AssetCheckResult(
        check_name=EVALUATED_CHECK,
        passed=not evaluation.problems and not missing,
        severity=dg.AssetCheckSeverity.WARN if evaluation.n_evaluated else dg.AssetCheckSeverity.ERROR,
        description="\n".join(filter(None, [missing, evaluation.problem_text()])) or f"{evaluation.n_evaluated} cases.",
    )
