"""What the verification of a file found, as one list: what holds, what is different, what cannot be checked any more.

A file holds where everything that was looked at does. One difference is enough for it not to; where there is none, what
cannot be checked any more is said of the whole.
"""

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any, Literal

Level = Literal["file", "source", "scores", "masks", "checkpoints", "inputs"]
LEVELS: dict[Level, str] = {
    "file": "The file against what it was made from.",
    "source": "What it was made from against what lies in the project now.",
    "scores": "The scores against each fold's validation and COMMIT.",
    "masks": "The scores against the predicted masks and the references.",
    "checkpoints": "The folds' checkpoints against their manifests.",
    "inputs": "Raw data, plans and split against what is there now.",
}
"""From the file down to what the folds were trained on, each with what is compared."""

Verdict = Literal["holds", "changed", "unknown"]


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at.

    Attributes:
        level: Where on the way from the file to the data.
        what: Whose, for people: a cell, a fold, the plans.
        verdict: `holds`, `changed` (something is different), or `unknown` (it cannot be checked any more).
        sentence: Full, with the values where something is different.
    """

    level: Level
    what: str
    verdict: Verdict
    sentence: str


@dataclass(frozen=True)
class Verification:
    """What was found about one file.

    Attributes:
        file: As it was named.
        what: What it is, for people; empty: nobody knows.
        findings: In the order of `LEVELS`; at least one.
        left_out: What was not looked at, since nobody wanted it: full sentences.
    """

    file: str
    what: str
    findings: tuple[Finding, ...]
    left_out: tuple[str, ...] = ()

    @classmethod
    def of(cls, file: str, what: str, findings: Iterable[Finding], left_out: Iterable[str] = ()) -> "Verification":
        """Returns the findings in their order, each once."""
        order = list(LEVELS)
        found = sorted(dict.fromkeys(findings), key=lambda one: order.index(one.level))
        return cls(file, what, tuple(found), tuple(left_out))

    @property
    def verdict(self) -> Verdict:
        """What is said of the file as a whole."""
        return worst(one.verdict for one in self.findings)

    def headline(self) -> str:
        """Returns the result in one line: `cv_table.tex: holds (8 things were looked at)`."""
        n = {
            verdict: sum(one.verdict == verdict for one in self.findings) for verdict in ("holds", "changed", "unknown")
        }
        n_looked_at = len(self.findings)
        looked_at = "1 thing was" if n_looked_at == 1 else f"{n_looked_at} things were"
        if self.verdict == "holds":
            said = f"holds ({looked_at} looked at)"
        elif self.verdict == "changed":
            rest = f", {n['unknown']} cannot be checked" if n["unknown"] else ""
            said = f"is different: {n['changed']} of {n_looked_at}{rest}"
        else:
            said = f"cannot be checked any more in {n['unknown']} of {n_looked_at}; nothing is different"
        return f"{self.file}: {said}"

    def to_json(self) -> dict[str, Any]:
        """Returns it as JSON values."""
        return {
            "file": self.file,
            "what": self.what,
            "verdict": self.verdict,
            "findings": [asdict(one) for one in self.findings],
            "left_out": list(self.left_out),
        }


def worst(verdicts: Iterable[Verdict]) -> Verdict:
    """Returns what is said where several things were looked at; `holds` where nothing was."""
    found = set(verdicts)
    return "changed" if "changed" in found else "unknown" if "unknown" in found else "holds"
