"""What is known on disk about a prepared dataset: which raw data it was made from, and by what.

On disk, in `nnUNet_preprocessed/DATASET/.nnunet_assets/`: `raw.json` (the raw dataset as last looked at), `raw/` (the
raw roots of `curated_dataset`), `PLANS.json` (what a plans file was made from) and, for each folder of preprocessed
cases, `cases/FOLDER.json` (what they were made from, written last). A lock beside it keeps the cases from being made
again while folds read them. It is kept by folder and not by plans, since several plans may share one: nnU-Net's ResEnc
plans take the cases of `nnUNetPlans`.
"""

import fcntl
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

from nnunet_assets.core.layout import OWN_FOLDER, Roots
from nnunet_assets.core.provenance import json_sha256, write_json_atomically
from nnunet_assets.errors import PlanningError

PLANS_FIELDS = (
    "image_reader_writer",
    "transpose_forward",
    "label_manager",
    "foreground_intensity_properties_per_channel",
)
"""What preprocessing reads of a plans file beside the configuration."""

TRAINING_FIELDS = frozenset(
    {"architecture", "batch_size", "batch_dice", "patch_size", "median_image_size_in_voxels", "data_identifier"}
    | {"inherits_from", "next_stage", "previous_stage"}
    | {"resampling_fn_probabilities", "resampling_fn_probabilities_kwargs"}
)
"""What preprocessing does not read of a configuration; any other field counts."""


@dataclass(frozen=True)
class RawRecord:
    """The raw dataset as it was last looked at.

    Attributes:
        content_hash: Digest of dataset.json, images and labels.
        cases: Case ids, sorted.
        voxels_checked: Whether the voxels were read; if not (a format other than NIfTI), nnU-Net's own integrity check
            must run before planning.
        errors: What stops planning and training, a line a finding; empty: nothing.
        case_hashes: By case, the digest of its images and label; empty in records of older versions.
        label_volumes_ml: By case and foreground label, the label's volume in ml; empty where the voxels were not read.
        curation: The folder in `.nnunet_assets/raw` that was looked at; empty: nnUNet_raw itself.
    """

    content_hash: str
    cases: tuple[str, ...]
    voxels_checked: bool
    errors: str = ""
    case_hashes: Mapping[str, str] = field(default_factory=dict)
    label_volumes_ml: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    curation: str = ""


class PreparedDataset:
    """The records of one dataset's folder in `nnUNet_preprocessed`."""

    def __init__(self, roots: Roots, dataset: str) -> None:
        self.dataset = dataset
        self.folder = roots.preprocessed / dataset
        self.own = self.folder / OWN_FOLDER
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
                f"{self.dataset} has cases in quarantine or repaired headers, but {raw}, which was made without them, "
                "is gone. Materialize raw_dataset again."
            )
        return replace(self._roots, raw=raw)

    @property
    def curation(self) -> str:
        """The folder in `.nnunet_assets/raw` that was looked at last; empty: nnUNet_raw itself, or nothing yet."""
        return str((_read_json(self.own / "raw.json") or {}).get("curation", ""))

    def curated_root(self, curation: str) -> Path:
        """Returns where a curated raw root lies."""
        return self.own / "raw" / curation

    def write_raw(self, record: RawRecord) -> None:
        """Records the raw dataset as it was found."""
        write_json_atomically(self.own / "raw.json", asdict(record))

    def read_raw(self) -> RawRecord:
        """Returns the raw dataset as last looked at.

        Raises:
            PlanningError: It was never looked at, or contradicts itself.
        """
        content = _read_json(self.own / "raw.json")
        if content is None:
            raise PlanningError(
                f"Nothing is known about the raw data of {self.dataset}: {self.own / 'raw.json'} is missing. "
                "Materialize raw_dataset first."
            )
        record = RawRecord(**{**content, "cases": tuple(content["cases"])})
        if record.errors:
            raise PlanningError(
                f"The raw data of {self.dataset} is not fit to be trained on. Put it right and materialize raw_dataset "
                f"again.\n{record.errors}"
            )
        return record

    def plans_file(self, plans: str) -> Path:
        """Returns where nnU-Net keeps the plans."""
        return self.folder / f"{plans}.json"

    def plans_hash(self, plans: str) -> str | None:
        """Returns the digest of the plans as they are now; None where there are none."""
        content = _read_json(self.plans_file(plans))
        return None if content is None else json_sha256(content)

    def configurations(self, plans: str) -> dict[str, dict[str, Any]]:
        """Returns the plan of each configuration that the plans have, with what it inherits from another one."""
        planned = (_read_json(self.plans_file(plans)) or {}).get("configurations", {})
        return {configuration: _with_inherited(planned, configuration) for configuration in planned}

    def needed_configurations(self, plans: str, wanted: Sequence[str]) -> list[str]:
        """Returns the wanted configurations that the plans have, and those whose cases their validation reads.

        nnU-Net predicts for the next stage of a cascade while it validates `3d_lowres`, and fails after the whole
        training where that stage was never preprocessed.
        """
        planned = self.configurations(plans)
        needed = [configuration for configuration in wanted if configuration in planned]
        for configuration in list(needed):
            stages = planned[configuration].get("next_stage") or []
            needed += [stage for stage in ([stages] if isinstance(stages, str) else stages) if stage in planned]
        return list(dict.fromkeys(needed))

    def cases_folder(self, plans: str, configuration: str) -> Path:
        """Returns where nnU-Net keeps the preprocessed cases, which plans may share."""
        plan = self.configurations(plans).get(configuration, {})
        return self.folder / str(plan.get("data_identifier", f"{plans}_{configuration}"))

    def plans_stamp(self, plans: str) -> dict[str, Any] | None:
        """Returns what the plans were made from, as written by `stamp_plans`; None: not made by this project."""
        return _read_json(self.own / f"{plans}.json")

    def stamp_plans(self, plans: str, made_from: Mapping[str, Any], plans_hash: str | None) -> None:
        """Records what the plans are made from, and their digest; None while they are being made."""
        write_json_atomically(self.own / f"{plans}.json", {**made_from, "plans_hash": plans_hash})

    def cases_made_from(self, plans: str, configuration: str) -> dict[str, Any]:
        """Returns what the preprocessed cases would be made from now."""
        content = _read_json(self.plans_file(plans)) or {}
        plan = self.configurations(plans).get(configuration, {})
        read = [
            {field: content.get(field) for field in PLANS_FIELDS},
            {field: value for field, value in plan.items() if field not in TRAINING_FIELDS},
        ]
        return {
            "raw_hash": self.read_raw().content_hash,
            "preprocessing_hash": json_sha256(read),
            "nnunetv2": version("nnunetv2"),
        }

    def cases_stamp(self, plans: str, configuration: str) -> dict[str, Any] | None:
        """Returns what the preprocessed cases were made from; None: not, or not completely, preprocessed."""
        return _read_json(self._record(plans, configuration, "json"))

    def stamp_cases(self, plans: str, configuration: str, made_from: Mapping[str, Any]) -> None:
        """Records that the preprocessed cases are complete, and what they were made from."""
        write_json_atomically(self._record(plans, configuration, "json"), dict(made_from))

    def unstamp_cases(self, plans: str, configuration: str) -> None:
        """Takes the record back before the cases are made again."""
        self._record(plans, configuration, "json").unlink(missing_ok=True)

    @contextmanager
    def lock(self, plans: str, configuration: str, mode: Literal["read", "write"]) -> Iterator[None]:
        """Holds the preprocessed cases for reading (a fold trains) or for making them again.

        A kernel lock: it is free the moment its owner dies.

        Raises:
            PlanningError: Somebody reads what is to be made again, or makes what is to be read.
        """
        path = self._record(plans, configuration, "lock")
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("w") as file:
            kind = fcntl.LOCK_SH if mode == "read" else fcntl.LOCK_EX
            try:
                fcntl.flock(file, kind | fcntl.LOCK_NB)
            except BlockingIOError as error:
                other = (
                    "being preprocessed" if mode == "read" else "in use by a fold that trains, or being preprocessed"
                )
                raise PlanningError(
                    f"The preprocessed cases of {self.dataset}, {plans}, {configuration} are {other} in another "
                    "process. Try again when it is done."
                ) from error
            yield

    def _record(self, plans: str, configuration: str, kind: str) -> Path:
        return self.own / "cases" / f"{self.cases_folder(plans, configuration).name}.{kind}"


def _read_json(path: Path) -> dict[str, Any] | None:
    try:
        content: dict[str, Any] = json.loads(path.read_text())
    except FileNotFoundError:
        return None
    except ValueError as error:
        raise PlanningError(
            f"{path} is not valid JSON ({error}). Restore it, or delete it to have it made again."
        ) from error
    return content


def _with_inherited(planned: Mapping[str, Mapping[str, Any]], configuration: str) -> dict[str, Any]:
    own = dict(planned[configuration])
    parent = str(own.get("inherits_from"))
    return _with_inherited(planned, parent) | own if parent in planned else own
