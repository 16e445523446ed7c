"""The checks of `cv_summary`, as Dagster shows them: warnings, each with its numbers."""

import math
from collections.abc import Sequence

import dagster as dg

from nnunet_assets.core.text.numbers import significant
from nnunet_assets.reports.text.escaping import escape_markdown
from nnunet_assets.reports.text.rows import markdown_table
from nnunet_assets.workflows.results.check_summary import CHECKS, CheckedSummary


def summary_check_specs(key: dg.AssetKey) -> list[dg.AssetCheckSpec]:
    """Returns what the checks of a summary are."""
    return [dg.AssetCheckSpec(name, asset=key, description=text) for name, text in CHECKS.items()]


def summary_check_results(found: Sequence[CheckedSummary]) -> list[dg.AssetCheckResult]:
    """Returns what the checks found."""
    return [
        dg.AssetCheckResult(
            check_name=one.name,
            passed=not one.problems,
            severity=dg.AssetCheckSeverity.WARN,
            description=one.description,
            metadata={
                **{
                    name: dg.MetadataValue.int(number) if isinstance(number, int) else _short(number)
                    for name, number in one.numbers.items()
                },
                **({"table": _table(one)} if one.header else {}),
                **{name: dg.MetadataValue.text(text) for name, text in one.texts.items()},
            },
        )
        for one in found
    ]


def _short(number: float) -> dg.MetadataValue:
    return dg.MetadataValue.float(float(significant(number)) if math.isfinite(number) else number)


def _table(one: CheckedSummary) -> dg.MetadataValue:
    header, *rows = ([escape_markdown(str(cell)) for cell in row] for row in (one.header, *one.rows))
    return dg.MetadataValue.md(markdown_table(header, rows))
