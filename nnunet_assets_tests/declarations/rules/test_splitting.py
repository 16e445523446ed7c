"""`splits` of a declared dataset: how many folds it comes to, and what is wrong with it, before anything runs."""

import json
from pathlib import Path

import pytest

from nnunet_assets.declarations.project import read_project
from nnunet_assets_tests.project_builders import DATASET, EXPERIMENT, documents, errors_of, write_project

SITES = "case,site\nc1,Oslo\nc2,Oslo\nc3,Lyon\nc4,Bern\n"
BY_SITE = "groups: {file: sites.csv, column: site}"
LEFT_OUT = f"{{leave_one_group_out: true, {BY_SITE}}}"
FOUR_FOLDS = json.dumps([{"train": ["a"], "val": ["b"]}] * 4)


def dataset(splits: str, more: str = "") -> str:
    return DATASET + f"  splits: {splits}\n{more}"


def errors(root: Path, splits: str, more: str = "") -> list[str]:
    return errors_of(root, {"defs.yaml": dataset(splits, more)})


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "sites.csv").write_text(SITES)
    (tmp_path / "mine.json").write_text(FOUR_FOLDS)
    return tmp_path


@pytest.mark.parametrize(
    ("splits", "n_folds"),
    [
        ("{}", 5),
        ("{seed: 7, stratify: true}", 5),
        (r"{groups: {pattern: '(?P<group>.+)_scan\d+'}}", 5),
        (LEFT_OUT, 3),
        ("{file: mine.json}", 4),
        ("{file: mine.json, groups: {pattern: '(?P<group>.)'}, on_new_cases: renew}", 4),
    ],
)
def test_an_experiment_has_the_folds_that_the_split_comes_to(root: Path, splits: str, n_folds: int) -> None:
    project = read_project(write_project(root, {"defs.yaml": documents(dataset(splits), EXPERIMENT)}))

    assert project.folds_of(project.experiments[0]) == [f"fold_{index}" for index in range(n_folds)]
    assert project.datasets[0].split_settings(root).n_folds == n_folds


def test_folds_that_are_declared_beside_a_file_must_be_its_own(root: Path) -> None:
    assert read_project(write_project(root, {"defs.yaml": dataset("{file: mine.json}", "  folds: 4\n")})).datasets
    assert errors(root, "{file: mine.json}", "  folds: 5\n") == [
        f"defs.yaml:5: attributes.folds: 5 folds are declared, but {root}/mine.json holds 4. Remove `folds`, or "
        "correct the file."
    ]
    assert errors(root, LEFT_OUT, "  folds: 5\n") == [
        "defs.yaml:5: attributes.folds: 5 folds are declared, but the groups in the column 'site' of sites.csv number "
        "3 (Bern, Lyon, Oslo). Remove `folds`, or correct the file."
    ]


def test_a_fold_beyond_the_groups_is_an_error(root: Path) -> None:
    text = documents(dataset(LEFT_OUT), EXPERIMENT + "  folds: [3]\n")

    (error,) = errors_of(root, {"defs.yaml": text})
    assert "fold 3 does not exist: Dataset004_Hippocampus has 3 folds, 0 to 2." in error


@pytest.mark.parametrize(
    ("splits", "error"),
    [
        (
            "{file: none.json}",
            "splits.file: There is no file {root}/none.json. A relative path begins in the project's folder.",
        ),
        ("{file: sites.csv}", "splits.file: {root}/sites.csv is not valid JSON"),
        ("{groups: {file: none.csv}}", "splits.groups.file: There is no file {root}/none.csv."),
        (
            "{groups: {file: sites.csv}}",
            "splits.groups.file: {root}/sites.csv has no column 'group'. Its columns: case, site.",
        ),
        (
            "{groups: {file: sites.csv, case: name, column: site}}",
            "splits.groups.file: {root}/sites.csv has no column 'name'.",
        ),
        (
            f"{{{BY_SITE}}}",
            "splits.groups.file: The number of groups in 'site' of {root}/sites.csv is 3 (Bern, Lyon, Oslo), too few",
        ),
        ("{groups: {}}", "splits.groups: name the groups by `pattern` or by `file`, one of the two."),
        ("{groups: {pattern: '(?P<group>.)', file: sites.csv}}", "splits.groups: name the groups by `pattern` or by"),
        ("{groups: {pattern: '(?P<group>.)', column: site}}", "splits.groups: `column` names a column of `file`, and"),
        ("{groups: {pattern: '(?P<group>'}}", "splits.groups: '(?P<group>' is no regular expression: "),
        (
            "{groups: {pattern: '(.+)_scan'}}",
            "splits.groups: '(.+)_scan' does not say which part of a case's name is its",
        ),
        (
            "{leave_one_group_out: true}",
            "splits: `leave_one_group_out` makes a fold of each group, which must be known",
        ),
        (
            "{leave_one_group_out: true, groups: {pattern: '(?P<group>.)'}}",
            "splits: `leave_one_group_out` makes a fold of each group, which must be known",
        ),
        (
            f"{{leave_one_group_out: true, {BY_SITE}, stratify: true}}",
            "splits: `leave_one_group_out` leaves nothing to `str",
        ),
        (
            "{file: mine.json, seed: 1}",
            "splits: `file` is a split already, so `seed` has no effect; remove one of them.",
        ),
        (
            "{file: mine.json, on_new_cases: extend}",
            "splits: a split of your own (`file`) is not extended: add the new",
        ),
        ("{on_new_cases: ask}", "splits.on_new_cases: ask is not allowed. Allowed: refuse, extend, renew."),
        ("{seed: -1}", "splits.seed: -1 is out of range: it must be at least 0."),
        ("{group: {}}", "splits.group: is not a field here. Did you mean groups?"),
    ],
)
def test_what_is_wrong_is_said_with_its_line(root: Path, splits: str, error: str) -> None:
    (found,) = errors(root, splits)

    assert found.startswith("defs.yaml:4: attributes." + error.replace("{root}", str(root)))


@pytest.mark.parametrize("n_groups", [1, 101])
def test_groups_that_make_no_cross_validation(root: Path, n_groups: int) -> None:
    (root / "sites.csv").write_text("case,site\n" + "".join(f"c{n},s{n}\n" for n in range(n_groups)))

    (error,) = errors(root, LEFT_OUT)
    assert (
        f"a cross-validation has 2 to 100 folds, but the groups in the column 'site' of sites.csv number {n_groups} ("
        in error
    )


def test_a_file_of_one_fold_is_a_hold_out(root: Path) -> None:
    (root / "one.json").write_text('[{"train": ["a"], "val": ["b"]}]')

    project = read_project(write_project(root, {"defs.yaml": documents(dataset("{file: one.json}"), EXPERIMENT)}))
    assert project.folds_of(project.experiments[0]) == ["fold_0"]
    beside = documents(DATASET + "  folds: 1\n", EXPERIMENT)  # the file lies beside the data
    assert read_project(write_project(root, {"defs.yaml": beside})).datasets[0].folds == 1


def test_an_experiment_on_a_dataset_whose_split_is_wrong_is_no_error_of_its_own(root: Path) -> None:
    assert len(errors_of(root, {"defs.yaml": documents(dataset("{file: none.json}"), EXPERIMENT)})) == 1
