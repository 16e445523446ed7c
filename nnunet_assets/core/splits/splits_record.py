"""How a dataset's split came to be, so that ours, one that was edited and the user's own are told apart.

On disk: `nnUNet_preprocessed/DATASET/.nnunet_assets/splits.json`, a list of generations. A generation is written before
the splits file that it describes, so the file of a write that was cut short is that of an earlier generation.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from nnunet_assets.core.files.digests import json_sha256
from nnunet_assets.core.files.layout import fold_index, fold_key
from nnunet_assets.core.splits.splits import Split, coverage, split_of

SCHEMA = 1

Origin = Literal["made", "extended"]


@dataclass(frozen=True)
class Generation:
    """One state of the split.

    Attributes:
        made_at: ISO 8601, UTC.
        origin: `made` from all cases, or `extended` from the generation before.
        settings: `SplitSettings.record` of then.
        splits_sha256: Digest of the splits, as a fold's inputs have it.
        added: The cases that came in, by the fold that validates them: all of them where it was made.
        removed: The cases that the generation before had and this one has not.
        groups: Group by case; empty: there were none.
        training_only: The cases that a file of the user's own trains on and validates in no fold.
        left_out: The cases of the dataset that such a file does not name.
    """

    made_at: str
    origin: Origin
    settings: Mapping[str, Any]
    splits_sha256: str
    added: Mapping[str, Sequence[str]]
    removed: Sequence[str]
    groups: Mapping[str, str]
    training_only: Sequence[str] = ()
    left_out: Sequence[str] = ()


@dataclass(frozen=True)
class SplitsRecord:
    """All generations, and what a split must keep together, whoever made it.

    Attributes:
        generations: Oldest first; none where this project did not make the split.
        groups: Group by case, as declared when the split was last materialized; empty: none were.
    """

    generations: tuple[Generation, ...] = ()
    groups: Mapping[str, str] = field(default_factory=dict)

    def until(self, splits: Sequence[Split]) -> "SplitsRecord":
        """Returns the record up to the generation that these splits are of; without any where they are of none."""
        digest = json_sha256(list(splits))
        last = max((i for i, made in enumerate(self.generations) if made.splits_sha256 == digest), default=-1)
        return SplitsRecord(self.generations[: last + 1], self.groups)

    def validation(self) -> dict[str, int]:
        """Returns the fold that validates each case, in the last generation."""
        folds: dict[str, int] = {}
        for generation in self.generations:
            folds = {} if generation.origin == "made" else folds
            folds = {case: fold for case, fold in folds.items() if case not in generation.removed}
            folds |= {case: int(fold_index(fold)) for fold, cases in generation.added.items() for case in cases}
        return folds

    @property
    def known_cases(self) -> set[str]:
        """The cases that the last generation was made for, validated or not."""
        last = self.generations[-1:]
        return {*self.validation(), *(case for made in last for case in (*made.training_only, *made.left_out))}

    def splits(self) -> list[Split] | None:
        """Returns the split of the last generation; None: there is none, or more than the record holds."""
        validation = self.validation()
        splits = split_of(validation, max(validation.values(), default=-1) + 1)
        # A user's own file may train on fewer cases.
        is_whole = bool(self.generations) and json_sha256(splits) == self.generations[-1].splits_sha256
        return splits if is_whole else None

    def followed_by(
        self,
        splits: Sequence[Split],
        *,
        made_at: str,
        origin: Origin,
        settings: Mapping[str, Any],
        groups: Mapping[str, str],
        cases: Sequence[str] = (),
    ) -> "SplitsRecord":
        """Returns the record with one more generation, of these splits.

        Args:
            cases: All cases of the dataset where a split may leave some out, as a file of the user's own; else none.
        """
        before = self.validation()
        known = before if origin == "extended" else {}
        added = {
            fold_key(index): [case for case in split["val"] if case not in known] for index, split in enumerate(splits)
        }
        covered = coverage(splits, cases)
        generation = Generation(
            made_at=made_at,
            origin=origin,
            settings=dict(settings),
            splits_sha256=json_sha256(list(splits)),
            added={fold: names for fold, names in added.items() if names},
            removed=sorted(set(before) - set(covered.validated)),
            groups=dict(groups),
            training_only=covered.training_only,
            left_out=covered.left_out,
        )
        return SplitsRecord((*self.generations, generation), generation.groups)

    def to_json(self) -> dict[str, Any]:
        """Returns the content of the file."""
        return {"schema": SCHEMA, **asdict(self)}

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> "SplitsRecord":
        """Returns what `to_json` made; nothing of another schema, whose split then counts as the user's own."""
        if content.get("schema") != SCHEMA:
            return cls()
        generations = tuple(Generation(**generation) for generation in content["generations"])
        # Older versions kept them with the generations alone.
        return cls(generations, content.get("groups", generations[-1].groups if generations else {}))
