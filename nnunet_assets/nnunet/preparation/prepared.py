"""What is known on disk about a prepared dataset: which raw data it was made from, and by what.

On disk, in `nnUNet_preprocessed/DATASET/.nnunet_assets/`: `raw.json` (the raw dataset as last looked at), `raw/` (the
raw roots of `curated_dataset`), `PLANS.json` (what a plans file was made from) and `cases/FOLDER/` with the sets of
preprocessed cases (see `case_sets`). Sets are kept by folder and not by plans, since several plans may share one:
nnU-Net's ResEnc plans take the cases of `nnUNetPlans`.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

from nnunet_assets.core.dataset.configurations import next_stages, plans_digests, resolved, with_inherited, without_own
from nnunet_assets.core.files.digests import json_sha256
from nnunet_assets.core.files.json_file import load_json, read_json, write_json_atomically
from nnunet_assets.core.files.layout import OWN_FOLDER, REQUEST_FILE, Experiment, Roots
from nnunet_assets.core.fold.commit import read_committed
from nnunet_assets.core.fold.version_history import NNUNET, is_other_minor
from nnunet_assets.core.progress import Progress
from nnunet_assets.errors import DamagedFileError, PlanningError
from nnunet_assets.nnunet.preparation.case_sets import CaseSet, FileRecord, Ingredients, sets_in, writing
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

REFERENCES = "gt_segmentations"
"""nnU-Net's folder of the label images that every validation is scored against."""

DEFAULT_PREPROCESSOR = "DefaultPreprocessor"

VERIFIED_FILE = "nnunet_integrity.json"
"""In the intake's folder: which raw data nnU-Net's own integrity check agreed with."""


class PreparedDataset:
    """The records of one dataset's folder in `nnUNet_preprocessed`."""

    def __init__(self, roots: Roots, dataset: str) -> None:
        self.dataset = dataset
        self.folder = roots.preprocessed / dataset
        self.own = self.folder / OWN_FOLDER
        self.references = self.folder / REFERENCES
        self.intake_folder = self.own / "intake"
        self.fact_cache = self.intake_folder / "case_facts.json"
        self._roots = roots

    @property
    def roots(self) -> Roots:
        """nnU-Net's folders for its processes: `nnUNet_raw` is the curated one where cases are left out or repaired.

        Raises:
            PlanningError: It was deleted.
        """
        if not self.curation:
            return self._roots
        raw = self.curated_root(self.curation)
        if not raw.is_dir():
            raise PlanningError(
                f"{self.dataset} has cases in quarantine, repaired headers, or files beside it that nnU-Net must "
                f"not see, but {raw}, which was made without them, is gone. Materialize raw_dataset again."
            )
        return replace(self._roots, raw=raw)

    @property
    def raw_folder(self) -> Path:
        """The raw dataset that nnU-Net's processes read.

        Raises:
            PlanningError: As for `roots`.
        """
        return self.roots.raw / self.dataset

    @property
    def curation(self) -> str:
        """The folder in `.nnunet_assets/raw` that was looked at last; empty: nnUNet_raw itself, or nothing yet."""
        return str((read_json(self.own / "raw.json") or {}).get("curation", ""))

    def curated_root(self, curation: str) -> Path:
        """Returns where a curated raw root lies."""
        return self.own / "raw" / curation

    def former_raw(self) -> dict[str, Any] | None:
        """Returns the record of the raw dataset as it stands, whichever version made it; None: there is none.

        With `planned_spacings`, those that nnU-Net's fingerprint has of the cases, where there is one.

        Raises:
            DamagedFileError: It is damaged.
        """
        record = read_json(self.own / "raw.json")
        if record is None:
            return None
        with suppress(DamagedFileError):  # planning makes it anew
            record["planned_spacings"] = (read_json(self.folder / "dataset_fingerprint.json") or {}).get("spacings")
        return record

    def write_raw(self, record: RawRecord) -> None:
        """Records the raw dataset as it was found."""
        write_json_atomically(self.own / "raw.json", asdict(record))

    def read_raw(self) -> RawRecord:
        """Returns the raw dataset as last looked at.

        Raises:
            PlanningError: It was never looked at, or contradicts itself.
        """
        content = read_json(self.own / "raw.json")
        if content is None:
            raise PlanningError(
                f"Nothing is known about the raw data of {self.dataset}: {self.own / 'raw.json'} is missing. "
                "Materialize raw_dataset first."
            )
        # Older versions compared cases by the bytes of all their files.
        copies = {"image_hashes": content.get("case_hashes", {})}
        record = RawRecord(**{**copies, **content, "cases": tuple(content["cases"])})
        if record.errors:
            raise PlanningError(
                f"The raw data of {self.dataset} is not fit to be trained on. Put it right and materialize raw_dataset "
                f"again.\n{record.errors}"
            )
        return record

    def is_verified(self, made_from: Mapping[str, Any]) -> bool:
        """Says whether nnU-Net's own integrity check, of this version, agreed with the raw data as it is."""
        return read_json(self.intake_folder / VERIFIED_FILE) == dict(made_from)

    def note_verified(self, made_from: Mapping[str, Any]) -> None:
        """Records that nnU-Net's own integrity check agreed with the raw data of that digest, in that version."""
        write_json_atomically(self.intake_folder / VERIFIED_FILE, made_from)

    def plans_file(self, plans: str) -> Path:
        """Returns where nnU-Net keeps the plans."""
        return self.folder / f"{plans}.json"

    def refuse_foreign_plans(self, plans: str) -> None:
        """Passes where a plans file is of this dataset and has its own name in it, or there is none.

        Raises:
            PlanningError: It names another dataset or other plans, whose folders nnU-Net would read and write.
        """
        content = read_json(self.plans_file(plans)) or {}
        wanted = {"dataset_name": self.dataset, "plans_name": plans}
        if foreign := [name for name in wanted if content.get(name, wanted[name]) != wanted[name]]:
            found = ", ".join(f"{name} {content[name]!r} in place of {wanted[name]!r}" for name in foreign)
            raise PlanningError(
                f"{self.plans_file(plans)} has {found}, so that nnU-Net would read and write other folders. Correct "
                "it; or bring plans of another dataset here with nnUNetv2_move_plans_between_datasets."
            )

    def plans_hash(self, plans: str) -> str | None:
        """Returns the digest of the plans as they are now; None where there are none."""
        content = read_json(self.plans_file(plans))
        return None if content is None else json_sha256(content)

    def planned_hash(self, plans: str) -> str | None:
        """Returns the digest of the plans without the configurations that a user added; None where there are none."""
        content = read_json(self.plans_file(plans))
        return None if content is None else json_sha256(without_own(content))

    def plans_hash_of(self, experiment: Experiment) -> str:
        """Returns the digest of the plans for the folds of an experiment, by the rule that its first folds went by.

        Folds that an older version trained, or began, have the digest of the whole file. Where that is still the
        file's, they are what is there now, and so are those that are trained beside them.

        Raises:
            PlanningError: The plans are damaged, or the configuration inherits from what is not there.
        """
        content = read_json(self.plans_file(experiment.plans)) or {}
        digest, older = plans_digests(content, experiment.configuration, self.plans_file(experiment.plans))
        if digest == older:
            return digest
        folds = experiment.model_folder(self._roots).glob("fold_*")
        found = {known for folder in folds if (known := _plans_hash_of_fold(folder))}
        return older if older in found and digest not in found else digest

    def configurations(self, plans: str) -> dict[str, dict[str, Any]]:
        """Returns the plan of each configuration that the plans have, with what it inherits from another one.

        One that inherits from what is not there, or from itself, is left out: `needed_configurations` says so.

        Raises:
            DamagedFileError: The plans are damaged.
        """
        return planned_in(self.plans_file(plans))

    def needed_configurations(self, plans: str, wanted: Sequence[str]) -> list[str]:
        """Returns the wanted configurations that the plans have, and those whose cases their validation reads.

        nnU-Net predicts for the next stage of a cascade while it validates `3d_lowres`, and fails after the whole
        training where that stage was never preprocessed.

        Raises:
            PlanningError: The plans are damaged, or a wanted one inherits from what is not there, or in a circle.
        """
        planned = (read_json(self.plans_file(plans)) or {}).get("configurations", {})
        needed = [configuration for configuration in wanted if configuration in planned]
        for configuration in list(needed):
            plan = with_inherited(planned, configuration, self.plans_file(plans))
            needed += [stage for stage in next_stages(plan) if stage in planned]
        return list(dict.fromkeys(needed))

    def cases_folder(self, plans: str, configuration: str) -> Path:
        """Returns where nnU-Net keeps the preprocessed cases, which plans may share."""
        plan = self.configurations(plans).get(configuration, {})
        return self.folder / str(plan.get("data_identifier", f"{plans}_{configuration}"))

    def plans_stamp(self, plans: str) -> dict[str, Any] | None:
        """Returns what the plans were made from, as written by `stamp_plans`; None: not made by this project."""
        return read_json(self.own / f"{plans}.json")

    def stamp_plans(self, plans: str, made_from: Mapping[str, Any], plans_hash: str | None) -> None:
        """Records what the plans are made from, and their digest; None while they are being made.

        What the planner says beside its plans may be among `made_from`.
        """
        write_json_atomically(self.own / f"{plans}.json", {**made_from, "plans_hash": plans_hash})

    def ingredients(self, plans: str, configuration: str) -> Ingredients:
        """Returns what the preprocessed cases would be made from now.

        Raises:
            PlanningError: Nothing is known about the raw data, or a record cannot be read.
        """
        content = read_json(self.plans_file(plans)) or {}
        plan = self.configurations(plans).get(configuration, {})
        # On a machine without the raw data, planning's own copy.
        description = read_json(self.raw_folder / "dataset.json") or read_json(self.folder / "dataset.json") or {}
        read = {
            **{name: content.get(name) for name in PLANS_FIELDS},
            **{name: value for name, value in plan.items() if name not in TRAINING_FIELDS},
            **_read_of_dataset(description, plan, content.get(INTENSITIES) or {}),
            NNUNET: version(NNUNET),
        }
        raw = self.read_raw()
        return Ingredients(
            # As text: nnU-Net writes NaN, which is not equal to itself, for a dataset whose cases have no foreground.
            read={name: json.dumps(value, sort_keys=True) for name, value in read.items()},
            raw={case: raw.case_hashes.get(case, raw.content_hash) for case in raw.cases},
        )

    def case_set(self, plans: str, configuration: str) -> CaseSet:
        """Returns the set of preprocessed cases for the raw data and plans as they are now, made or not.

        Raises:
            PlanningError: As for `ingredients`.
        """
        folder, wanted = self.sets_folder(plans, configuration), self.ingredients(plans, configuration)
        exact = CaseSet(folder / wanted.digest)
        if exact.is_whole:
            return exact
        # Another last number of nnU-Net's version preprocesses as before; making every case anew would end all folds.
        alike = (found for found in sets_in(folder) if found.is_whole and _is_alike(found.ingredients(), wanted))
        return next(alike, exact)

    def sets_folder(self, plans: str, configuration: str) -> Path:
        """Returns where the sets lie that are shown in the same folder of nnU-Net's."""
        return self.own / "cases" / self.cases_folder(plans, configuration).name

    def known_files(self) -> set[frozenset[tuple[str, FileRecord]]]:
        """Returns the files of every case that is preprocessed, for whatever plans."""
        folders = (self.own / "cases").glob("*/")
        records = (record for folder in folders for found in sets_in(folder) for record in found.records().values())
        return {frozenset(record.files.items()) for record in records}

    def earlier_ingredients(self, plans: str, configuration: str) -> Ingredients | None:
        """Returns what the newest whole set was made from; None: there is none."""
        whole = (found for found in sets_in(self.sets_folder(plans, configuration)) if found.is_whole)
        return next((found.ingredients() for found in whole), None)

    def wanted_digests(self, folder_name: str) -> set[str]:
        """Returns the sets that any plans of this dataset want of nnU-Net's folder of that name."""
        return {
            self.case_set(plans, configuration).folder.name
            for plans in self.plans_on_disk()
            for configuration in self.configurations(plans)
            if self.cases_folder(plans, configuration).name == folder_name
        }

    def plans_on_disk(self) -> Iterator[str]:
        """Yields the identifiers of the plans that are there, whoever made them."""
        for path in self.folder.glob("*.json"):
            with suppress(DamagedFileError):  # a damaged file wants nothing; that of the splits is a list
                if "configurations" in (read_json(path) or {}):
                    yield path.stem

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
    def writing(self, plans: str, configuration: str) -> Iterator[None]:
        """Holds the preprocessed cases for making them, or showing them to nnU-Net; waits for who does it already."""
        folder = self.sets_folder(plans, configuration)
        folder.mkdir(parents=True, exist_ok=True)
        with writing(folder):
            yield


def _plans_hash_of_fold(folder: Path) -> str | None:
    """Returns the digest of the plans of a fold that is finished, or was begun; None: it is neither."""
    if manifest := read_committed(folder):
        return manifest.inputs.plans_hash
    try:
        return str(load_json(folder / OWN_FOLDER / REQUEST_FILE)["inputs"]["plans_hash"])
    except (OSError, ValueError, LookupError, TypeError):
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


def planned_in(plans_file: Path) -> dict[str, dict[str, Any]]:
    """Returns the plan of each configuration of a plans file, as `PreparedDataset.configurations`; none without a file.

    Raises:
        PlanningError: It is damaged.
    """
    return resolved((read_json(plans_file) or {}).get("configurations", {}), plans_file)
