"""The test set of a dataset, looked at before anything is predicted: its cases and all that is wrong with them.

On disk, in `nnUNet_raw/DATASET`: `imagesTs`, named as `imagesTr` is, and `labelsTs` where there are references. No fold
has seen these cases. What was read of them is kept beside what is known of the training cases (see `fact_cache`).
"""

from dataclasses import dataclass
from pathlib import Path

from nnunet_assets.core.dataset.dataset_json import DatasetDescription
from nnunet_assets.core.dataset.findings import Finding
from nnunet_assets.core.files.layout import Roots
from nnunet_assets.core.progress import SILENT, Progress
from nnunet_assets.errors import DatasetError
from nnunet_assets.nnunet.cases.fact_cache import FactCache
from nnunet_assets.nnunet.predictions.checked_images import CheckedCase, check_images
from nnunet_assets.nnunet.prepared.prepared_folder import PreparedFolder
from nnunet_assets.nnunet.raw.case_files import TEST_IMAGES, TEST_LABELS, find_test_cases


@dataclass(frozen=True)
class CheckedTestSet:
    """The test set of a dataset; nothing in it keeps it from being predicted.

    Attributes:
        folder: The raw dataset.
        cases: By name; at least one.
        warnings: What its owner should look at.
    """

    folder: Path
    cases: tuple[CheckedCase, ...]
    warnings: tuple[Finding, ...]

    @property
    def references(self) -> Path | None:
        """The folder of the references; None: there are none, of any case."""
        return self.folder / TEST_LABELS if self.cases[0].reference else None


def read_test_set(
    roots: Roots,
    dataset: str,
    description: DatasetDescription,
    progress: Progress = SILENT,
    model_folder: Path | None = None,
    *,
    cache: FactCache | None = None,
) -> CheckedTestSet:
    """Reads every file of the test set that changed since the last time, and returns its cases.

    Args:
        roots: nnU-Net's folders.
        dataset: `DatasetXXX_Name`.
        description: The dataset.json of the model that is to predict.
        progress: Hears of each case.
        model_folder: Of that model, whose plans name nnU-Net's reader; None: the reader that dataset.json leads to.
        cache: What is known from before; None: what was kept beside the training cases.

    Raises:
        DatasetError: There is no test set, or something is wrong with it: a channel or a reference is missing, a
            reference has no image, or lies elsewhere than its image. All of it is named.
    """
    folder = roots.raw / dataset
    if not (folder / TEST_IMAGES).is_dir():
        raise DatasetError(
            f"There is no test set to predict: {folder / TEST_IMAGES} does not exist. Put the test images there, named "
            f"as in imagesTr, and their references, if there are any, into {folder / TEST_LABELS}; or take `test_set` "
            "out of the experiment."
        )
    try:
        found, findings = find_test_cases(folder, description)
    except OSError as error:
        raise DatasetError(f"{error.filename or folder} cannot be listed: {error.strerror}.") from None
    checked = check_images(
        f"The test set of {dataset}",
        found,
        findings,
        folder,
        description,
        model_folder=model_folder,
        cache=cache or FactCache(PreparedFolder(roots, dataset).intake_folder / "test_case_facts.json"),
        progress=progress,
        what="cases of the test set read",
    )
    return CheckedTestSet(folder, checked.cases, checked.warnings)
