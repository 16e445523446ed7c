"""The images that a model was trained on, as far as its own files say: plans, dataset.json, fingerprint.

A range over all cases alone leaves here, never what one case had. A model that comes from a package has no fingerprint;
of it the package's model.json says the same, wherever that lies beside the plans that it names.
"""

import math
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import Any

from nnunet_assets.core.dataset.dataset_json import DATASET_JSON, parse_dataset_json
from nnunet_assets.core.files.digests import file_sha256
from nnunet_assets.core.files.json_file import read_json
from nnunet_assets.core.model.model_description import MODEL_FILE, ExpectedChannel, ExpectedImages
from nnunet_assets.core.model.package_files import read_description
from nnunet_assets.core.model.package_layout import PLANS_FILE
from nnunet_assets.errors import PackageError
from nnunet_assets.nnunet.plans.plans import Plans

FINGERPRINT_FILE = "dataset_fingerprint.json"

_DEEPEST = 3
"""How far below its model.json a member may lie: `members/VARIANT/NAME`."""


def expected_images(
    model_folder: Path, configuration: str, n_cases: int | None = None, orientations: tuple[str, ...] = ()
) -> ExpectedImages:
    """Returns what is known of the images by the files in nnU-Net's folder of a model.

    Args:
        model_folder: With plans.json, dataset.json and, as training leaves it, the dataset's fingerprint.
        configuration: Of the model.
        n_cases: It was trained on; None: not known.
        orientations: Of the training images, which none of these files has; empty: not known.

    Raises:
        DatasetError: dataset.json cannot be used.
        DamagedFileError: Another one is no JSON.
    """
    description = parse_dataset_json(model_folder / DATASET_JSON)
    plans = Plans.read(model_folder / PLANS_FILE)
    schemes = plans.configurations.get(configuration, {}).get("normalization_schemes") or []
    intensities = (plans.content or {}).get("foreground_intensity_properties_per_channel") or {}
    spacings = _spacings(model_folder / FINGERPRINT_FILE)
    by_axis = list(zip(*spacings, strict=True))
    own = ExpectedImages(
        file_ending=description.file_ending,
        channels=tuple(
            _channel(name, schemes[index] if index < len(schemes) else "", intensities.get(str(index)) or {})
            for index, name in enumerate(description.channel_names)
        ),
        spacing_low=tuple(map(min, by_axis)) or None,
        spacing_median=tuple(map(median, by_axis)) or None,
        spacing_high=tuple(map(max, by_axis)) or None,
        n_cases=n_cases,
        orientations=orientations,
    )
    return own if spacings else _with_packed(own, model_folder)


def _with_packed(own: ExpectedImages, model_folder: Path) -> ExpectedImages:
    """Returns what is known, and what the model.json of a package says beside it."""
    if (packed := _packed(model_folder)) is None:
        return own
    channels = {channel.name: channel for channel in packed.channels}
    return replace(
        own,
        channels=tuple(one if one.low is not None else channels.get(one.name, one) for one in own.channels),
        spacing_low=packed.spacing_low,
        spacing_median=packed.spacing_median,
        spacing_high=packed.spacing_high,
        n_cases=packed.n_cases if own.n_cases is None else own.n_cases,
    )


def _packed(model_folder: Path) -> ExpectedImages | None:
    """Returns what a model.json says of these very plans: one that is left of another model names others."""
    plans = model_folder / PLANS_FILE
    for folder in (model_folder, *list(model_folder.parents)[:_DEEPEST]):
        if (folder / MODEL_FILE).is_file():
            with suppress(PackageError, OSError):
                description = read_description(folder / MODEL_FILE)
                if description.files.get(plans.relative_to(folder).as_posix()) == file_sha256(plans):
                    return description.images
    return None


def _channel(name: str, normalization: Any, found: Mapping[str, Any]) -> ExpectedChannel:
    keys = ("percentile_00_5", "percentile_99_5", "mean", "std")
    return ExpectedChannel(name, str(normalization), *(_finite(found.get(key)) for key in keys))


def _spacings(fingerprint: Path) -> list[list[float]]:
    """Returns the spacing of each training case, z, y, x; none where there is no fingerprint, or it says nothing."""
    found = (read_json(fingerprint) or {}).get("spacings") or []
    rows = [[_finite(value) for value in row] for row in found if isinstance(row, list)]
    whole = [[value for value in row if value is not None] for row in rows]
    # One axis too few or no number: the file is not as nnU-Net writes it, and proves nothing.
    return whole if all(len(row) == 3 for row in whole) else []


def _finite(value: Any) -> float | None:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return float(value) if is_number and math.isfinite(value) else None
