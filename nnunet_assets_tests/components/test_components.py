"""The components under Dagster's own loader, with assets that record what they were built from."""

import itertools
import sys
import types
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
import yaml
from dagster_shared.check import CheckError

import nnunet_assets
from nnunet_assets.components import CrossValidationExperiment, NnunetDataset, dataset
from nnunet_assets.components.scaffold import DatasetParams, DatasetScaffolder, ExperimentParams, ExperimentScaffolder
from nnunet_assets.declarations.config import DatasetConfig, ExperimentConfig
from nnunet_assets.declarations.project import Project, read_project
from nnunet_assets.errors import ConfigError
from nnunet_assets_tests.project_builders import DATASET, EXPERIMENT, documents, write_project

Built = list[tuple[Project, DatasetConfig | ExperimentConfig]]

_module_numbers = itertools.count()

pytestmark = [
    # Dagster 1.13.27 validates each definitions file with pydantic's older function.
    pytest.mark.filterwarnings("ignore:.parse_obj_as. is deprecated:pydantic.PydanticDeprecatedSince20"),
    # It notes file and line on every asset with classes of its own that are in beta.
    pytest.mark.filterwarnings("ignore:Class .* is currently in beta:dagster.BetaWarning"),
]


@pytest.fixture
def built(monkeypatch: pytest.MonkeyPatch) -> Built:
    """What the components built, in place of the assets, which are tested elsewhere."""
    built: Built = []

    def definitions(name: str, project: Project, config: DatasetConfig | ExperimentConfig) -> dg.Definitions:
        built.append((project, config))
        key = (config.dataset,) if isinstance(config, DatasetConfig) else config.identity.key_prefix
        return dg.Definitions(assets=[dg.AssetSpec([*key, name])])

    fake = types.ModuleType("nnunet_assets.assets")
    fake.dataset_definitions = lambda project, config: definitions("raw_dataset", project, config)  # type: ignore[attr-defined]
    fake.experiment_definitions = lambda project, config: definitions("fold_model", project, config)  # type: ignore[attr-defined]
    fake.search_definitions = lambda project, config: definitions("search", project, config)  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "nnunet_assets.assets", fake)
    monkeypatch.setattr(nnunet_assets, "assets", fake, raising=False)
    return built


def load(root: Path) -> dg.Definitions:
    """Loads a project's experiments as `load_from_defs_folder` does, under a module name that no other test has."""
    module = types.ModuleType(f"experiments_{next(_module_numbers)}")
    module.__file__ = None  # as of a namespace package
    module.__path__ = [str(root / "experiments")]
    return dg.ComponentTree.from_module(defs_module=module, project_root=root).build_defs()


def keys(definitions: dg.Definitions) -> set[str]:
    return {spec.key.to_user_string() for spec in definitions.resolve_all_asset_specs()}


def test_values_reach_the_assets_as_the_file_has_them(tmp_path: Path, built: Built) -> None:
    experiment = EXPERIMENT + "  description: '{{ env.HOME }} 007'\n  variant: {name: '1.0'.x, initial_lr: 1}\n"
    root = write_project(
        tmp_path, {"my-experiment.v2/defs.yaml": documents(DATASET, experiment.replace("'1.0'.x", "v1.0"))}
    )

    definitions = load(root)

    assert keys(definitions) == {
        "Dataset004_Hippocampus/raw_dataset",
        "Dataset004_Hippocampus/v1.0/nnUNetTrainer__nnUNetPlans__2d/fold_model",
    }
    declared = read_project(root)
    assert [config for _, config in built] == [*declared.datasets, *declared.experiments]
    assert declared.experiments[0].description == "{{ env.HOME }} 007"


def test_a_load_reads_the_project_once_and_the_next_load_sees_what_was_edited(tmp_path: Path, built: Built) -> None:
    root = write_project(tmp_path, {"defs.yaml": documents(DATASET, EXPERIMENT)})

    load(root)
    write_project(root, {"defs.yaml": documents(DATASET, EXPERIMENT.replace("2d", "3d_lowres"))})
    load(root)

    (first, second, third, fourth) = (project for project, _ in built)
    assert first is second
    assert third is fourth
    assert first.experiments[0].configuration == "2d"
    assert third.experiments[0].configuration == "3d_lowres"


@pytest.mark.parametrize(
    "files",
    [
        {"a/defs.yaml": DATASET, "b/defs.yml": EXPERIMENT},
        {"a/component.yaml": documents(DATASET, EXPERIMENT)},
        {"defs.yaml": documents(DATASET, EXPERIMENT)},
        {"a/b/c-d.e/defs.yaml": DATASET, "a/b/f/defs.yaml": EXPERIMENT},
        {"defs.yaml": "type: dagster.DefsFolderComponent\n", "a/defs.yaml": DATASET, "b/defs.yaml": EXPERIMENT},
        {"a/defs.yaml": documents(DATASET, EXPERIMENT), ".b/defs.yaml": "a: [", "__pycache__/defs.yaml": "a: ["},
        {"a/defs.yaml": DATASET + "  folds: &k 5\n  owners: []\n"},
    ],
    ids=["yml", "component.yaml", "at the top", "deep", "folder component", "hidden", "anchors"],
)
def test_dagster_loads_exactly_what_the_project_declares(tmp_path: Path, built: Built, files: dict[str, str]) -> None:
    root = write_project(tmp_path, files)

    load(root)

    declared = read_project(root)
    assert [config for _, config in built] == [*declared.datasets, *declared.experiments]
    assert declared.datasets


@pytest.mark.parametrize(
    "files",
    [
        {"a/defs.yaml": DATASET, "a/defs.yml": EXPERIMENT},
        {"a/defs.yaml": DATASET, "a/b/defs.yaml": EXPERIMENT},
        {"a/defs.yaml": DATASET, "b.yaml": EXPERIMENT},
    ],
    ids=["beside", "beneath", "another name"],
)
def test_what_dagster_passes_over_is_an_error_of_the_project(
    tmp_path: Path, built: Built, files: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    root = write_project(tmp_path, files)

    with pytest.raises(ConfigError, match="Dagster reads"):
        read_project(root)
    # And so it is: without our reading, Dagster loads the rest without a word.
    monkeypatch.setattr(dataset, "loaded_project", lambda context: None)
    assert keys(load(root)) == {"Dataset004_Hippocampus/raw_dataset"}


def test_dagster_fails_on_a_project_that_has_nothing_to_load(tmp_path: Path, built: Built) -> None:
    """So that whoever loads looks at `has_definitions` first."""
    root = write_project(tmp_path, {})
    (root / "experiments" / "empty").mkdir()

    assert not read_project(root).has_definitions
    with pytest.raises(CheckError, match="Expected non-None value"):
        load(root)


def test_post_processing_is_dagsters(tmp_path: Path, built: Built) -> None:
    rest = 'post_processing:\n  assets: [{target: "*", attributes: {tags: {cohort: a}}}]\n'
    definitions = load(write_project(tmp_path, {"defs.yaml": documents(DATASET) + rest}))

    (spec,) = definitions.resolve_all_asset_specs()
    assert spec.tags["cohort"] == "a"


def test_the_schemas_in_the_ui_describe_every_field() -> None:
    for component in (NnunetDataset, CrossValidationExperiment):
        schema = component.get_model_cls().model_json_schema()
        models = [schema, *schema.get("$defs", {}).values()]
        fields = [(name, field) for model in models for name, field in model["properties"].items()]
        assert [name for name, field in fields if not field.get("description")] == []


class TestScaffolding:
    def request(self, params: Any, folder: Path, scaffold_format: Any = "yaml") -> Any:
        return dg.ScaffoldRequest(
            type_name="nnunet_assets.components.X",
            target_path=folder,
            scaffold_format=scaffold_format,
            project_root=None,
            params=params,
        )

    def test_writes_only_what_was_given(self, tmp_path: Path) -> None:
        params = ExperimentParams(dataset="Dataset004_Hippocampus", configuration="2d")

        ExperimentScaffolder().scaffold(self.request(params, tmp_path))

        written = yaml.safe_load((tmp_path / "defs.yaml").read_text())
        assert written["attributes"] == {"dataset": "Dataset004_Hippocampus", "configuration": "2d"}

    def test_refuses_python(self, tmp_path: Path) -> None:
        params = DatasetParams(dataset="Dataset004_Hippocampus")

        with pytest.raises(ConfigError, match=r"is declared in YAML. Leave out `--format python`"):
            DatasetScaffolder().scaffold(self.request(params, tmp_path, "python"))
