"""plans.json and dataset.json as a package has them: what nnU-Net predicts by, and nobody who trained or was scanned.

What nnU-Net does not read is left out, since anybody may have written anything there: a dataset.json lists cases with
the paths of their files, describes the study and names its people; plans may have remarks.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from nnunet_assets.core.dataset.configurations import lineage
from nnunet_assets.core.dataset.dataset_json import read_json_object
from nnunet_assets.core.files.json_file import read_json
from nnunet_assets.core.text.places import Places
from nnunet_assets.errors import PackageError

DATASET_KEYS = (
    "channel_names",
    "labels",
    "regions_class_order",
    "numTraining",
    "file_ending",
    "overwrite_image_reader_writer",
)

PLANS_KEYS = (
    "dataset_name",
    "plans_name",
    "original_median_spacing_after_transp",
    "original_median_shape_after_transp",
    "image_reader_writer",
    "transpose_forward",
    "transpose_backward",
    "experiment_planner_used",
    "label_manager",
    "foreground_intensity_properties_per_channel",
    "foreground_intensity_properties_by_modality",
)
"""Beside `configurations`; the last is of plans before nnU-Net 2.0."""

CONFIGURATION_KEYS = (
    "inherits_from",
    "data_identifier",
    "preprocessor_name",
    "batch_size",
    "patch_size",
    "median_image_size_in_voxels",
    "spacing",
    "normalization_schemes",
    "use_mask_for_norm",
    "resampling_fn_data",
    "resampling_fn_data_kwargs",
    "resampling_fn_seg",
    "resampling_fn_seg_kwargs",
    "resampling_fn_probabilities",
    "resampling_fn_probabilities_kwargs",
    "architecture",
    "batch_dice",
    "next_stage",
    "previous_stage",
    "UNet_class_name",
)
"""Those that hold words. Of others, a trainer's own or of plans before nnU-Net 2.3, numbers are kept."""


def packed_dataset_json(source: Path) -> dict[str, Any]:
    """Returns a dataset.json as a package has it.

    Raises:
        DatasetError: It is missing, or no JSON object.
        PackageError: A path stands in what is kept.
    """
    content = read_json_object(source)
    return _without_paths({key: content[key] for key in DATASET_KEYS if key in content}, source)


def packed_plans(source: Path, configuration: str) -> dict[str, Any]:
    """Returns plans as a package has them: with the configuration, and those that it inherits from.

    Raises:
        DamagedFileError: They are no JSON.
        PlanningError: The configuration inherits from what is not there.
        PackageError: They do not have it, or a path stands in what is kept.
    """
    content = read_json(source) or {}
    planned = content.get("configurations")
    if not isinstance(planned, Mapping) or configuration not in planned:
        raise PackageError(f"{source} has no configuration {configuration!r}, by which the model was trained.")
    used = {name: _packed_configuration(planned[name]) for name in lineage(planned, configuration, source)}
    kept = {key: content[key] for key in PLANS_KEYS if key in content}
    return _without_paths({**kept, "configurations": used}, source)


def _packed_configuration(plan: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in plan.items() if key in CONFIGURATION_KEYS or not any(_texts(value))}


def _without_paths(content: dict[str, Any], source: Path) -> dict[str, Any]:
    for text in _texts(content):
        if Places().hidden(text) != text:
            raise PackageError(
                f"{source} says {text!r}, which has a path of this machine in it, and would go to whoever gets the "
                "package. Take it out, where nnU-Net does not need it."
            )
    return content


def _texts(value: Any) -> Iterator[str]:
    """Yields every text in a JSON value, the keys of objects included."""
    match value:
        case str():
            yield value
        case Mapping():
            for key, item in value.items():
                yield str(key)
                yield from _texts(item)
        case list():
            for item in value:
                yield from _texts(item)
