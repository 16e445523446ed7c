"""What a check of a dataset found: one value a problem, and the text that shows them all without drowning anyone."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from nnunet_assets.errors import DatasetError

Severity = Literal["error", "warning"]

SHOWN = 5
"""Of each code, in a text."""


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong with a dataset, or that its owner should look at.

    Attributes:
        code: `D001` ...; one code a kind of problem.
        severity: `error` stops planning and training; `warning` does not.
        message: Full sentences that stand alone: which file, what is wrong, what to do.
        case: The case's name; None where the finding concerns the whole dataset.
        file: Path relative to the dataset's folder; None where no single file is to blame.
    """

    code: str
    severity: Severity
    message: str
    case: str | None = None
    file: str | None = None


def findings_text(findings: Sequence[Finding]) -> str:
    """Returns a line a finding, `D026 ...`, grouped by code: of each code the first few and how many more there are.

    So a label that is missing in 500 cases hides no other problem. No findings: the empty string.
    """
    lines = []
    for code in dict.fromkeys(finding.code for finding in findings):
        same = [finding for finding in findings if finding.code == code]
        lines += [f"{code} {finding.message}" for finding in same[:SHOWN]]
        if len(same) > SHOWN:
            lines.append(f"{code} ... and {len(same) - SHOWN} more of this kind, {len(same)} in all.")
    return "\n".join(lines)


def refuse_errors(subject: str, findings: Sequence[Finding]) -> None:
    """Passes where no finding is an error.

    Args:
        subject: What was looked at, the first words of the message: a dataset's name or a file.

    Raises:
        DatasetError: At least one finding is an error; the message holds all of them.
    """
    errors = [finding for finding in findings if finding.severity == "error"]
    if errors:
        count = "1 problem" if len(errors) == 1 else f"{len(errors)} problems"
        raise DatasetError(f"{subject} has {count}:\n{findings_text(errors)}")
