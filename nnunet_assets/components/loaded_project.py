"""The project that a load of definitions belongs to, read once for all of its components."""

import dagster as dg

from nnunet_assets.declarations.project import Project, read_project

_last_read: tuple[dg.ComponentTree, Project] | None = None


def loaded_project(context: dg.ComponentLoadContext) -> Project:
    """Returns the project's declarations as they were when this load began.

    Every component needs them all (a dataset, the configurations of its experiments; an experiment, its dataset), and
    reading fifty files for each of fifty components is slow. Dagster makes a new component tree for each load, so a
    reload sees what was edited.
    """
    global _last_read  # noqa: PLW0603  # one load at a time, and no second project beside it
    if _last_read is None or _last_read[0] is not context.component_tree:
        _last_read = (context.component_tree, read_project(context.project_root))
    return _last_read[1]
