"""What is asked of the process that makes the masks of an ensemble and scores them."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class CaseToEnsemble:
    """A case, whose mask is missing.

    Attributes:
        name: The case id.
        probabilities: Of its members, in the order in which they are added.
        part: Where the mask is written.
        file: The name that it takes when it is whole.
    """

    name: str
    probabilities: tuple[Path, ...]
    part: Path
    file: Path


@dataclass(frozen=True)
class FoldToEnsemble:
    """A fold of an ensemble.

    Attributes:
        folder: Of the fold; its masks lie in `validation/`, and its scores beside them when all are there.
        model_folder: Of the ensemble's first member: its plans name the reader of the files, its dataset.json the
            labels, which are those of all.
        cases_folder: The preprocessed cases of that member, in which the place of each image is recorded.
        references: What the masks are scored against.
        cases: Those whose mask is missing.
    """

    folder: Path
    model_folder: Path
    cases_folder: Path
    references: Path
    cases: tuple[CaseToEnsemble, ...]


@dataclass(frozen=True)
class EnsemblingRequest:
    """Folds of one or more ensembles, one after the other.

    Attributes:
        n_threads: How many cases may be in memory at once.
        folds: Those that are not finished.
    """

    n_threads: int
    folds: tuple[FoldToEnsemble, ...]
