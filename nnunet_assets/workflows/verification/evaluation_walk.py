"""An evaluation walked down to the masks: measured again, or, where nobody wants that, held against its own table.

Of validation cases the folds' checkpoints and inputs follow; of a test set, what its masks were predicted with.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from nnunet_assets.core.dataset.dataset_json import DATASET_JSON
from nnunet_assets.core.evaluation.evaluation import COLUMNS
from nnunet_assets.core.evaluation.evaluation_files import CSV_FILE, PARQUET_FILE, evaluation_folder
from nnunet_assets.core.files.digests import json_sha256
from nnunet_assets.core.files.json_file import UNUSABLE
from nnunet_assets.core.files.layout import Experiment
from nnunet_assets.core.statistics.estimate import SAME_SCORE
from nnunet_assets.core.verification.findings import Finding
from nnunet_assets.core.verification.json_differences import CLOSE, json_differences
from nnunet_assets.core.verification.table_differences import CellDifference, table_differences
from nnunet_assets.core.verification.table_rows import csv_rows
from nnunet_assets.errors import VerificationError
from nnunet_assets.reports.tables.case_table import read_case_rows
from nnunet_assets.reports.text.rows import csv_text
from nnunet_assets.settings import Settings
from nnunet_assets.workflows.results.evaluate import Target, evaluate, target_of_folds
from nnunet_assets.workflows.verification.known_results import KnownResult
from nnunet_assets.workflows.verification.opened_files import table_rows
from nnunet_assets.workflows.verification.predicted_test_set import (
    prediction_findings,
    references_of_test_set,
    store_of_test_set,
)
from nnunet_assets.workflows.verification.recorded_folds import recorded_fold
from nnunet_assets.workflows.verification.summary_walk import difference_findings, training_findings
from nnunet_assets.workflows.verification.walk import Walk

_NAMES = ("labels", "n_evaluated", "n_expected", "bootstrap")
"""Of an evaluation what follows from the masks."""


def evaluation_findings(walk: Walk, settings: Settings, result: KnownResult) -> list[Finding]:
    """Returns what an evaluation is found to be, and what its masks were predicted with.

    Args:
        walk: How far; where it is quick, no mask is read.
        settings: Of the project.
        result: The evaluation.
    """
    if result.experiment is None:
        return [_not_known_whose(result)]
    what = f"evaluation {result.file}: {result.digest}"
    return walk.once(what, lambda: _of_experiment(walk, settings, result, result.experiment))


def _of_experiment(
    walk: Walk, settings: Settings, result: KnownResult, experiment: Experiment | None
) -> Iterator[Finding]:
    assert experiment is not None  # noqa: S101 (the caller looked)
    folds = list(result.content.get("folds") or ())
    if not folds and not result.is_of_test_set:
        yield _not_known_whose(result)
        return
    try:
        target = _target(settings, result, experiment, folds)
        differences = _of_own_table(result, target) if walk.is_quick else _measured(walk, settings, result, target)
    except UNUSABLE as error:
        how = "held against its own table" if walk.is_quick else "measured again"
        yield Finding("masks", result.title, "unknown", f"{result.subject} cannot be {how}: {error}")
    else:
        yield from difference_findings("source" if walk.is_quick else "masks", result.title, differences)
        if not differences:
            yield _holds(walk, result, folds)
    if result.is_of_test_set:
        yield from prediction_findings(walk, experiment)
        return
    found = [recorded_fold(walk.roots, experiment, fold, None) for fold in folds]
    if inputs := next((fold.finished.manifest.inputs for fold in found if fold.finished), None):
        yield from training_findings(walk, experiment, inputs, found)


def _not_known_whose(result: KnownResult) -> Finding:
    sentence = f"{result.subject} is not of an experiment's folds; `nnunet-assets evaluate` measures its masks again."
    return Finding("masks", result.title, "unknown", sentence)


def _holds(walk: Walk, result: KnownResult, folds: Sequence[str]) -> Finding:
    n = result.content.get("n_evaluated")
    if walk.is_quick:
        sentence = f"The means of {result.title} are those of its table of {n} cases"
        recorded = "" if result.is_of_test_set else ", whose Dice and IoU are those of nnU-Net's summary.json"
        return Finding("source", result.title, "holds", f"{sentence}{recorded}.")
    whose = f"{n} test cases" if result.is_of_test_set else f"{len(folds)} folds"
    sentence = f"The masks of {whose} were measured again, and give the numbers of {result.title}."
    return Finding("masks", result.title, "holds", sentence)


def _target(settings: Settings, result: KnownResult, experiment: Experiment, folds: Sequence[str]) -> Target:
    """Returns the masks and references that an evaluation is of.

    Raises:
        VerificationError: It was measured against references that it does not name.
        NnunetAssetsError: They are not there any more.
    """
    folder = result.file.parent
    if result.is_of_test_set:
        # numpy, which wrong usage need not wait for.
        from nnunet_assets.nnunet.evaluation.predicted_cases import cases_of_folders

        store = store_of_test_set(settings.roots, experiment)
        references = references_of_test_set(settings.roots, experiment)
        found = cases_of_folders(store.folder, references, store.folder / DATASET_JSON, settings.trusted_code)
        return Target(found, folder)
    model = experiment.model_folder(settings.roots)
    target = target_of_folds(settings, model, folds, result.of, of_plain_nnunet=True)
    if folder.parent == evaluation_folder(model) and folder.name != _named(target, result):
        raise VerificationError("it was measured against other references than nnU-Net validated with.")
    return target


def _named(target: Target, result: KnownResult) -> str:
    """Returns how `evaluate` names the folder of what is measured otherwise than is declared."""
    policy = replace(target, **_rules(result)).declared
    return json_sha256([policy.digest_of_version(1), *target.others])[:16]


def _rules(result: KnownResult) -> dict[str, Any]:
    labels = result.content["policy"]["labels"]
    return {
        "tolerances_mm": {name: rule["nsd_tolerance_mm"] for name, rule in labels.items()},
        "lesion_labels": [name for name, rule in labels.items() if rule["counts_lesions"]],
    }


def _measured(walk: Walk, settings: Settings, result: KnownResult, target: Target) -> list[CellDifference]:
    """Returns where an evaluation differs from the masks, measured into a folder that is thrown away."""
    own = result.file.parent
    with TemporaryDirectory() as name:
        folder = Path(name)
        expected = evaluate(settings, target, walk.progress, **_rules(result), output=folder).content
        of_cases = [
            one
            for file in (CSV_FILE, PARQUET_FILE)
            if (own / file).is_file()
            for one in table_differences(_rows(own / file), _rows(folder / file))
        ]
    return _of_rules(result, target) + _differences(result, expected) + list(dict.fromkeys(of_cases))


def _of_own_table(result: KnownResult, target: Target) -> list[CellDifference]:
    """Returns where an evaluation differs from the table of cases beside it, and this from nnU-Net's scores."""
    from nnunet_assets.core.evaluation.evaluation_intervals import add_intervals
    from nnunet_assets.core.evaluation.label_totals import LabelTotals

    folder, found = result.file.parent, target.found
    totals = {name: LabelTotals() for name in result.content["policy"]["labels"]}
    cases: dict[str, None] = {}
    rows = read_case_rows(folder / PARQUET_FILE)
    differences = table_differences(_rows(folder / CSV_FILE), csv_rows(csv_text(list(COLUMNS), rows)))
    for row in rows:
        totals[str(row["label"])].add({name: value for name, value in row.items() if not isinstance(value, str)})
        cases[str(row["case"])] = None
        differences += _unlike_recorded(row, found.recorded.get((row["fold"], str(row["case"]))))
    bootstrap = add_intervals(totals, list(cases), found.patients)
    expected = {
        "labels": {name: one.to_json() for name, one in totals.items()},
        "n_evaluated": len(cases),
        "n_expected": found.n_expected,
        "bootstrap": bootstrap.to_json(),
    }
    return _of_rules(result, target) + _differences(result, expected) + differences


def _unlike_recorded(row: Mapping[str, Any], recorded: Any) -> Iterator[CellDifference]:
    """Yields which scores of a case are not those that nnU-Net recorded when the fold was validated."""
    score = recorded.scores.get(row["label"]) if recorded else None
    for name in ("dice", "iou") if score else ():
        one, other = row[name], getattr(score, name)
        if (one is None) != (other is None) or (one is not None and abs(one - other) > SAME_SCORE):
            yield CellDifference(f"{row['case']}, {row['label']}, {name}", str(one), str(other))


def _of_rules(result: KnownResult, target: Target) -> list[CellDifference]:
    """Returns where what an evaluation says of how it measured contradicts itself, or its labels are not the model's.

    Raises:
        VerificationError: A version of the metrics that is not known here measured it.
    """
    from nnunet_assets.core.evaluation.metric_policy import DEFINITIONS, METRICS_VERSION, READ_VERSIONS

    version = result.content["metrics_version"]
    if version not in READ_VERSIONS:
        raise VerificationError(f"version {version!r} of the metrics measured it, which is not known here.")
    policy = replace(target, **_rules(result)).declared
    expected = {"policy": policy.to_json(), "policy_digest": policy.digest_of_version(version)}
    if version == METRICS_VERSION:
        expected["definitions"] = DEFINITIONS
    return json_differences({name: result.content.get(name) for name in expected}, expected)


def _differences(result: KnownResult, expected: Mapping[str, Any]) -> list[CellDifference]:
    if result.content.get("labels") is None:  # folds that must not be taken together have no means
        expected = {**expected, "labels": None, "bootstrap": None}
    written = {name: result.content.get(name) for name in _NAMES}
    return json_differences(written, {name: expected.get(name) for name in _NAMES}, close=CLOSE)


def _rows(file: Path) -> Sequence[Sequence[str]]:
    return table_rows(file.read_bytes(), "csv" if file.suffix == ".csv" else "parquet")
