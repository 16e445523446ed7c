"""A summary walked down to the data: made anew from its folds, the masks scored again, checkpoints and inputs."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from nnunet_assets.core.files.json_file import OTHER_FORM
from nnunet_assets.core.files.layout import Experiment
from nnunet_assets.core.fold.commit import FoldInputs
from nnunet_assets.core.summary.scored_summary import ScoredSummary, summarize
from nnunet_assets.core.verification.findings import Finding, Level
from nnunet_assets.core.verification.json_differences import CLOSE, json_differences
from nnunet_assets.core.verification.table_differences import CellDifference
from nnunet_assets.errors import SummaryError
from nnunet_assets.workflows.verification.data_checks import checkpoint_findings, input_findings, mask_findings
from nnunet_assets.workflows.verification.recorded_folds import RecordedFold, recorded_fold
from nnunet_assets.workflows.verification.walk import Walk

MOST_SHOWN = 10
"""Differences; who sees ten knows what happened."""


LATER_NAMES = (
    *("commit_sha256", "gpu_hours", "peak_memory_bytes", "q1", "q3", "median", "interval"),
    *("patients", "bootstrap", "worst_cases", "computing", "training_only"),
)
"""What older versions did not write."""


def summary_findings(walk: Walk, content: Mapping[str, Any], title: str) -> list[Finding]:
    """Returns what a summary's content is found to be, from its own numbers down to what the folds were trained on.

    Args:
        walk: How far.
        content: As `cv_summary.json` holds it, now or in an older version.
        title: What it is called.
    """
    try:
        experiment = Experiment(**content["experiment"])
        recorded = {one["fold"]: one.get("commit_sha256") for one in content["folds"]}
        inputs = FoldInputs(**content["inputs"])
        folds = [recorded_fold(walk.roots, experiment, fold, commit) for fold, commit in recorded.items()]
    except OTHER_FORM as error:
        return [Finding("source", title, "changed", f"{title} is not as this package writes it: {error!r}.")]
    findings = [*_against_folds(content, folds, title), *(fold.finding() for fold in folds)]
    key = f"{experiment.title}: {sorted(recorded.items(), key=str)}"
    if not walk.is_quick:
        of_masks = walk.once(
            f"masks of {key}", lambda: mask_findings(walk.roots, experiment, folds, walk.trusted, walk.progress)
        )
        findings += of_masks
    return [*findings, *training_findings(walk, experiment, inputs, folds)]


def training_findings(
    walk: Walk, experiment: Experiment, inputs: FoldInputs, folds: Sequence[RecordedFold]
) -> list[Finding]:
    """Returns whether checkpoints are those of the folds, and inputs those that they were trained on.

    Args:
        walk: How far.
        experiment: Whose folds.
        inputs: That the folds recorded.
        folds: Of them those that are there are looked at.
    """
    there = [fold for fold in folds if fold.finished]
    commits = sorted((fold.fold, fold.finished.sha256) for fold in there if fold.finished)
    return [
        *walk.once(f"checkpoints of {experiment.title}: {commits}", lambda: checkpoint_findings(there, walk.progress)),
        *walk.once(f"inputs of {experiment.title}: {inputs}", lambda: input_findings(walk, experiment, inputs)),
    ]


def _against_folds(content: Mapping[str, Any], folds: Sequence[RecordedFold], title: str) -> Iterator[Finding]:
    """Compares a summary with the one that its folds give; where one is gone, with what the others say of it."""
    results = [fold.result for fold in folds if fold.result]
    is_whole = len(results) == len(folds)
    try:
        expected = _remade(content, results) if is_whole else ScoredSummary.from_json(content).to_json()
    except SummaryError as error:
        yield Finding("source", title, "changed", f"{title}: {error}")
        return
    differences = _differences(content, expected)
    if not is_whole:
        differences += _of_single_folds(content, results)
    if differences:
        yield from difference_findings("source", title, differences)
    elif is_whole:
        yield Finding("source", title, "holds", f"{title} is what its folds give: every number was computed again.")
    else:
        n = len(folds) - len(results)
        sentence = f"{title} follows from its own cases. Those of {n} of its folds cannot be read any more."
        yield Finding("source", title, "unknown", sentence)


def _remade(content: Mapping[str, Any], results: Sequence[Any]) -> dict[str, Any]:
    summary = summarize(Experiment(**content["experiment"]), content["expected_folds"], results)
    if (alone := content.get("training_only")) is not None:
        summary = replace(summary, training_only=tuple(alone))
    if content.get("bootstrap") is not None:
        summary = _with_intervals(summary, content.get("patients"))
    return summary.to_json()


def _with_intervals(summary: ScoredSummary, patients: Mapping[str, str] | None) -> ScoredSummary:
    # numpy, which wrong usage need not wait for.
    from nnunet_assets.core.summary.intervals import with_intervals

    return with_intervals(summary, patients)


def _differences(content: Mapping[str, Any], expected: Mapping[str, Any]) -> list[CellDifference]:
    """Returns in what a summary differs, by names in place of numbers; what an older version did not write is none."""
    mine, theirs = _by_name(content), _by_name(expected)
    return json_differences(mine, _as_far_as(theirs, mine), close=CLOSE)


def _of_single_folds(content: Mapping[str, Any], results: Sequence[Any]) -> list[CellDifference]:
    written = {one["fold"]: one for one in content["folds"]}
    return [
        difference
        for result in results
        for difference in json_differences(
            written[result.fold], _as_far_as(result.to_json(), written[result.fold]), where=result.fold, close=CLOSE
        )
    ]


def _by_name(content: Mapping[str, Any]) -> dict[str, Any]:
    left_out = ("schema", "schema_version")
    found = {name: value for name, value in content.items() if name not in left_out}
    return {**found, "folds": {str(one["fold"]): one for one in content["folds"]}}


def _as_far_as(expected: Any, written: Any) -> Any:
    """Returns what is expected, without what an older version does not write."""
    if not isinstance(expected, Mapping) or not isinstance(written, Mapping):
        return list(expected) if isinstance(expected, tuple) else expected
    return {
        name: _as_far_as(value, written.get(name))
        for name, value in expected.items()
        if name in written or name not in LATER_NAMES
    }


def difference_findings(level: Level, what: str, differences: Sequence[CellDifference]) -> Iterator[Finding]:
    """Yields the differences, the first of many, and how many more there are."""
    for difference in differences[:MOST_SHOWN]:
        sentence = difference.sentence()
        yield Finding(level, f"{what}: {difference.where}", "changed", sentence[0].upper() + sentence[1:])
    if (n := len(differences) - MOST_SHOWN) > 0:
        yield Finding(level, what, "changed", f"{n} more values of {what} are different.")
