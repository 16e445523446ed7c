"""Names of cases from elsewhere as file names that are safe everywhere: on every file system, in every shell."""

import re
import unicodedata
from collections.abc import Iterable

from nnunet_assets.errors import DatasetError, first_offenders

LONGEST_CASE_NAME = 100
"""File systems take 255 bytes; nnU-Net adds endings, and a letter may take four."""


def case_names(originals: Iterable[str]) -> dict[str, str]:
    """Returns original name to case name: letters, digits, `_`, `-` and `.`, anything else as `_`.

    Letters of every script stay. A name begins and ends with none of the signs that hide a file, make it an option or
    disappear: `.`, `_` and, at the beginning, `-`.

    Raises:
        DatasetError: Two names become one, also where capitals do not count, as on some file systems; or nothing is
            left of a name, or too much.
    """
    names = {original: _case_name(original) for original in sorted(set(originals))}
    wrong = [repr(original) for original, name in names.items() if not 0 < len(name) <= LONGEST_CASE_NAME]
    if wrong:
        raise DatasetError(
            f"No case name of 1 to {LONGEST_CASE_NAME} letters, digits, '_', '-' and '.' can be made of "
            f"{first_offenders(wrong)}. Rename them."
        )
    same: dict[str, list[str]] = {}
    for original, name in names.items():
        same.setdefault(name.casefold(), []).append(original)
    clashes = [" and ".join(map(repr, group)) for group in same.values() if len(group) > 1]
    if clashes:
        raise DatasetError(
            f"Different cases would get one name: {first_offenders(clashes)}. Case names keep letters, digits, '_', "
            "'-' and '.' only, and capitals do not tell them apart. Rename one of each."
        )
    return names


def _case_name(original: str) -> str:
    return re.sub(r"[^\w.-]+", "_", unicodedata.normalize("NFC", original)).lstrip("._-").rstrip("._")
