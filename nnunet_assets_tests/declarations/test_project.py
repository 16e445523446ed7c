import json
import os
import time
from pathlib import Path

import pytest

from nnunet_assets.declarations.config import DatasetConfig
from nnunet_assets.declarations.project import declared_if_any, read_project
from nnunet_assets.errors import ConfigError
from nnunet_assets_tests.project_builders import DATASET, EXPERIMENT, documents, errors_of, write_project


def test_a_project_has_what_its_files_declare_in_their_order(tmp_path: Path) -> None:
    root = write_project(
        tmp_path,
        {
            "a/defs.yaml": documents(DATASET, EXPERIMENT),
            "b-c.d/deeper/defs.yml": EXPERIMENT.replace("2d", "3d_fullres") + "  folds: [3, 1]\n",
        },
    )

    project = read_project(root)

    assert project.root == root
    assert [dataset.dataset for dataset in project.datasets] == ["Dataset004_Hippocampus"]
    assert [experiment.configuration for experiment in project.experiments] == ["2d", "3d_fullres"]
    assert project.folds_of(project.experiments[0]) == ["fold_0", "fold_1", "fold_2", "fold_3", "fold_4"]
    assert project.folds_of(project.experiments[1]) == ["fold_1", "fold_3"]
    assert project.experiments_of("Dataset004_Hippocampus") == project.experiments
    assert project.experiments_of("Dataset005_Prostate") == ()


def test_the_configurations_to_preprocess_are_those_of_the_experiments_with_the_same_plans(tmp_path: Path) -> None:
    root = write_project(
        tmp_path,
        {
            "defs.yaml": documents(
                DATASET,
                EXPERIMENT,
                EXPERIMENT.replace("2d", "3d_fullres") + "  variant: {name: short, num_epochs: 5}\n",
                EXPERIMENT.replace("2d", "3d_fullres"),
                EXPERIMENT.replace("2d", "3d_lowres") + "  plans: nnUNetResEncUNetLPlans\n",
            )
        },
    )

    project = read_project(root)

    assert project.configurations_of("Dataset004_Hippocampus", "nnUNetPlans") == ["2d", "3d_fullres"]
    assert project.configurations_of("Dataset004_Hippocampus", "nnUNetResEncUNetLPlans") == ["3d_lowres"]
    assert project.configurations_of("Dataset004_Hippocampus", "others") == []


def test_a_project_that_declares_nothing_is_legal(tmp_path: Path) -> None:
    project = read_project(write_project(tmp_path, {}))

    assert (project.datasets, project.experiments, project.has_definitions) == ((), (), False)


@pytest.mark.parametrize("name", ["a/defs.yaml", "b/own.py"])
def test_what_dagster_loads_may_be_the_users_own(tmp_path: Path, name: str) -> None:
    project = read_project(write_project(tmp_path, {name: "type: own.Component\n"}))

    assert (project.datasets, project.has_definitions) == ((), True)


def test_a_folder_without_experiments_is_no_project(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"is not a project: it has no folder 'experiments'.*nnunet-assets init"):
        read_project(tmp_path)


def test_an_unknown_dataset_is_asked_for(tmp_path: Path) -> None:
    project = read_project(write_project(tmp_path, {"defs.yaml": DATASET}))

    assert project.dataset("Dataset004_Hippocampus") == DatasetConfig(dataset="Dataset004_Hippocampus")
    with pytest.raises(ConfigError, match=r"Dataset004_Hippocampos is not declared\. Did you mean Dataset004_Hippoc"):
        project.dataset("Dataset004_Hippocampos")


def test_every_error_of_every_file_is_reported_at_once_with_its_line(tmp_path: Path) -> None:
    root = write_project(
        tmp_path,
        {
            "b/defs.yaml": EXPERIMENT.replace("2d", "3d"),
            "a/defs.yaml": """
                # A comment, so that lines are not those of the document.
                type: nnunet_assets.components.NnunetDataset
                attributes:
                  dataset: Dataset4_Hippocampus
                ---
                type: nnunet_assets.components.NnunetDataset
                attributes:
                  dataset: Dataset004_Hippocampus
                  folds: 0
                """,
        },
    )

    with pytest.raises(ConfigError) as caught:
        read_project(root)

    assert str(caught.value).splitlines() == [
        f"3 errors in the declarations of {root}/experiments:",
        "experiments/a/defs.yaml:4: attributes.dataset: Dataset4_Hippocampus is not nnU-Net's form DatasetXXX_Name, "
        "with three digits and then letters, digits, '.', '_' or '-'. Did you mean Dataset004_Hippocampus?",
        "experiments/a/defs.yaml:9: attributes.folds: 0 is out of range: it must be at least 1.",
        # The dataset is declared, if wrongly: that it is missing would be one error too many.
        "experiments/b/defs.yaml:4: attributes.configuration: 3d is not allowed. Allowed: 2d, 3d_fullres, 3d_lowres, "
        "3d_cascade_fullres, which nnU-Net plans; or one of your own that you add to the plans, named after one of "
        "them, such as 3d_fullres_bs8.",
    ]


def test_one_error_is_one(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"^1 error in the declarations of "):
        read_project(write_project(tmp_path, {"defs.yaml": EXPERIMENT}))


def test_a_number_that_yaml_misreads_raises_no_error_in_its_wake(tmp_path: Path) -> None:
    errors = errors_of(tmp_path, {"defs.yaml": documents(DATASET + "  folds: 012\n", EXPERIMENT + "  folds: [010]\n")})

    assert errors == [
        "defs.yaml:4: attributes.folds: YAML reads 012 as 10, since a leading 0 means octal. Write 10 or 12.",
        "defs.yaml:10: attributes.folds[0]: YAML reads 010 as 8, since a leading 0 means octal. Write 8 or 10.",
    ]


class TestWhatDagsterDoesNotRead:
    def test_a_file_of_another_name(self, tmp_path: Path) -> None:
        assert errors_of(tmp_path, {"hippocampus.yaml": DATASET}) == [
            "hippocampus.yaml:1: Dagster reads only files named defs.yaml. Move this one to "
            "experiments/hippocampus/defs.yaml."
        ]

    def test_a_second_file_beside_the_definitions(self, tmp_path: Path) -> None:
        assert errors_of(tmp_path, {"a/defs.yaml": DATASET, "a/defs.yml": EXPERIMENT}) == [
            "a/defs.yml:1: Dagster reads only defs.yaml in this folder. Add the documents of this file to it, each "
            "after a line `---`, or give it a folder of its own."
        ]

    def test_definitions_beneath_definitions(self, tmp_path: Path) -> None:
        assert errors_of(tmp_path, {"a/defs.yaml": DATASET, "a/b/c/defs.yaml": EXPERIMENT}) == [
            "a/b/c/defs.yaml:1: Dagster reads experiments/a/defs.yaml and nothing in the folders beneath it. Move this "
            "file's folder beside that one."
        ]

    def test_hidden_files_beneath_definitions_are_nobodys(self, tmp_path: Path) -> None:
        files = {"a/defs.yaml": DATASET, "a/.git/x.yaml": "a: 1", "a/b/.c/defs.yaml": "a: 1"}

        assert len(read_project(write_project(tmp_path, files)).datasets) == 1

    def test_hidden_folders_and_caches_are_passed_over(self, tmp_path: Path) -> None:
        files = {".git/x.yaml": "a: [", "__pycache__/defs.yaml": "a: [", ".hidden.yaml": "a: ["}

        assert read_project(write_project(tmp_path, files)).datasets == ()

    def test_what_lies_beneath_a_folder_component_is_read(self, tmp_path: Path) -> None:
        files = {"defs.yaml": "type: dagster.DefsFolderComponent\n", "a/defs.yaml": DATASET}

        assert len(read_project(write_project(tmp_path, files)).datasets) == 1

    def test_a_link_to_a_folder_above(self, tmp_path: Path) -> None:
        root = write_project(tmp_path, {"a/defs.yaml": DATASET})
        (root / "experiments" / "b").symlink_to(root / "experiments", target_is_directory=True)

        assert errors_of(root, {}) == [
            "b:1: is a symbolic link to a folder above it, which Dagster would follow without end."
        ]


class TestComponentsOfTheUsersOwn:
    def test_are_left_to_dagster_with_whatever_lies_beside_them(self, tmp_path: Path) -> None:
        files = {
            "own/defs.yaml": documents("type: own.components.Report\nattributes: {x: 010, x: 1}\nother: 1\n"),
            "own/material.yaml": "a: 1\n",
            "own/more/material.yaml": "a: 1\n",
            "relative/defs.yaml": "type: .report.Report\n",
        }

        assert read_project(write_project(tmp_path, files)).datasets == ()

    def test_a_type_of_this_package_that_does_not_exist_is_an_error(self, tmp_path: Path) -> None:
        names = ("NnunetDataset", "CrossValidationExperiment", "Ensemble")
        ours = ", ".join(f"nnunet_assets.components.{name}" for name in names) + " and nnunet_assets.components.Search"

        assert errors_of(tmp_path, {"defs.yaml": "type: nnunet_assets.components.NnunetDatset\n"}) == [
            "defs.yaml:1: type: 'nnunet_assets.components.NnunetDatset' is not a component. Did you mean "
            f"nnunet_assets.components.NnunetDataset? The components of this package are {ours}."
        ]
        assert errors_of(tmp_path, {"defs.yaml": "type: NnunetDataset\n"}) == [
            "defs.yaml:1: type: 'NnunetDataset' is not a component. Did you mean "
            f"nnunet_assets.components.NnunetDataset? The components of this package are {ours}."
        ]
        assert errors_of(tmp_path, {"defs.yaml": "attributes: {}\n"}) == [
            "defs.yaml:1: type: is missing. A declaration begins with it: `type: "
            f"nnunet_assets.components.NnunetDataset`. The components are {ours}."
        ]

    def test_keys_of_dagsters_are_allowed_beside_attributes(self, tmp_path: Path) -> None:
        extra = """
            requirements: {env: [HOME]}
            post_processing:
              assets: [{target: "*", attributes: {tags: {a: "1"}}}]
            """
        text = documents(DATASET) + documents(extra)

        assert len(read_project(write_project(tmp_path, {"defs.yaml": text})).datasets) == 1
        assert errors_of(tmp_path, {"defs.yaml": documents(DATASET) + "post_procesing: {}\n"}) == [
            "defs.yaml:4: post_procesing: is not a key of a document. Did you mean post_processing? "
            "Keys: type, attributes, template_vars_module, requirements, post_processing."
        ]


class TestContradictions:
    def test_a_dataset_declared_twice(self, tmp_path: Path) -> None:
        assert errors_of(tmp_path, {"a/defs.yaml": DATASET, "b/defs.yaml": DATASET}) == [
            "b/defs.yaml:3: attributes.dataset: Dataset004_Hippocampus is already declared at "
            "experiments/a/defs.yaml:1. Declare it once; experiments name it in `dataset`."
        ]

    def test_two_datasets_with_one_number(self, tmp_path: Path) -> None:
        other = DATASET.replace("Hippocampus", "Heart")

        assert errors_of(tmp_path, {"defs.yaml": documents(DATASET, other)}) == [
            "defs.yaml:7: attributes.dataset: Dataset004_Heart has the number 004 of Dataset004_Hippocampus "
            "(experiments/defs.yaml:1), and nnU-Net finds datasets by their number. Give one of them another number."
        ]

    def test_an_experiment_declared_twice(self, tmp_path: Path) -> None:
        again = EXPERIMENT + "  folds: [0]\n"

        assert errors_of(tmp_path, {"defs.yaml": documents(DATASET, EXPERIMENT, again)}) == [
            "defs.yaml:11: attributes: Dataset004_Hippocampus / nnUNetTrainer__nnUNetPlans__2d is already declared at "
            "experiments/defs.yaml:5, and both would write the same results. Remove one, or give it a variant with a "
            "name of its own."
        ]

    @pytest.mark.parametrize(
        ("first", "second"), [("lr-1.0", "lr-1-0"), ("Short", "short")], ids=["in Dagster", "on disk"]
    )
    def test_variants_whose_names_collide(self, tmp_path: Path, first: str, second: str) -> None:
        experiments = [EXPERIMENT + f"  variant: {{name: {name}, num_epochs: 5}}\n" for name in (first, second)]

        model = "nnUNetTrainer__nnUNetPlans__2d"
        assert errors_of(tmp_path, {"defs.yaml": documents(DATASET, *experiments)}) == [
            f"defs.yaml:12: attributes: Dataset004_Hippocampus / {second} / {model} and "
            f"Dataset004_Hippocampus / {first} / {model} (experiments/defs.yaml:5) become one name in "
            "Dagster, which writes '.' and '-' as '_', or one "
            "folder where capitals do not count. Rename one of them."
        ]

    def test_plans_whose_names_collide(self, tmp_path: Path) -> None:
        experiments = [
            EXPERIMENT + "  plans: my.plans\n",
            EXPERIMENT.replace("2d", "3d_fullres") + "  plans: my-plans\n",
        ]

        (error,) = errors_of(tmp_path, {"defs.yaml": documents(DATASET, *experiments)})
        assert "Dataset004_Hippocampus / my-plans / preprocessed_plans and Dataset004_Hippocampus / my.plans /" in error

    def test_an_experiment_without_its_dataset(self, tmp_path: Path) -> None:
        undeclared = EXPERIMENT.replace("004_Hippocampus", "005_Prostate")

        how = (
            "Declare it in a document with `type: nnunet_assets.components.NnunetDataset` and "
            "`attributes: {dataset: Dataset005_Prostate}`."
        )
        assert errors_of(tmp_path, {"defs.yaml": documents(DATASET, undeclared)}) == [
            "defs.yaml:7: attributes.dataset: Dataset005_Prostate is not declared. Declared: Dataset004_Hippocampus. "
            + how
        ]
        assert errors_of(tmp_path, {"defs.yaml": undeclared}) == [
            "defs.yaml:3: attributes.dataset: Dataset005_Prostate is not declared. No dataset is declared. " + how
        ]

    def test_a_fold_that_the_dataset_does_not_have(self, tmp_path: Path) -> None:
        experiment = EXPERIMENT + "  folds:\n    - 0\n    - 3\n"

        assert errors_of(tmp_path, {"defs.yaml": documents(DATASET + "  folds: 3\n", experiment)}) == [
            "defs.yaml:12: attributes.folds[1]: fold 3 does not exist: Dataset004_Hippocampus has 3 folds, 0 to 2. "
            "nnU-Net would train it on a random split of its own."
        ]


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads every folder")
def test_a_folder_that_cannot_be_read(tmp_path: Path) -> None:
    root = write_project(tmp_path, {"a/defs.yaml": DATASET})
    (root / "experiments" / "a").chmod(0)

    assert errors_of(root, {}) == ["a:1: the folder cannot be read: Permission denied."]


def test_two_hundred_files_are_read_in_a_moment(tmp_path: Path) -> None:
    files = {
        f"{number}/defs.yaml": documents(DATASET, EXPERIMENT).replace("004", f"{number:03d}") for number in range(200)
    }
    root = write_project(tmp_path, files)
    started = time.perf_counter()

    project = read_project(root)

    assert len(project.experiments) == 200
    # 0.2 s when this was written, on one of two busy cores.
    assert time.perf_counter() - started < 5


OWN = EXPERIMENT.replace("2d", "3d_fullres_bs8")


def plans_in(root: Path, configurations: dict[str, dict[str, object]], plans: str = "MyPlans") -> None:
    """Writes a plans file where a project without variables of nnU-Net's looks for it."""
    folder = root / "data" / "nnUNet_preprocessed" / "Dataset004_Hippocampus"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{plans}.json").write_text(json.dumps({"configurations": configurations}))


class TestConfigurationsOfOnesOwn:
    def test_of_plans_that_are_not_there_yet_any_safe_name_is_taken(self, tmp_path: Path) -> None:
        own = EXPERIMENT.replace("2d", "big.patch-1") + "  plans: MyPlans\n"
        project = read_project(write_project(tmp_path, {"defs.yaml": documents(DATASET, own, OWN)}))

        assert [config.configuration for config in project.experiments] == ["big.patch-1", "3d_fullres_bs8"]
        assert project.experiments[1].identity.name == "nnUNetTrainer__nnUNetPlans__3d_fullres_bs8"

    @pytest.mark.parametrize(
        "name", ["../2d", "a/b", "a__b", "a_", "_a", ".a", "a b", "ä", "a" * 65, "a\u2025b", "%2e%2e"]
    )
    def test_a_name_that_is_no_folders_is_refused(self, tmp_path: Path, name: str) -> None:
        own = EXPERIMENT.replace("2d", f'"{name}"') + "  plans: MyPlans\n"
        (error,) = errors_of(tmp_path, {"defs.yaml": documents(DATASET, own)})

        assert error.startswith("defs.yaml:8: attributes.configuration: ")

    def test_a_misspelt_one_of_nnunets_is_caught_whatever_is_planned(self, tmp_path: Path) -> None:
        wrong = EXPERIMENT.replace("2d", "3d_fulres")
        files = {"defs.yaml": documents(DATASET, wrong)}

        assert (
            "3d_fulres is not allowed. Did you mean 3d_fullres? Allowed: 2d, 3d_fullres"
            in errors_of(tmp_path, files)[0]
        )
        plans_in(tmp_path, {"2d": {}, "3d_fullres": {}}, "nnUNetPlans")
        (error,) = errors_of(tmp_path, files)
        assert error.endswith("nnUNetPlans.json. Did you mean 3d_fullres? Available: 2d, 3d_fullres.")

    def test_plans_that_are_there_decide(self, tmp_path: Path) -> None:
        files = {"defs.yaml": documents(DATASET, OWN + "  plans: MyPlans\n")}
        plans_in(tmp_path, {"3d_fullres": {}, "3d_fullres_bs80": {}})
        (error,) = errors_of(tmp_path, files)
        assert error.endswith("Did you mean 3d_fullres_bs80? Available: 3d_fullres, 3d_fullres_bs80.")

        plans_in(tmp_path, {"3d_fullres": {}, "3d_fullres_bs8": {"inherits_from": "3d_fullres"}})
        assert read_project(tmp_path).experiments

    def test_one_that_comes_back_with_plans_that_are_being_made_is_declared_all_the_while(self, tmp_path: Path) -> None:
        own = EXPERIMENT.replace("2d", "mine")
        root = write_project(tmp_path, {"defs.yaml": documents(DATASET, own)})
        stamp = root / "data/nnUNet_preprocessed/Dataset004_Hippocampus/.nnunet_assets/nnUNetPlans.json"
        stamp.parent.mkdir(parents=True)
        stamp.write_text(json.dumps({"plans_hash": None, "own_configurations": {"mine": {"inherits_from": "2d"}}}))
        assert read_project(root).experiments
        plans_in(root, {"2d": {}}, "nnUNetPlans")
        assert read_project(root).experiments
        stamp.write_text(json.dumps({"plans_hash": "made"}))
        assert "mine is not in" in errors_of(root, {})[0]

    def test_a_cascade_by_the_plans_needs_the_stage_that_they_name(self, tmp_path: Path) -> None:
        low: dict[str, object] = {"next_stage": ["big_cascade"]}
        plans_in(
            tmp_path, {"low": low, "cascade": {"previous_stage": "low"}, "big_cascade": {"inherits_from": "cascade"}}
        )
        cascade, lowres = (EXPERIMENT.replace("2d", name) + "  plans: MyPlans\n" for name in ("big_cascade", "low"))
        (error,) = errors_of(tmp_path, {"defs.yaml": documents(DATASET, cascade)})
        assert "big_cascade starts from the predictions of" in error
        project = read_project(write_project(tmp_path, {"defs.yaml": documents(DATASET, cascade, lowres)}))
        assert project.previous_stage(project.experiments[0]) == project.experiments[1].identity
        assert project.previous_stage(project.experiments[1]) is None


CASCADE = EXPERIMENT.replace("2d", "3d_cascade_fullres")
LOWRES = EXPERIMENT.replace("2d", "3d_lowres")


def test_a_cascade_is_declared_with_the_stage_before_it(tmp_path: Path) -> None:
    project = read_project(write_project(tmp_path, {"defs.yaml": documents(DATASET, CASCADE, LOWRES)}))

    cascade, lowres = project.experiments
    assert cascade.identity.previous_stage() == lowres.identity
    assert lowres.identity.previous_stage() is None


@pytest.mark.parametrize("other", ["  plans: MyPlans\n", "  trainer: MyTrainer\n", "  variant: {name: a, seed: 1}\n"])
def test_a_cascade_does_not_start_from_another_lowres(tmp_path: Path, other: str) -> None:
    assert errors_of(tmp_path, {"defs.yaml": documents(DATASET, CASCADE, LOWRES + other)}) == [
        "defs.yaml:8: attributes.configuration: 3d_cascade_fullres starts from the predictions of "
        "Dataset004_Hippocampus / nnUNetTrainer__nnUNetPlans__3d_lowres, which is not declared. Declare it with the "
        "same trainer, plans and variant name."
    ]


def test_a_cascade_needs_every_fold_of_the_stage_before_it(tmp_path: Path) -> None:
    (error,) = errors_of(tmp_path, {"defs.yaml": documents(DATASET, CASCADE, LOWRES + "  folds: [0, 1]\n")})

    assert error.startswith("defs.yaml:8: attributes.configuration: 3d_cascade_fullres starts from the predictions of ")
    assert "of which experiments/defs.yaml:10 declares some folds only." in error
    every = LOWRES + "  folds: [4, 3, 2, 1, 0]\n"
    assert read_project(write_project(tmp_path, {"defs.yaml": documents(DATASET, CASCADE, every)})).experiments


def test_a_cascade_that_predicts_a_test_set_needs_the_predictions_of_the_stage_before_it(tmp_path: Path) -> None:
    test_set = "  test_set: true\n"
    (error,) = errors_of(tmp_path, {"defs.yaml": documents(DATASET, CASCADE + test_set, LOWRES)})
    assert error.startswith("defs.yaml:9: attributes.test_set: 3d_cascade_fullres starts from the predictions of ")
    assert error.endswith("for the test set too; set `test_set: true` at experiments/defs.yaml:11 as well.")
    both = {"defs.yaml": documents(DATASET, CASCADE + test_set, LOWRES + test_set)}
    assert read_project(write_project(tmp_path, both)).experiments


def test_a_folder_that_is_no_project_declares_nothing_and_one_that_is_is_read(tmp_path: Path) -> None:
    nothing = declared_if_any(tmp_path)
    assert (nothing.root, nothing.datasets, nothing.experiments) == (tmp_path, (), ())
    assert declared_if_any(write_project(tmp_path, {"defs.yaml": documents(DATASET, EXPERIMENT)})).experiments
