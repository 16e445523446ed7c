"""Dagster's types of the assets: every asset has one, which knows its own values from others."""

from pathlib import Path
from typing import Any, cast

import dagster as dg
import pytest

import nnunet_assets
from nnunet_assets.api import values
from nnunet_assets.assets import types
from nnunet_assets.declarations.config import DatasetConfig, ExperimentConfig
from nnunet_assets.declarations.ensemble_config import EnsembleConfig
from nnunet_assets.declarations.project import Project
from nnunet_assets.resources.asset_values import VALUES_KEY
from nnunet_assets.workflows.values.asset_values import is_readable
from nnunet_assets_tests.assets.graphs import graph

DATASET = "Dataset004_Hippocampus"
TYPES = {name: found for name, found in vars(types).items() if isinstance(found, dg.DagsterType)}
PAGE = Path(nnunet_assets.__file__).parents[1] / "docs" / "dagster.md"


@pytest.fixture(scope="module")
def assets() -> Any:
    """One of each kind."""
    config = ExperimentConfig(
        dataset=DATASET, configuration="2d", full_model=True, test_set=True, register="Brain", num_gpus=1
    )
    other = ExperimentConfig(dataset=DATASET, configuration="3d_fullres")
    ensemble = EnsembleConfig(dataset=DATASET, name="both", members=["2d", "3d_fullres"])
    project = Project(
        root=Path("/project"),
        datasets=(DatasetConfig(dataset=DATASET, register="Best"),),
        experiments=(config, other),
        ensembles=(ensemble,),
        members={ensemble.identity: (config.identity, other.identity)},
    )
    return list(graph(project).get_repository_def().assets_defs_by_key.items())


def test_every_asset_has_a_type_with_a_description_and_is_read_by_our_io_manager(assets: Any) -> None:
    names = set()
    for key, asset in assets:
        output = asset.op.output_def_named(asset.get_output_name_for_asset_key(key))
        assert output.dagster_type in TYPES.values(), key
        assert output.io_manager_key == VALUES_KEY, key
        assert is_readable(key.path), key
        names.add(key.path[-1])
    assert len(names) == 18
    assert all("Take it as an input of `" in str(found.description) for found in TYPES.values())


@pytest.mark.skipif(not PAGE.exists(), reason="an installed package has no pages")
def test_the_page_lists_the_annotation_of_every_asset(assets: Any) -> None:
    page = PAGE.read_text()
    rows = {
        name.strip("` "): line
        for line in page.splitlines()
        if line.startswith("| `")
        for name in line.split("|")[1].split(",")
    }
    for key, asset in assets:
        type_ = asset.op.output_def_named(asset.get_output_name_for_asset_key(key)).dagster_type
        written = str(type_.description).rpartition("Take it as an input of `")[2].split("`")[0]
        assert written.replace(f"{types.PUBLIC}.", "").replace("pathlib.", "") in rows[key.path[-1]], key


def test_what_the_descriptions_name_can_be_imported() -> None:
    named = {
        word.split("`")[0].split("]")[0]
        for found in TYPES.values()
        for word in str(found.description).split(f"{types.PUBLIC}.")[1:]
    }
    assert named == set(values.__all__)


@pytest.mark.parametrize("name", TYPES)
def test_a_value_of_another_class_is_told_by_both(name: str) -> None:
    checked = TYPES[name].type_check(cast(Any, None), 7)
    assert not checked.success
    assert str(checked.description).startswith(f"{TYPES[name].display_name} is a value of ")
    assert str(checked.description).endswith("and not of int.")


def test_a_value_that_cannot_be_is_told() -> None:
    checked = types.CASE_LIST.type_check(cast(Any, None), ["a", "a"])
    assert (checked.success, checked.description) == (False, "a: more than once among the cases.")
