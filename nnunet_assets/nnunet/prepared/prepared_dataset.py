"""A prepared dataset as one value: its raw data and plans, read once, and the preprocessed cases that belong to it."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import Any

from nnunet_assets.core.dataset.configurations import plans_digests
from nnunet_assets.core.dataset.dataset_json import DATASET_JSON
from nnunet_assets.core.files.digests import FileStat, now_ns, stat_of
from nnunet_assets.core.files.json_file import UNREADABLE, load_json, read_json
from nnunet_assets.core.files.layout import OWN_FOLDER, REQUEST_FILE, Experiment
from nnunet_assets.core.fold.commit import read_committed
from nnunet_assets.core.fold.version_history import NNUNET, is_other_minor
from nnunet_assets.core.splits.splits import SPLITS_FILE
from nnunet_assets.nnunet.plans.plans import Plans
from nnunet_assets.nnunet.prepared.case_records import FileRecord, Ingredients
from nnunet_assets.nnunet.prepared.case_sets import CaseSet, sets_in
from nnunet_assets.nnunet.prepared.prepared_folder import PreparedFolder
from nnunet_assets.nnunet.prepared.raw_records import curated_folder, read_raw
from nnunet_assets.nnunet.raw.raw_record import RawRecord

PLANS_FIELDS = ("image_reader_writer", "transpose_forward", "label_manager")
"""What preprocessing reads of a plans file beside the configuration and, where it is used, the intensity statistics."""

TRAINING_FIELDS = frozenset(
    {"architecture", "batch_size", "batch_dice", "patch_size", "median_image_size_in_voxels", "data_identifier"}
    | {"inherits_from", "next_stage", "previous_stage"}
    | {"resampling_fn_probabilities", "resampling_fn_probabilities_kwargs"}
)
"""What preprocessing does not read of a configuration; any other field counts. (The patch size decides how a case's
file is cut into chunks, not what is in it: nnU-Net's own plans of different patch sizes share their cases.)"""

INTENSITIES = "foreground_intensity_properties_per_channel"

WITHOUT_INTENSITIES = {"ZScoreNormalization", "NoNormalization", "RescaleTo01Normalization", "RGBTo01Normalization"}
"""nnU-Net's normalizations that look at nothing but the case itself; any other may read the dataset's statistics."""

DATASET_FIELDS = ("labels", "regions_class_order")
"""What nnU-Net's preprocessor reads of dataset.json."""

DEFAULT_PREPROCESSOR = "DefaultPreprocessor"


@dataclass(frozen=True)
class PreparedDataset:
    """A dataset with plans, as it was when it was read.

    Attributes:
        place: Where it lies.
        raw: The raw dataset as it was last looked at.
        plans: Of which there may be none.
    """

    place: PreparedFolder
    raw: RawRecord
    plans: Plans

    @classmethod
    def read(cls, place: PreparedFolder, plans: str) -> "PreparedDataset":
        """Returns what is there now.

        Raises:
            PlanningError: As `read_raw`.
            DamagedFileError: A record, or the plans, are damaged.
        """
        return cls(place, read_raw(place), place.plans(plans))

    @cached_property
    def description(self) -> Mapping[str, Any]:
        """The dataset.json that preprocessing reads; on a machine without the raw data, planning's own copy.

        Raises:
            PlanningError: As `curated_roots`.
        """
        raw = curated_folder(self.place, self.raw.curation)
        return read_json(raw / DATASET_JSON) or read_json(self.place.folder / DATASET_JSON) or {}

    @property
    def splits(self) -> Any:
        """What the splits file holds, of whatever form.

        Raises:
            OSError: There is none, or it cannot be read.
            ValueError: It is no JSON.
        """
        return self._splits_file[0]

    @property
    def is_splits_file_the_same(self) -> bool:
        """Whether nobody wrote the splits file since it was read, as the file system shows it."""
        _, stat, looked_at = self._splits_file
        try:
            return stat == stat_of(self.place.folder / SPLITS_FILE) and stat.is_settled(looked_at)
        except FileNotFoundError:
            return False

    @cached_property
    def _splits_file(self) -> tuple[Any, FileStat, int]:
        """What it holds, what the file system said of it before it was read, and when that was."""
        path = self.place.folder / SPLITS_FILE
        stat, looked_at = stat_of(path), now_ns()
        return load_json(path), stat, looked_at

    def ingredients(self, configuration: str) -> Ingredients:
        """Returns what the preprocessed cases would be made from now.

        Raises:
            PlanningError: As `curated_roots`.
            DamagedFileError: dataset.json is damaged.
        """
        content = self.plans.content or {}
        plan = self.plans.configurations.get(configuration, {})
        read = {
            **{name: content.get(name) for name in PLANS_FIELDS},
            **{name: value for name, value in plan.items() if name not in TRAINING_FIELDS},
            **_read_of_dataset(self.description, plan, content.get(INTENSITIES) or {}),
            NNUNET: version(NNUNET),
        }
        return Ingredients(
            # As text: nnU-Net writes NaN, which is not equal to itself, for a dataset whose cases have no foreground.
            read={name: json.dumps(value, sort_keys=True) for name, value in read.items()},
            raw={case: self.raw.case_hashes.get(case, self.raw.content_hash) for case in self.raw.cases},
        )

    def case_set(self, configuration: str) -> CaseSet:
        """Returns the set of preprocessed cases for the raw data and the plans, made or not.

        Raises:
            PlanningError, DamagedFileError: As for `ingredients`.
        """
        folder, wanted = self._sets_folder(configuration), self.ingredients(configuration)
        exact = CaseSet(folder / wanted.digest)
        if exact.is_whole:
            return exact
        # Another last number of nnU-Net's version preprocesses as before; making every case anew would end all folds.
        alike = (found for found in sets_in(folder) if found.is_whole and _is_alike(found.ingredients(), wanted))
        return next(alike, exact)

    def earlier_ingredients(self, configuration: str) -> Ingredients | None:
        """Returns what the newest whole set was made from; None: there is none."""
        whole = (found for found in sets_in(self._sets_folder(configuration)) if found.is_whole)
        return next((found.ingredients() for found in whole), None)

    def plans_hash_of(self, experiment: Experiment) -> str:
        """Returns the digest of the plans for the folds of an experiment, by the rule that its first folds went by.

        Folds that an older version trained, or began, have the digest of the whole file. Where that is still the
        file's, they are what is there now, and so are those that are trained beside them.

        Raises:
            PlanningError: The configuration inherits from what is not there.
        """
        digest, older = plans_digests(self.plans.content or {}, experiment.configuration, self.plans.file)
        if digest == older:
            return digest
        folds = experiment.model_folder(self.place.roots).glob("fold_*")
        found = {known for folder in folds if (known := _plans_hash_of_fold(folder))}
        return older if older in found and digest not in found else digest

    def _sets_folder(self, configuration: str) -> Path:
        return self.place.sets_folder(self.plans.cases_folder(configuration))


def wanted_digests(place: PreparedFolder, shown: Path) -> set[str]:
    """Returns the sets that any plans of a dataset want of one of nnU-Net's folders of preprocessed cases."""
    raw = read_raw(place)
    return {
        PreparedDataset(place, raw, plans).case_set(configuration).folder.name
        for plans in place.plans_on_disk()
        for configuration in plans.configurations
        if plans.cases_folder(configuration).name == shown.name
    }


def known_files(place: PreparedFolder) -> set[frozenset[tuple[str, FileRecord]]]:
    """Returns the files of every case that is preprocessed, for whatever plans."""
    folders = (place.own / "cases").glob("*/")
    records = (record for folder in folders for found in sets_in(folder) for record in found.records().values())
    return {frozenset(record.files.items()) for record in records}


def _plans_hash_of_fold(folder: Path) -> str | None:
    """Returns the digest of the plans of a fold that is finished, or was begun; None: it is neither."""
    if manifest := read_committed(folder):
        return manifest.inputs.plans_hash
    try:
        return str(load_json(folder / OWN_FOLDER / REQUEST_FILE)["inputs"]["plans_hash"])
    except UNREADABLE:
        return None


def _read_of_dataset(
    description: Mapping[str, Any], plan: Mapping[str, Any], intensities: Mapping[str, Any]
) -> dict[str, Any]:
    """Returns what preprocessing reads of dataset.json and of the dataset's intensity statistics."""
    if plan.get("preprocessor_name", DEFAULT_PREPROCESSOR) != DEFAULT_PREPROCESSOR:
        # What somebody's own preprocessor reads, nobody knows; which cases there are, is known elsewhere.
        return {**description, "numTraining": None, "dataset": None, INTENSITIES: intensities}
    schemes = plan.get("normalization_schemes", [])
    used = [str(channel) for channel, scheme in enumerate(schemes) if scheme not in WITHOUT_INTENSITIES]
    return {
        **{name: description.get(name) for name in DATASET_FIELDS},
        INTENSITIES: {channel: intensities.get(channel) for channel in used},
    }


def _is_alike(found: Ingredients | None, wanted: Ingredients) -> bool:
    """Says whether cases were made from the same, by nnU-Net of the same minor version."""
    if found is None or found.raw != wanted.raw or NNUNET not in found.read:
        return False
    versions = (json.loads(one.read[NNUNET]) for one in (found, wanted))
    return {**found.read, NNUNET: wanted.read[NNUNET]} == wanted.read and not is_other_minor(*versions)
