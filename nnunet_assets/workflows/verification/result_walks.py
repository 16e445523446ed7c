"""Comparisons, choices, evaluations and gaps walked down to the summaries and folds that they are of."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from nnunet_assets.core.evaluation.evaluation_files import EVALUATION_FILE, PARQUET_FILE, evaluation_folder
from nnunet_assets.core.files.json_file import OTHER_FORM, UNREADABLE, UNUSABLE
from nnunet_assets.core.files.layout import Experiment
from nnunet_assets.core.summary.scored_summary import ScoredSummary
from nnunet_assets.core.verification.findings import Finding
from nnunet_assets.core.verification.json_differences import CLOSE, json_differences
from nnunet_assets.errors import SummaryError
from nnunet_assets.reports.tables.case_table import read_case_names, read_metrics
from nnunet_assets.settings import Settings
from nnunet_assets.workflows.verification.evaluation_walk import evaluation_findings
from nnunet_assets.workflows.verification.known_results import KnownResult, experiment_named
from nnunet_assets.workflows.verification.predicted_test_set import predictions_digest
from nnunet_assets.workflows.verification.recorded_folds import recorded_fold
from nnunet_assets.workflows.verification.since_then import since_then
from nnunet_assets.workflows.verification.summary_walk import difference_findings, summary_findings
from nnunet_assets.workflows.verification.walk import Walk

if TYPE_CHECKING:
    from nnunet_assets.core.selection.selecting import StepScores

Known = Sequence[KnownResult]

MADE_FROM = "made_from"
"""As in `core.comparison.comparison_files`, which loads numpy."""


def result_findings(walk: Walk, settings: Settings, result: KnownResult, known: Known) -> list[Finding]:
    """Returns what a result is found to be, and everything that it rests on.

    Args:
        walk: How far.
        settings: Of the project.
        result: Of whatever kind.
        known: The project's results.
    """
    if result.kind == "cv_summary":
        return summary_findings(walk, result.content, result.subject)
    if result.kind == "evaluation":
        return evaluation_findings(walk, settings, result)
    if result.kind == "gap":
        return list(_gap(walk, settings, result, known))
    return list(_of_summaries(walk, settings, result, known))


def _of_summaries(walk: Walk, settings: Settings, result: KnownResult, known: Known) -> Iterator[Finding]:
    """Yields what a comparison or a choice is found to be: made anew from the summaries that it is of."""
    content, dataset = result.content, str(result.content.get("dataset", result.of))
    try:
        names = _experiments(content)
        digests = dict(content.get(MADE_FROM) or content.get("made_of") or {})
    except OTHER_FORM as error:
        yield Finding(
            "source", result.title, "changed", f"{result.subject} is not as this package writes it: {error!r}."
        )
        return
    found: list[KnownResult] = []
    for name in names:
        summary = _summary_of(experiment_named(name, dataset), digests.get(name), known)
        if summary is None:
            sentence = f"The summary of {name} that {result.title} is of is not in this project, nor kept of it."
            yield Finding("source", name, "unknown", sentence)
            continue
        found.append(summary)
        if not summary.is_current:
            yield Finding("source", name, "changed", since_then(summary, known))
    if len(found) == len(names):
        yield from _made_anew(walk, settings, result, found, dataset)
    for summary in found:
        yield from summary_findings(walk, summary.content, summary.subject)


def _experiments(content: Mapping[str, Any]) -> list[str]:
    if "experiments" in content:
        return [str(name) for name in content["experiments"]]
    return list(content.get("made_of") or dict.fromkeys(str(one["model"]) for one in content["candidates"]))


def _summary_of(experiment: Experiment | None, digest: str | None, known: Known) -> KnownResult | None:
    of_it = [one for one in known if one.kind == "cv_summary" and one.experiment == experiment]
    if digest is None:
        return next((one for one in of_it if one.is_current), None)
    return next((one for one in of_it if one.digest == digest), None)


def _made_anew(
    walk: Walk, settings: Settings, result: KnownResult, summaries: Sequence[KnownResult], dataset: str
) -> Iterator[Finding]:
    try:
        if result.kind == "best_configuration":
            expected = _choice(walk, settings, result.content, summaries, dataset)
        else:
            expected = _comparison(result.content, summaries, dataset)
    except UNUSABLE as error:
        sentence = f"{result.subject} cannot be made again from its summaries: {error}"
        yield Finding("source", result.title, "unknown", sentence)
        return
    if expected is None:
        sentence = f"An older version made {result.title} by other rules: it cannot be made again."
        yield Finding("source", result.title, "unknown", sentence)
        return
    written = {name: value for name, value in result.content.items() if name != MADE_FROM}
    # Why something is left out names what is there now.
    differences = json_differences({**written, "left_out": None}, {**expected, "left_out": None}, close=CLOSE)
    yield from difference_findings("source", result.title, differences)
    if not differences:
        sentence = f"{result.subject} is what its {len(summaries)} summaries give: it was made again."
        yield Finding("source", result.title, "holds", sentence)


def _comparison(content: Mapping[str, Any], summaries: Sequence[KnownResult], dataset: str) -> Mapping[str, Any] | None:
    from nnunet_assets.core.comparison.compared_experiments import ComparedExperiment
    from nnunet_assets.core.comparison.comparison import SCHEMA_VERSION, compare

    if content["schema_version"] != SCHEMA_VERSION:
        return None
    experiments = [ComparedExperiment.of(ScoredSummary.from_json(one.content)) for one in summaries]
    repeats = [frozenset(names) for names in content["repeats"]]
    return compare(dataset, experiments, dict(content["left_out"]), repeats).to_json()


def _choice(
    walk: Walk, settings: Settings, content: Mapping[str, Any], summaries: Sequence[KnownResult], dataset: str
) -> Mapping[str, Any] | None:
    from nnunet_assets.core.comparison.compared_experiments import ComparedExperiment
    from nnunet_assets.core.selection.best_configuration import SCHEMA_VERSION
    from nnunet_assets.core.selection.selecting import SelectableModel, best_configuration

    if content["schema_version"] != SCHEMA_VERSION:
        return None
    candidates = {one["model"]: one for one in content["candidates"]}
    models = []
    for one in summaries:
        summary = ScoredSummary.from_json(one.content)
        scores = ComparedExperiment.of(summary)
        shown = candidates[scores.name]
        steps = _steps(walk, settings, one, summary) if scores.name in content["postprocessing"] else None
        made_of = content["made_of"].get(scores.name, "")
        models.append(SelectableModel(scores, tuple(shown["members"]), shown["weights_bytes"], steps, made_of))
    return {**best_configuration(dataset, models, dict(content["left_out"])).to_json(), "notes": content["notes"]}


def _steps(walk: Walk, settings: Settings, summary: KnownResult, scored: ScoredSummary) -> "StepScores":
    """Returns what the masks score after postprocessing steps, each read again.

    Raises:
        SummaryError: They are not to be read, or not there as they were.
    """
    from nnunet_assets.workflows.model.best import scores_after_steps

    if walk.is_quick:
        raise SummaryError("its candidates have postprocessing steps, and masks are not read (--quick).")
    if not summary.is_current:
        raise SummaryError(f"the masks of {summary.title} are not there as they were then.")
    notes: list[str] = []
    with TemporaryDirectory() as folder:
        found = scores_after_steps(settings, scored, progress=walk.progress, notes=notes, kept_in=Path(folder))
    if found is None:
        raise SummaryError(" ".join(notes))
    return found


def _gap(walk: Walk, settings: Settings, result: KnownResult, known: Known) -> Iterator[Finding]:
    experiment = result.experiment
    if experiment is None:
        yield Finding("source", result.title, "unknown", f"Of which experiment {result.title} is, it does not say.")
        return
    for fold, commit in result.content["folds"].items():
        found = recorded_fold(walk.roots, experiment, str(fold), commit).finding()
        yield Finding("scores", found.what, found.verdict, found.sentence.replace("summarized", "used"))
    from nnunet_assets.core.evaluation.gap import GAP_COLUMNS, find_gaps, gaps_to_json

    folders = [result.file.parent, evaluation_folder(experiment.model_folder(walk.roots))]
    test, validation = (folder / PARQUET_FILE for folder in folders)
    try:
        gaps = find_gaps(read_metrics(test, GAP_COLUMNS), read_metrics(validation, GAP_COLUMNS), read_case_names(test))
        expected = gaps_to_json(gaps, result.content["predictions"], result.content["folds"])
    except UNREADABLE as error:
        sentence = f"The tables of cases of {result.title} cannot be read any more: {error}"
        yield Finding("source", result.title, "unknown", sentence)
        return
    differences = json_differences(result.content, expected, close=CLOSE)
    yield from difference_findings("source", result.title, differences)
    if not differences:
        sentence = f"{result.subject} is what the tables of test and validation cases give."
        yield Finding("source", result.title, "holds", sentence)
    if predictions_digest(walk.roots, experiment) not in (None, result.content["predictions"]):
        sentence = f"The test set was predicted again since {result.title} was made of it."
        yield Finding("source", "test set", "changed", sentence)
    for folder in folders:
        yield from _of_cases(walk, settings, folder / EVALUATION_FILE, known)


def _of_cases(walk: Walk, settings: Settings, file: Path, known: Known) -> Iterator[Finding]:
    """Yields what the evaluation is found to be whose table of cases a gap was made of."""
    evaluation = next((one for one in known if one.file == file and one.is_current), None)
    if evaluation is None:
        sentence = f"{file} is not there any more, so that the masks cannot be measured as they were."
        yield Finding("masks", str(file), "unknown", sentence)
        return
    yield from evaluation_findings(walk, settings, evaluation)
