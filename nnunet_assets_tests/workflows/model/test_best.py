"""The choice among a dataset's declared experiments, from what lies on the disk."""

import zipfile
from pathlib import Path

import pytest

from nnunet_assets.declarations.config import ExperimentConfig
from nnunet_assets.declarations.project import Project, read_project
from nnunet_assets.errors import ConfigError
from nnunet_assets.settings import Settings
from nnunet_assets.workflows.model.best import find_best_configuration
from nnunet_assets_tests.comparison_builders import DATASET, DECLARED, LONG, PLAIN, roots_of, summarized
from nnunet_assets_tests.project_builders import write_project

NAMES = [config.identity.name_in_dataset for config in (PLAIN, LONG)]


@pytest.fixture
def declared(tmp_path: Path) -> Project:
    return read_project(write_project(tmp_path, {"defs.yaml": DECLARED}))


def settings_of(project: Path) -> Settings:
    return Settings.from_environment(project, {})


def write_checkpoint(project: Path, config: ExperimentConfig, fold: str, n_weights: int, log: str = "") -> None:
    folder = config.identity.fold_folder(roots_of(project), fold)
    folder.mkdir(parents=True)
    with zipfile.ZipFile(folder / "checkpoint_final.pth", "w") as archive:
        archive.writestr("archive/data.pkl", checkpoint_pickle(n_weights, log))
        archive.writestr("archive/data/0", bytes(4 * n_weights))


def checkpoint_pickle(n_weights: int, log: str) -> bytes:
    """Returns what torch writes of so many weights, and a log beside them."""

    def text(value: str) -> bytes:
        return b"X" + len(value).to_bytes(4, "little") + value.encode()

    def number(value: int) -> bytes:
        return b"J" + value.to_bytes(4, "little")

    storage = b"(" + text("storage") + b"ctorch\nFloatStorage\n" + text("0") + text("cpu") + number(n_weights) + b"tQ"
    shape, stride = number(n_weights) + b"\x85", number(1) + b"\x85"
    tensor = b"ctorch._utils\n_rebuild_tensor_v2\n(" + storage + number(0) + shape + stride + b"\x89NtR"
    weights = text("network_weights") + b"}" + text("w") + tensor + b"s"
    return b"\x80\x02}(" + weights + text("logging") + text(log) + b"u."


@pytest.mark.parametrize(("sizes", "chosen"), [((200, 100), 1), ((100, 200), 0)])
def test_the_one_with_fewer_weights_is_the_simpler_candidate(
    tmp_path: Path, declared: Project, sizes: tuple[int, int], chosen: int
) -> None:
    # Nor does it count that the smaller one was trained for longer, and has the larger file.
    for config, size, other in zip((PLAIN, LONG), sizes, reversed(sizes), strict=True):
        summarized(tmp_path, config, 0.0)
        write_checkpoint(tmp_path, config, "fold_1", size, "epoch" * 100 * other)

    best = find_best_configuration(settings_of(tmp_path), declared, DATASET)

    assert best.chosen == NAMES[chosen]
    shown = {one.name: one.weights_bytes for one in best.candidates}
    assert shown == {name: 4 * size for name, size in zip(NAMES, sizes, strict=True)}


def test_two_networks_alike_are_equally_simple_however_long_they_were_trained(
    tmp_path: Path, declared: Project
) -> None:
    for config, log in ((PLAIN, ""), (LONG, "epoch" * 1000)):
        summarized(tmp_path, config, 0.0)
        write_checkpoint(tmp_path, config, "fold_0", 100, log)

    best = find_best_configuration(settings_of(tmp_path), declared, DATASET)

    assert [one.weights_bytes for one in best.candidates] == [400, 400]


def test_a_checkpoint_that_cannot_be_read_has_no_size(tmp_path: Path, declared: Project) -> None:
    summarized(tmp_path, PLAIN, 0.0)
    write_checkpoint(tmp_path, PLAIN, "fold_0", 100)
    (PLAIN.identity.fold_folder(roots_of(tmp_path), "fold_0") / "checkpoint_final.pth").write_bytes(b"PK\x03\x04torn")

    (only,) = find_best_configuration(settings_of(tmp_path), declared, DATASET).candidates

    assert only.weights_bytes is None


def test_a_candidate_whose_folds_were_taken_away_has_no_size_and_is_not_the_simpler_one(
    tmp_path: Path, declared: Project
) -> None:
    for config in (PLAIN, LONG):
        summarized(tmp_path, config, 0.0)
    write_checkpoint(tmp_path, LONG, "fold_0", 10**5)

    best = find_best_configuration(settings_of(tmp_path), declared, DATASET)

    assert (best.chosen, best.candidates[0].weights_bytes) == (NAMES[1], None)


def test_who_has_no_complete_summary_is_left_out(tmp_path: Path, declared: Project) -> None:
    summarized(tmp_path, PLAIN, 0.0)
    summarized(tmp_path, LONG, 0.3, n_folds=1)

    best = find_best_configuration(settings_of(tmp_path), declared, DATASET)

    assert (best.chosen, list(best.left_out)) == (NAMES[0], [NAMES[1]])
    assert "its summary is incomplete" in best.left_out[NAMES[1]]


def test_a_dataset_that_is_not_declared_is_an_error(tmp_path: Path, declared: Project) -> None:
    with pytest.raises(ConfigError, match="Dataset002_Other"):
        find_best_configuration(settings_of(tmp_path), declared, "Dataset002_Other")


def test_it_predicts_nothing_and_says_which_ensembles_are_missing(tmp_path: Path, declared: Project) -> None:
    for config in (PLAIN, LONG):
        summarized(tmp_path, config, 0.0)
    settings = settings_of(tmp_path)

    missing, *_ = find_best_configuration(settings, declared, DATASET).notes
    asked_for_none = find_best_configuration(settings, declared, DATASET, max_members=1).notes

    assert missing.startswith("Not made, and no candidates: ensembles/2d-2d-")
    assert not any("ensembles" in note for note in asked_for_none)
