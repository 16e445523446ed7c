"""How a dataset is split into folds, as a researcher may declare it."""

from pathlib import Path
from typing import Annotated

from pydantic import Field, model_validator

from nnunet_assets.core.splits.case_groups import GROUP, GroupPattern, GroupSource, GroupTable, pattern_problem
from nnunet_assets.core.splits.splits import NNUNET_SEED, OnNewCases
from nnunet_assets.declarations.fields import Declaration


class GroupsConfig(Declaration):
    """What says which cases belong together (a patient, a site): a pattern on their names, or a column of a table."""

    pattern: Annotated[str, Field(min_length=1)] | None = None
    """A regular expression of the whole case name in which (?P<group>...) is the group."""
    file: Annotated[str, Field(min_length=1)] | None = None
    """A CSV or TSV with a header: a path, absolute or from the project's folder."""
    case: Annotated[str, Field(min_length=1)] = "case"
    """The file's column of case names."""
    column: Annotated[str, Field(min_length=1)] = GROUP
    """The file's column of groups."""

    @model_validator(mode="after")
    def _one_source(self) -> "GroupsConfig":
        if (self.pattern is None) == (self.file is None):
            raise ValueError("name the groups by `pattern` or by `file`, one of the two")
        if self.pattern is not None:
            if without_file := sorted({"case", "column"} & self.model_fields_set):
                raise ValueError(f"`{without_file[0]}` names a column of `file`, and there is none beside `pattern`")
            if problem := pattern_problem(self.pattern):
                raise ValueError(problem)
        return self

    def source(self, project: Path) -> GroupSource:
        """Returns what knows the group of a case.

        Args:
            project: The project's folder, where a relative path of the file begins.
        """
        if self.pattern is not None:
            return GroupPattern(self.pattern)
        return GroupTable(project / str(self.file), self.case, self.column)


class SplitsConfig(Declaration):
    """How the cases are split into folds, where not as nnU-Net does it."""

    seed: Annotated[int, Field(ge=0, lt=2**32)] = NNUNET_SEED
    """Decides which case goes where; the default is nnU-Net's."""
    groups: GroupsConfig | None = None
    """Cases that must stay together, in training or in validation. Absent: each case for itself."""
    stratify: bool = False
    """Spread presence and volume of each label evenly over the folds."""
    leave_one_group_out: bool = False
    """One fold for each group of `groups.file`, which validates that group alone."""
    file: Annotated[str, Field(min_length=1)] | None = None
    """A split of your own in nnU-Net's form: a path, absolute or from the project's folder."""
    on_new_cases: OnNewCases = "refuse"
    """What to do where folds were trained and cases were added or removed since."""

    @model_validator(mode="after")
    def _does_not_contradict_itself(self) -> "SplitsConfig":
        others = [name for name in ("seed", "stratify", "leave_one_group_out") if name in self.model_fields_set]
        if self.file is not None and others:
            raise ValueError(f"`file` is a split already, so `{others[0]}` has no effect; remove one of them")
        if self.file is not None and self.on_new_cases == "extend":
            raise ValueError("a split of your own (`file`) is not extended: add the new cases to it yourself")
        if self.leave_one_group_out:
            if self.groups is None or self.groups.file is None:
                raise ValueError(
                    "`leave_one_group_out` makes a fold of each group, which must be known before the cases are: name "
                    "them in `groups`, with a `file`"
                )
            if idle := [name for name in ("seed", "stratify") if name in self.model_fields_set]:
                raise ValueError(f"`leave_one_group_out` leaves nothing to `{idle[0]}`; remove one of them")
        return self
