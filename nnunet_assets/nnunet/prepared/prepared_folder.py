"""Where a dataset is prepared: its folder in `nnUNet_preprocessed`, and the locks of those who write there.

On disk, in `nnUNet_preprocessed/DATASET/.nnunet_assets/`: `raw.json` (see `raw_records`), `raw/` (the raw roots of
`curated_dataset`), `PLANS.json` (see `plans_stamps`) and `cases/FOLDER/` with the sets of preprocessed cases (see
`case_sets`). Sets are kept by folder and not by plans, since several plans may share one: nnU-Net's ResEnc plans take
the cases of `nnUNetPlans`.
"""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from nnunet_assets.core.files.layout import OWN_FOLDER, Roots
from nnunet_assets.core.progress import Progress
from nnunet_assets.errors import DamagedFileError
from nnunet_assets.nnunet.plans.plans import Plans
from nnunet_assets.nnunet.prepared.case_sets import writing

REFERENCES = "gt_segmentations"
"""nnU-Net's folder of the label images that every validation is scored against."""


@dataclass(frozen=True)
class PreparedFolder:
    """A dataset's folder in `nnUNet_preprocessed`.

    Attributes:
        roots: nnU-Net's folders, as the project has them.
        dataset: `DatasetXXX_Name`.
    """

    roots: Roots
    dataset: str

    @property
    def folder(self) -> Path:
        """nnU-Net's own."""
        return self.roots.preprocessed / self.dataset

    @property
    def own(self) -> Path:
        """The hidden folder of what this package writes."""
        return self.folder / OWN_FOLDER

    @property
    def references(self) -> Path:
        """The label images that every validation is scored against."""
        return self.folder / REFERENCES

    @property
    def intake_folder(self) -> Path:
        """What the look at the raw data leaves: its report, pictures and caches."""
        return self.own / "intake"

    @property
    def fact_cache(self) -> Path:
        """What was found in each file of the raw data."""
        return self.intake_folder / "case_facts.json"

    def curated_root(self, curation: str) -> Path:
        """Returns where a curated raw root lies."""
        return self.own / "raw" / curation

    def plans_file(self, plans: str) -> Path:
        """Returns where nnU-Net keeps the plans."""
        return self.folder / f"{plans}.json"

    def plans(self, name: str) -> Plans:
        """Returns plans as they are now.

        Raises:
            DamagedFileError: They are damaged.
        """
        return Plans.read(self.plans_file(name))

    def plans_on_disk(self) -> Iterator[Plans]:
        """Yields the plans that are there, whoever made them."""
        for path in self.folder.glob("*.json"):
            with suppress(DamagedFileError):  # a damaged file wants nothing; that of the splits is a list
                plans = Plans.read(path)
                if "configurations" in (plans.content or {}):
                    yield plans

    def sets_folder(self, shown: Path) -> Path:
        """Returns where the sets lie that are shown in one of nnU-Net's folders of preprocessed cases."""
        return self.own / "cases" / shown.name

    @contextmanager
    def preparing(self, progress: Progress) -> Iterator[None]:
        """Holds the dataset for looking at it, splitting, planning and preprocessing it, for whatever plans.

        They share its raw data, its split and its fingerprint. Whoever holds it must not take it again.

        Args:
            progress: Hears of it before this waits for another process that holds it.
        """
        self.own.mkdir(parents=True, exist_ok=True)
        waits = f"{self.dataset} is being prepared by another process; waiting for it."
        with writing(self.own, on_wait=lambda: progress.say(waits)):
            yield

    @contextmanager
    def writing(self, shown: Path) -> Iterator[None]:
        """Holds preprocessed cases for making them, or showing them to nnU-Net; waits for who does it already.

        Args:
            shown: nnU-Net's folder of them.
        """
        folder = self.sets_folder(shown)
        folder.mkdir(parents=True, exist_ok=True)
        with writing(folder):
            yield
