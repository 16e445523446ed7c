"""The images that a model was trained on, as far as its own files say: plans, dataset.json, fingerprint.

A range over all cases alone leaves here, never what one case had.
"""

import math
from collections.abc import Mapping
from pathlib import Path
from statistics import median
from typing import Any

from nnunet_assets.core.dataset.dataset_json import DATASET_JSON, parse_dataset_json
from nnunet_assets.core.files.json_file import read_json
from nnunet_assets.core.model.model_description import ExpectedChannel, ExpectedImages
from nnunet_assets.core.model.package_layout import PLANS_FILE
from nnunet_assets.nnunet.plans.plans import Plans

FINGERPRINT_FILE = "dataset_fingerprint.json"


def expected_images(model_folder: Path, configuration: str, n_cases: int | None = None) -> ExpectedImages:
    """Returns what is known of the images by the files in nnU-Net's folder of a model.

    Args:
        model_folder: With plans.json, dataset.json and, as training leaves it, the dataset's fingerprint.
        configuration: Of the model.
        n_cases: It was trained on; None: not known.

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
    return ExpectedImages(
        file_ending=description.file_ending,
        channels=tuple(
            _channel(name, schemes[index] if index < len(schemes) else "", intensities.get(str(index)) or {})
            for index, name in enumerate(description.channel_names)
        ),
        spacing_low=tuple(map(min, by_axis)) or None,
        spacing_median=tuple(map(median, by_axis)) or None,
        spacing_high=tuple(map(max, by_axis)) or None,
        n_cases=n_cases,
    )


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
