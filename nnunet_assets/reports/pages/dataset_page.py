"""The report of one dataset as one HTML page: all its experiments, each and against each other, with provenance."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from nnunet_assets.core.comparison.comparison import SCHEMA_VERSION, Comparison
from nnunet_assets.core.files.digests import json_sha256
from nnunet_assets.core.selection.best_configuration import BestConfiguration
from nnunet_assets.core.summary.scored_summary import ScoredSummary
from nnunet_assets.core.text.places import Places
from nnunet_assets.errors import first_offenders
from nnunet_assets.reports.pages.cv_page import PageFigure
from nnunet_assets.reports.pages.page import data_uri, render_page
from nnunet_assets.reports.tables.best_configuration_rows import candidate_records, choice_tiles, step_records
from nnunet_assets.reports.tables.best_configuration_rows import notes as choice_notes
from nnunet_assets.reports.tables.comparison_rows import difference_records, halves_text, notes, rank_records
from nnunet_assets.reports.tables.comparison_table import table_header, table_notes, table_rows
from nnunet_assets.reports.tables.summary_tables import to_short_records, to_spread_records
from nnunet_assets.reports.text.experiment_names import with_short_names


@dataclass(frozen=True)
class Entry:
    """An experiment that the dataset has.

    Attributes:
        name: Within the dataset.
        summary: None: there is none that can be read.
        problem: Why there is none, else empty.
        report: Address of its own page, from this one; None: it has none.
        is_found: Whether it is an ensemble that nobody declared, which is chosen from and not compared.
    """

    name: str
    summary: ScoredSummary | None
    problem: str
    report: str | None
    is_found: bool = False


def dataset_page(
    comparison: Comparison,
    entries: Sequence[Entry],
    figures: Sequence[PageFigure],
    places: Places = Places(),  # noqa: B008 - frozen
    best: BestConfiguration | None = None,
) -> str:
    """Returns the page.

    Args:
        comparison: Of the experiments whose summaries are complete; of fewer than two it says so.
        entries: Every declared experiment, in the order of the declarations, and then what was found.
        figures: In the order of the page.
        places: Folders whose place is not to be on the page.
        best: Which model is taken; None: nothing was chosen.
    """
    # What was left out stands at the head of the page, with the reasons.
    compared = replace(comparison, left_out={})
    report = {
        "title": comparison.dataset,
        "headline": comparison.headline(),
        "tiles": list(_tiles(comparison, entries)),
        "warnings": [f"Not compared: {name}: {reason}" for name, reason in comparison.left_out.items()],
        "experiments": [_experiment(entry) for entry in entries],
        "best": _best(best, entries) if best else None,
        "header": table_header(comparison),
        "rows": table_rows(comparison),
        "table_notes": table_notes(compared),
        "ranks": with_short_names(rank_records(comparison), comparison.experiments),
        "differences": with_short_names(difference_records(comparison), comparison.experiments),
        "notes": notes(compared),
        "figures": [{"caption": f.caption, "source": data_uri(f.content, f.kind)} for f in figures],
        "provenance": dict(_provenance(comparison, entries)),
    }
    return render_page("dataset_report.html.j2", places, report=report)


def _tiles(comparison: Comparison, entries: Sequence[Entry]) -> Iterator[dict[str, str]]:
    n_declared = sum(not entry.is_found for entry in entries)
    yield {"number": f"{len(comparison.experiments)} of {n_declared}", "meaning": "experiments compared"}
    if comparison.bootstrap is not None:
        yield {"number": str(comparison.n_cases), "meaning": "shared validation cases"}
    if ranked := rank_records(comparison):
        yield {"number": ranked[0]["Dice, pooled"], "meaning": "highest Dice, pooled"}
    folds = sum(len(entry.summary.completed_folds) for entry in entries if entry.summary and not entry.is_found)
    yield {"number": str(folds), "meaning": "finished folds"}


def _best(best: BestConfiguration, entries: Sequence[Entry]) -> dict[str, Any]:
    chosen = best.chosen_candidate
    digests = {entry.name: json_sha256(entry.summary.to_json()) for entry in entries if entry.summary}
    older = [name for name, digest in best.made_of.items() if digests.get(name, digest) != digest]
    warning = (
        f"Chosen before the summary of {first_offenders(older)} was made: materialize best_configuration again."
        if older
        else ""
    )
    return {
        "chosen": best.chosen,
        "tiles": choice_tiles(best),
        "n_candidates": len(best.candidates),
        "n_cases": best.n_cases,
        "no_number": "" if best.expected else best.not_expected_because,
        "warning": warning,
        "candidates": candidate_records(best),
        "sentences": [*best.reasons(), *choice_notes(replace(best, left_out={}))],
        "model": chosen.model,
        "steps": step_records(best, chosen.model),
    }


def _experiment(entry: Entry) -> dict[str, str | None]:
    shown: dict[str, str | None] = {"name": entry.name, "report": entry.report, "problem": entry.problem}
    if entry.summary is None:
        return shown
    dice, spread = to_short_records(entry.summary)[-1], to_spread_records(entry.summary)[-1]
    return {
        **shown,
        "folds": "hold-out"
        if entry.summary.is_hold_out
        else f"{len(entry.summary.completed_folds)} of {len(entry.summary.expected_folds)}",
        "cases": str(entry.summary.n_cases),
        "pooled": dice["Dice, pooled"],
        "interval": spread["95 % interval"],
        "over_folds": dice.get("Dice, over folds", ""),
    }


def _provenance(comparison: Comparison, entries: Sequence[Entry]) -> Iterator[tuple[str, str]]:
    inputs = {entry.name: entry.summary.inputs for entry in entries if entry.summary}
    yield "raw data", ", ".join(dict.fromkeys(one.raw_hash for one in inputs.values()))
    yield "splits", ", ".join(dict.fromkeys(one.splits_hash for one in inputs.values()))
    for name, one in inputs.items():
        yield f"plans of {name}", one.plans_hash
        yield f"training settings of {name}", one.training_hash
    if drawn := comparison.bootstrap:
        made = (
            halves_text(drawn)
            if comparison.schema == SCHEMA_VERSION
            else f"{drawn.n_resamples} resamples of {drawn.n_clusters} {drawn.clustered_by}s"
        )
        yield "intervals", f"{made}, seed {drawn.seed}"
