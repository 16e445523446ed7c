"""Which process of tests runs which file, where several run side by side."""

import re

from xdist.scheduler import LoadFileScheduling
from xdist.workermanage import WorkerController

ALIKE = (
    # They import nnU-Net, for 6 s in each process and once more in its warm Python.
    re.compile(
        r"nnunet_assets_tests/(?:nnunet/(?!cases|images|importing|prepared|new_images)|trainers/|version_0_1_0/"
        r"|cli/fold/test_train\.|workflows/fold/test_(?:tracked_trainer|dry_run)\.|test_warm_python\."
        r"|core/dataset/test_(?:dataset_json|configurations|region_rules)\.|core/evaluation/test_metrics_of_monai\.)"
    ),
    # They share an MLflow server, which takes 4 s to start.
    re.compile(r"nnunet_assets_tests/(tracking|workflows/registry)/"),
)
"""Files whose tests share what takes seconds and lives in a process: each kind has a process of its own."""


class AlikeTogether(LoadFileScheduling):  # type: ignore[misc]
    """Deals files in their order: to a process those of its kind, then those of none, then whatever is left."""

    def _assign_work_unit(self, node: WorkerController) -> None:
        """Deals a process one file."""
        own = self.nodes.index(node)
        kinds = {file: _kind_of(file) for file in self.workqueue}
        wanted = next((file for kind in (own, None) for file in kinds if kinds[file] == kind), None)
        if wanted:
            self.workqueue.move_to_end(wanted, last=False)
        super()._assign_work_unit(node)


def _kind_of(file: str) -> int | None:
    return next((number for number, names in enumerate(ALIKE) if names.match(file)), None)
