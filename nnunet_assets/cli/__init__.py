"""The `nnunet-assets` command, one file a verb."""

import os
import sys

# Before any other import: the current folder is in `sys.path` where `PYTHONPATH` has an empty or a relative entry. See
# `processes.interpreter`, which cannot be imported safely before this.
for _entry in os.environ.get("PYTHONPATH", "").split(os.pathsep) if os.environ.get("PYTHONPATH") else ():
    if not os.path.isabs(_entry) and (_folder := os.path.abspath(_entry)) in sys.path:  # noqa: PTH100, PTH117
        sys.path.remove(_folder)


def run() -> None:
    """Runs the command, as the installed script does; Ctrl-C ends it in words from its first import on."""
    try:
        from nnunet_assets.cli.main import main

        main()
    except KeyboardInterrupt:
        from nnunet_assets.cli.exit_codes import INTERRUPTED

        sys.stderr.write("\nInterrupted.\n")
        sys.exit(INTERRUPTED)
