"""What cannot be true of the value of an asset, in a sentence; empty where nothing contradicts.

Whatever made a value checked what it is made from. These look at the value alone, so that a mistake in between is found
before somebody builds on it.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nnunet_assets.core.fold.commit import FinishedFold
from nnunet_assets.core.splits.splits import NO_SPLITS, is_splits
from nnunet_assets.core.summary.cross_validation import CVSummary, FoldResult
from nnunet_assets.core.summary.label_summary import METRICS
from nnunet_assets.errors import first_offenders

if TYPE_CHECKING:
    from nnunet_assets.core.comparison.comparison import Comparison
    from nnunet_assets.core.search.report import SearchReport
    from nnunet_assets.core.selection.best_configuration import BestConfiguration
    from nnunet_assets.nnunet.plans.plans import Plans
    from nnunet_assets.nnunet.raw.raw_record import RawRecord
    from nnunet_assets.tracking.registry.versions import RegisteredVersion
    from nnunet_assets.workflows.values.evaluation_values import CaseEvaluation, TestPredictions


def problem_of_cases(names: Sequence[str]) -> str:
    """Returns what is wrong with the names of cases."""
    if not names:
        return "There is no case."
    twice = sorted({name for name in names if names.count(name) > 1}) if len(set(names)) < len(names) else []
    return f"{first_offenders(twice)}: more than once among the cases." if twice else ""


def problem_of_raw(record: "RawRecord") -> str:
    """Returns what is wrong with a record of raw data; what is wrong with the data themselves stands in it."""
    unknown = sorted({*record.case_hashes, *record.label_volumes_ml} - {*record.cases})
    return problem_of_cases(record.cases) or (f"{first_offenders(unknown)}: known, and no case." if unknown else "")


def problem_of_splits(splits: object) -> str:
    """Returns what is wrong with nnU-Net's form of a split."""
    if not is_splits(splits) or not splits:
        return f"A split {NO_SPLITS}"
    shared = {case for fold in splits for case in {*fold["train"]} & {*fold["val"]}}  # type: ignore[attr-defined]
    return f"{first_offenders(sorted(shared))}: a fold trains on it and validates it." if shared else ""


def problem_of_plans(plans: "Plans") -> str:
    """Returns what is wrong with plans: they need at least one configuration."""
    return "" if plans.configurations else f"{plans.file} plans no configuration."


def problem_of_fold(result: FoldResult) -> str:
    """Returns what is wrong with a fold's result."""
    odd = [
        f"{metric} {score} of {label} in {case.case_id}"
        for case in result.cases
        for label, scores in case.scores.items()
        for metric in METRICS
        if (score := getattr(scores, metric)) is not None and not 0 <= score <= 1
    ]
    if odd:
        return f"fold_{result.fold}: {first_offenders(odd)}: a score lies between 0 and 1."
    return problem_of_cases([case.case_id for case in result.cases])


def problem_of_folds(folds: Mapping[str, FoldResult]) -> str:
    """Returns what is wrong with the first of several folds with which anything is."""
    return _first("There is no fold.", folds, problem_of_fold)


def problem_of_finished(fold: FinishedFold) -> str:
    """Returns what is wrong with a finished fold whose weights are what is wanted of it."""
    missing = [name for name in fold.manifest.files if not (fold.folder / name).is_file()]
    return f"{fold.folder} lacks {first_offenders(missing)}." if missing else ""


def problem_of_summary(summary: CVSummary) -> str:
    """Returns what is wrong with a summary: with one of its folds, or where a mean is none of its scores."""
    for name, label in {**summary.labels, "foreground": summary.foreground}.items():
        for metric in METRICS:
            pooled = getattr(label, metric).pooled
            if pooled.mean is not None and not 0 <= pooled.mean <= 1:
                return f"The mean {metric} of {name} is {pooled.mean}: it lies between 0 and 1."
    return problem_of_folds({f"fold_{fold.fold}": fold for fold in summary.folds})


def problem_of_summaries(summaries: Mapping[str, CVSummary]) -> str:
    """Returns what is wrong with the first of several summaries with which anything is; there may be none."""
    return _first("", summaries, problem_of_summary)


def problem_of_files(files: Mapping[str, Path]) -> str:
    """Returns which files are not there, or are empty."""
    if not files:
        return "There is no file."
    bad = [str(file) for file in files.values() if not (file.is_file() and file.stat().st_size)]
    return f"{first_offenders(bad)}: not there, or empty." if bad else ""


def problem_of_page(file: Path) -> str:
    """Returns what is wrong with a page."""
    return problem_of_files({"page": file})


def problem_of_evaluation(found: "CaseEvaluation") -> str:
    """Returns what is wrong with an evaluation: its numbers of cases, or its files."""
    n, expected = found.content["n_evaluated"], found.content["n_expected"]
    return f"{n} of {expected} cases are evaluated." if n > expected else problem_of_files({"table": found.table})


def problem_of_test_predictions(found: "TestPredictions") -> str:
    """Returns what is wrong with predictions of a test set."""
    return problem_of_cases(found.cases) or problem_of_files({case: found.mask(case) for case in found.cases})


def problem_of_comparison(found: "Comparison") -> str:
    """Returns what is wrong with a comparison: it names experiments that it does not compare."""
    named = {one.left for one in found.differences} | {one.right for one in found.differences}
    named |= {one.experiment for one in found.standings}
    return _unknown(named, found.experiments, "compared")


def problem_of_choice(found: "BestConfiguration | None") -> str:
    """Returns what is wrong with a choice; None: no summary is complete, so that there is none yet."""
    return "" if found is None else _unknown([found.chosen], [one.name for one in found.candidates], "a candidate")


def problem_of_search(found: "SearchReport") -> str:
    """Returns what is wrong with a search: a trial without its number, or with more epochs than a trial has."""
    if [one.trial.number for one in found.trials] != list(range(len(found.trials))):
        return f"{found.title}: its trials are not numbered from 0 on."
    long = [str(one.trial.number) for one in found.trials if one.curve.n_epochs > found.max_epochs]
    return f"{found.title}: trial {first_offenders(long)} has more than {found.max_epochs} epochs." if long else ""


def problem_of_version(found: "RegisteredVersion") -> str:
    """Returns what is wrong with a registered version: nothing tells its package from another."""
    return "" if found.digest and found.version > 0 else f"{found.address} names no package."


def _unknown(names: Iterable[str], known: Iterable[str], what: str) -> str:
    odd = sorted({*names} - {*known})
    return f"{first_offenders(odd)}: not {what}." if odd else ""


def _first(if_empty: str, values: Mapping[str, Any], problem_of: Callable[[Any], str]) -> str:
    found: Iterator[str] = (f"{name}: {problem}" for name, value in values.items() if (problem := problem_of(value)))
    return next(found, "") if values else if_empty
