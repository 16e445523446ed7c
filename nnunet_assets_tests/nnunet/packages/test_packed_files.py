"""plans.json and dataset.json without what nnU-Net does not predict by."""

from pathlib import Path
from typing import Any

import pytest

from nnunet_assets.errors import DatasetError, PackageError
from nnunet_assets.nnunet.packages.packed_files import packed_dataset_json, packed_plans
from nnunet_assets_tests.canaries import CANARIES
from nnunet_assets_tests.package_builders import CASE, DATASET_JSON, LABELS, PLANS
from nnunet_assets_tests.raw_builders import write_json


def dataset_json(folder: Path, **changes: Any) -> dict[str, Any]:
    return packed_dataset_json(write_json(folder / "dataset.json", {**DATASET_JSON, **changes}))


def plans(folder: Path, configuration: str = "2d", **changes: Any) -> dict[str, Any]:
    return packed_plans(write_json(folder / "plans.json", {**PLANS, **changes}), configuration)


def test_a_dataset_json_keeps_what_nnunet_predicts_by(tmp_path: Path) -> None:
    assert dataset_json(tmp_path) == {
        "channel_names": {"0": "CT"},
        "labels": LABELS,
        "numTraining": 2,
        "file_ending": ".nii.gz",
    }
    regions = {"regions_class_order": [2, 1], "overwrite_image_reader_writer": "NibabelIO", "training": [CASE]}
    assert dataset_json(tmp_path, **regions).keys() - dataset_json(tmp_path).keys() == {
        "regions_class_order",
        "overwrite_image_reader_writer",
    }


def test_plans_keep_the_configuration_and_what_it_inherits_from(tmp_path: Path) -> None:
    packed = plans(tmp_path, "2d_large")
    assert list(packed["configurations"]) == ["2d_large", "2d"]
    assert packed["configurations"]["2d"]["numbers_of_ones_own"] == [1, 2.5]
    assert packed.keys() == PLANS.keys() - {"made_on"}
    assert not any(word in str(packed) for word in CANARIES)


def test_every_key_that_nnunet_reads_of_plans_is_kept(tmp_path: Path) -> None:
    import inspect
    import re

    from nnunetv2.utilities.plans_handling import plans_handler

    source = inspect.getsource(plans_handler.PlansManager) + inspect.getsource(plans_handler.ConfigurationManager)
    read = set(re.findall(r"""self\.plans\[['"](\w+)['"]\]""", source))
    assert len(read) >= 9
    whole = plans(tmp_path, **dict.fromkeys(read - {"configurations"}, "a word"))
    assert read <= whole.keys()
    of_configuration = set(re.findall(r"""self\.configuration\[['"](\w+)['"]\]""", source))
    assert len(of_configuration) >= 15
    configuration = {key: ["a word"] for key in of_configuration - {"inherits_from"}}
    words = plans(tmp_path, configurations={"2d": configuration})["configurations"]["2d"]
    # Those of plans before nnU-Net 2.3 are numbers, in lists.
    old = {key for key in of_configuration - words.keys() if "conv" in key or "pool" in key or "num_features" in key}
    assert of_configuration - words.keys() == old


@pytest.mark.parametrize(
    "changes", [{"labels": {"background": 0, "/home/jane/organ": 1}}, {"channel_names": {"0": "C:\\scans\\CT"}}]
)
def test_a_path_in_what_is_kept_is_refused(tmp_path: Path, changes: Any) -> None:
    with pytest.raises(PackageError, match="has a path of this machine in it"):
        dataset_json(tmp_path, **changes)
    with pytest.raises(PackageError, match="has a path of this machine in it"):
        plans(tmp_path, configurations={"2d": {"resampling_fn_data_kwargs": {"cache": "/scratch/jane/cache"}}})


def test_labels_and_channels_with_a_stroke_between_words_are_no_paths(tmp_path: Path) -> None:
    names = {"labels": {"background": 0, "liver/tumour": 1}, "channel_names": {"0": "T1/T2 w"}}
    assert dataset_json(tmp_path, **names)["labels"] == names["labels"]


@pytest.mark.parametrize("content", [{}, {"configurations": {}}, {"configurations": []}])
def test_plans_without_the_configuration_are_refused(tmp_path: Path, content: Any) -> None:
    with pytest.raises(PackageError, match="has no configuration '2d'"):
        packed_plans(write_json(tmp_path / "plans.json", content), "2d")


def test_missing_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"no dataset\.json"):
        packed_dataset_json(tmp_path / "dataset.json")
    with pytest.raises(PackageError, match="has no configuration"):
        packed_plans(tmp_path / "plans.json", "2d")
