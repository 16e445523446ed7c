"""Where commands print their tables."""

import sys

from rich.console import Console


def console() -> Console:
    """Returns the console of standard output, which prints text as it is: brackets in a path are no markup.

    A pipe or a file has no width, and rich would take 80 columns and break names in the middle.
    """
    return Console(width=None if sys.stdout.isatty() else 200, highlight=False, markup=False)
