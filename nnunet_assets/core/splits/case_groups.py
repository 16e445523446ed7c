"""Which group (patient, site) each case belongs to: by a pattern on its name, or by a column of a table.

The table is the user's own: CSV or TSV, as spreadsheets and BIDS write it, with a column of case names and one of
groups. It may hold cases that the dataset does not have.
"""

import csv
import io
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from nnunet_assets.core.files.regular_file import regular_text
from nnunet_assets.core.text.bounded_regex import groups_by_regex
from nnunet_assets.errors import ConfigError, DatasetError, first_offenders

GROUP = "group"
"""The name that the group has in a pattern, and its column in a table where no other is declared."""

_DELIMITERS = ",;\t"


@dataclass(frozen=True)
class GroupPattern:
    """A regular expression that matches whole case names and names their group `(?P<group>...)`."""

    pattern: str

    @property
    def title(self) -> str:
        """What messages and records call it."""
        return f"the pattern {self.pattern}"

    def of(self, cases: Sequence[str]) -> dict[str, str]:
        """Returns the group of each case.

        Raises:
            ConfigError: The pattern takes too long.
            DatasetError: A case does not match, or its group is empty.
        """
        found = groups_by_regex(self.pattern, GROUP, cases)
        groups = {case: group for case, group in zip(cases, found, strict=True) if group}
        if missing := sorted(set(cases) - set(groups)):
            raise DatasetError(
                f"{self.title} of `splits.groups` does not give these cases a group: {first_offenders(missing)}. It "
                "must match the whole name of every case. Correct it, or name the groups in a file."
            )
        return groups


@dataclass(frozen=True)
class GroupTable:
    """A table that names the group of each case.

    Attributes:
        path: CSV or TSV with a header; UTF-8.
        case: The column of case names.
        column: The column of groups.
    """

    path: Path
    case: str
    column: str

    @property
    def title(self) -> str:
        """What messages and records call it."""
        return f"the column {self.column!r} of {self.path.name}"

    def of(self, cases: Sequence[str]) -> dict[str, str]:
        """Returns the group of each case.

        Raises:
            ConfigError: The table cannot be read; as for `read`.
            DatasetError: It names no group for a case.
        """
        known = self.read()
        if missing := sorted(set(cases) - set(known)):
            raise DatasetError(
                f"{self.path} names no group for these cases: {first_offenders(missing)}. Each case of the dataset "
                f"needs a row with its name in {self.case!r} and its group in {self.column!r}."
            )
        return {case: known[case] for case in cases}

    def read(self) -> dict[str, str]:
        """Returns the group of every case that the table names.

        Raises:
            ConfigError: The table is missing, is no UTF-8, lacks a column, or leaves a case without a group or with
                two.
        """
        groups: dict[str, str] = {}
        for line, row in self._rows():
            case, group = ((row.get(name) or "").strip() for name in (self.case, self.column))
            if not case and not group:
                continue
            if not case or not group:
                lacks = f"the case {case!r} has no group" if case else f"the group {group!r} has no case"
                raise ConfigError(f"{self.path}, line {line}: {lacks}. Complete the row, or remove it.")
            if groups.setdefault(case, group) != group:
                raise ConfigError(
                    f"{self.path}, line {line}: the case {case!r} belongs to {group!r} here and to {groups[case]!r} "
                    "above. A case has one group."
                )
        return groups

    def _rows(self) -> list[tuple[int, Mapping[str, str | None]]]:
        """Returns the rows with their lines in the file, from 1."""
        try:
            text = regular_text(self.path, "utf-8-sig")
        except FileNotFoundError:
            raise ConfigError(
                f"There is no file {self.path}. A relative path begins in the project's folder."
            ) from None
        except OSError as error:
            raise ConfigError(f"{self.path} cannot be read: {error.strerror}.") from None
        except UnicodeDecodeError as error:
            raise ConfigError(f"{self.path}: byte {error.start} is not UTF-8. Save the table as UTF-8.") from None
        header = text.partition("\n")[0]
        delimiter = max(_DELIMITERS, key=header.count)
        reader = csv.DictReader(io.StringIO(text, newline=""), delimiter=delimiter, skipinitialspace=True)
        columns = list(reader.fieldnames or [])
        for name in (self.case, self.column):
            if name not in columns:
                # Of a file with neither of the two, nothing is shown: it may be no table at all.
                is_table = not columns or bool({self.case, self.column} & set(columns))
                shown = f" Its columns: {', '.join(columns) or 'none'}." if is_table else ""
                raise ConfigError(
                    f"{self.path} has no column {name!r}.{shown} Name the right one in `splits.groups`, as `case` or "
                    "`column`."
                )
        try:
            return [(reader.line_num, row) for row in reader]
        except csv.Error as error:
            raise ConfigError(f"{self.path}, line {reader.line_num}: {error}.") from None


GroupSource = GroupPattern | GroupTable


def pattern_problem(pattern: str) -> str | None:
    """Returns why a regular expression cannot name groups; None: it can."""
    try:
        compiled = re.compile(pattern)
    except re.error as error:
        return f"'{pattern}' is no regular expression: {error}"
    if GROUP not in compiled.groupindex:
        return f"'{pattern}' does not say which part of a case's name is its group: write (?P<group>...) around it"
    return None
