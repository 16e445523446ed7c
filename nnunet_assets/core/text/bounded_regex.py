"""A user's regular expression on many names, ended when it takes too long.

An expression such as `(a+)+b` tries a number of ways that doubles with each letter, and nothing in this process could
end it: `re` neither counts nor lets go of the interpreter. So it runs in a process of its own, without site-packages.
"""

import json
import subprocess
import sys
from collections.abc import Sequence

from nnunet_assets.errors import ConfigError

MOST_SECONDS = 20.0
"""For all names together. A thousand names take a millisecond."""

_PROGRAM = """
import json, re, sys
pattern, group, names = json.load(sys.stdin)
found = (re.fullmatch(pattern, name) for name in names)
json.dump([match and match[group] for match in found], sys.stdout)
"""


def groups_by_regex(
    pattern: str, group: str, names: Sequence[str], most_seconds: float = MOST_SECONDS
) -> list[str | None]:
    """Returns the text of a group, name by name; None where the whole name does not match, or the group is not in it.

    Args:
        pattern: A regular expression with the group.
        group: Its name.
        names: What is matched.
        most_seconds: For all names.

    Raises:
        ConfigError: It takes longer.
    """
    try:
        ended = subprocess.run(
            [sys.executable, "-I", "-S", "-c", _PROGRAM],
            input=json.dumps([pattern, group, list(names)]),
            capture_output=True,
            text=True,
            check=True,
            timeout=most_seconds,
        )
    except subprocess.TimeoutExpired:
        raise ConfigError(
            f"The pattern {pattern!r} takes more than {most_seconds:g} s for {len(names)} names. Repetitions within "
            "repetitions, such as (a+)+, try every way to divide a name; write it without them, or name the groups in "
            "a file."
        ) from None
    found: list[str | None] = json.loads(ended.stdout)
    return found
