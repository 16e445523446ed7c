"""The results that a project has, also those that were made anew since: what a file may have been made from."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from nnunet_assets.core.evaluation.evaluation_files import CSV_FILE, EVALUATION_FILE, PARQUET_FILE, evaluation_folder
from nnunet_assets.core.files.digests import json_sha256
from nnunet_assets.core.files.json_file import UNUSABLE, readable_json
from nnunet_assets.core.files.layout import (
    CV_SUMMARY_FILE,
    ENSEMBLES,
    SUMMARY_FOLDER,
    Experiment,
    Roots,
    comparison_folder,
)
from nnunet_assets.core.summary.scored_summary import ScoredSummary
from nnunet_assets.core.verification.earlier_result_files import earlier_result_files
from nnunet_assets.nnunet.results.results_folder import models_in
from nnunet_assets.reports.tables.remade_exports import (
    Exports,
    choice_exports,
    comparison_exports,
    evaluation_exports,
    gap_exports,
    summary_exports,
)

ResultKind = Literal["cv_summary", "comparison", "evaluation", "gap", "best_configuration"]

GAP_FOLDER, GAP_FILE, COMPARISON_FILE = "test_evaluation", "gap.json", "comparison.json"
BEST_CONFIGURATION_FILE = "best_configuration.json"
"""As modules of `core` have them that load numpy."""


@dataclass(frozen=True)
class KnownResult:
    """A result that lies in the project, or lay there.

    Attributes:
        kind: Of which kind.
        of: `DATASET/VARIANT/TRAINER__PLANS__CONFIGURATION`, or a dataset.
        experiment: Whose; None: a dataset's.
        content: As JSON.
        file: Where it lies, or lay.
        is_current: Whether it lies there now.
    """

    kind: ResultKind
    of: str
    experiment: Experiment | None
    content: Mapping[str, Any] = field(repr=False)
    file: Path
    is_current: bool

    @cached_property
    def digest(self) -> str:
        """What seals name it by."""
        return json_sha256(self.content)

    @cached_property
    def exports(self) -> Exports:
        """The tables that are made from it; none where its content is not as this package writes it."""
        try:
            return {**_exports(self.kind, self.content), **self._tables_of_cases()}
        except UNUSABLE:
            return {}

    def _tables_of_cases(self) -> Exports:
        """Returns what lies beside an evaluation, and is more of it than its means."""
        if self.kind != "evaluation" or not self.is_current:
            return {}
        files = [self.file.parent / name for name in (CSV_FILE, PARQUET_FILE)]
        return {file.name: file.read_bytes for file in files if file.is_file()}

    @property
    def title(self) -> str:
        """What it is, for people."""
        names = {"cv_summary": "summary", "best_configuration": "choice"}
        which = "the" if self.is_current else "an earlier"
        where = " on the test set" if self.is_of_test_set else ""
        return f"{which} {names.get(self.kind, self.kind)} of {self.of}{where}"

    @property
    def is_of_test_set(self) -> bool:
        """Whether it is the evaluation of a test set, and not of validation cases."""
        return self.kind == "evaluation" and self.file.parent.name == GAP_FOLDER

    @property
    def subject(self) -> str:
        """The same where a sentence begins."""
        return self.title[0].upper() + self.title[1:]


def known_results(roots: Roots, dataset: str | None = None) -> Iterator[KnownResult]:
    """Yields the results of a project, of each the current one first.

    Args:
        roots: nnU-Net's folders.
        dataset: Only of this one; None: of all.
    """
    datasets = []
    for model in models_in(roots.results):
        if dataset not in (None, model.experiment.dataset):
            continue
        datasets.append(model.experiment.dataset)
        own = model.folder / SUMMARY_FOLDER
        of = "/".join(model.experiment.key_prefix)
        yield from _both("cv_summary", of, model.experiment, own / CV_SUMMARY_FILE)
        declared = evaluation_folder(model.folder)
        for file in (declared / EVALUATION_FILE, *sorted(declared.glob(f"*/{EVALUATION_FILE}"))):
            yield from _both("evaluation", of, model.experiment, file)
        yield from _both("evaluation", of, model.experiment, own / GAP_FOLDER / EVALUATION_FILE)
        yield from _both("gap", of, model.experiment, own / GAP_FOLDER / GAP_FILE)
    for name in dict.fromkeys(datasets):
        own = comparison_folder(roots, name)
        yield from _both("comparison", name, None, own / COMPARISON_FILE)
        yield from _both("best_configuration", name, None, own / BEST_CONFIGURATION_FILE)


def experiment_named(name: str, dataset: str | None = None) -> Experiment | None:
    """Returns what `DATASET/VARIANT/TRAINER__PLANS__CONFIGURATION` is of; without a dataset where that is known."""
    parts = [*([dataset] if dataset else []), *name.split("/")]
    if len(parts) == 3 and parts[1] == ENSEMBLES:
        return Experiment.ensemble(parts[0], parts[2])
    model = parts[-1].split("__")
    if len(parts) not in (2, 3) or len(model) != 3:
        return None
    trainer, plans, configuration = model
    return Experiment(parts[0], configuration, trainer, plans, parts[1] if len(parts) == 3 else None)


def kind_of(content: Mapping[str, Any]) -> ResultKind | None:
    """Returns which result a JSON content is; None: none that this package writes."""
    marks: Mapping[ResultKind, set[str]] = {
        "cv_summary": {"experiment", "expected_folds", "folds"},
        "comparison": {"experiments", "differences", "standings"},
        "best_configuration": {"candidates", "chosen", "expected"},
        "evaluation": {"policy_digest", "labels", "subject"},
        "gap": {"gaps", "predictions", "folds"},
    }
    return next((kind for kind, names in marks.items() if names <= content.keys()), None)


def _both(kind: ResultKind, of: str, experiment: Experiment | None, file: Path) -> Iterator[KnownResult]:
    if content := readable_json(file):
        yield KnownResult(kind, of, experiment, content, file, is_current=True)
    for earlier in earlier_result_files(file):
        if isinstance(earlier, dict):
            yield KnownResult(kind, of, experiment, earlier, file, is_current=False)


def _exports(kind: ResultKind, content: Mapping[str, Any]) -> Exports:
    if kind == "cv_summary":
        return summary_exports(ScoredSummary.from_json(content))
    if kind == "comparison":
        from nnunet_assets.core.comparison.comparison_files import comparison_of

        return comparison_exports(comparison_of(content))
    if kind == "best_configuration":
        from nnunet_assets.core.selection.best_configuration_files import best_configuration_of

        return choice_exports(best_configuration_of(content))
    if kind == "evaluation":
        return evaluation_exports(content)
    if kind == "gap":
        from nnunet_assets.core.evaluation.gap import gaps_from_json

        return gap_exports(gaps_from_json(content, content["folds"]) or [])
    return {}
