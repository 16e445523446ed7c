"""The files of one case of a raw dataset."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class CaseFiles:
    """The files of one case; only those that are there.

    Attributes:
        case: The case's name.
        images: By channel.
        label: None where it is missing.
    """

    case: str
    images: tuple[Path, ...]
    label: Path | None
