"""What a check of `doctor` found."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Finding:
    """One line of the report.

    Attributes:
        level: An error keeps something from working; a warning may, or makes it slow.
        what: What was looked at.
        found: What is there, in words.
        remedy: What to do; empty where there is nothing to do.
    """

    level: Literal["ok", "warning", "error"]
    what: str
    found: str
    remedy: str = ""
