"""The winner of a search as an experiment of its own."""

from pathlib import Path

import pytest

from nnunet_assets.declarations.project import read_project
from nnunet_assets.errors import ConfigError, SearchError
from nnunet_assets.workflows.search import adopt
from nnunet_assets.workflows.search.adopt import AdoptedScores, adopt_trial, adopted_scores
from nnunet_assets.workflows.search.status import search_status
from nnunet_assets_tests.search_builders import begun_book, finish, project_with_search


def searched(root: Path) -> tuple:  # type: ignore[type-arg]
    """A search of three trials: the second is the best of those that were trained to their end."""
    _, config, settings = project_with_search(root)
    # A folder of definitions beside a file of them is not read: the project's lies in one of its own.
    (root / "experiments/all").mkdir()
    (root / "experiments/defs.yaml").rename(root / "experiments/all/defs.yaml")
    book = begun_book(config, settings, [0.3] * 9, [0.4] * 9, [0.9])
    for number in (0, 1):
        finish(config, settings, number)
        book.end(number, "finished", 9)
    book.end(2, "stopped", 1)
    return read_project(root), config, settings


def test_the_best_trial_that_was_trained_to_its_end_is_declared_with_all_folds(tmp_path: Path) -> None:
    project, config, settings = searched(tmp_path)
    adopted = adopt_trial(settings, project, config)
    again = read_project(tmp_path)
    (experiment,) = again.experiments
    assert experiment == adopted.config
    assert experiment.identity.title == "Dataset004_Hippocampus / lr_001 / nnUNetTrainerTunable__nnUNetPlans__2d"
    assert experiment.training_hash() == config.trial(1, adopted.chosen.trial.point).training_hash()
    assert again.folds_of(experiment) == ["fold_0", "fold_1", "fold_2", "fold_3", "fold_4"]
    assert "chosen among 3 trials" in experiment.description
    beginning = "# Trial 1 of the search lr: pseudo Dice 0.4000 after 9 epochs on fold_0"
    assert adopted.file.read_text().startswith(beginning)
    assert adopt_trial(settings, again, config).file is None


def test_its_dice_is_shown_with_and_without_the_fold_that_chose_it(tmp_path: Path) -> None:
    project, config, settings = searched(tmp_path)
    adopt_trial(settings, project, config)
    project = read_project(tmp_path)
    (scores,) = adopted_scores(settings, project, config, search_status(settings, config))
    assert (scores.dice, scores.dice_elsewhere, scores.n_folds) == (0.8, None, 1)
    finish(config, settings, 1, "fold_1", dice=0.6)
    (scores,) = adopted_scores(settings, project, config, search_status(settings, config))
    assert str(scores).endswith(
        "Dice 0.7000 over 2 of 5 folds; over those that chose nothing (without fold_0): 0.6000. It was chosen among 3 "
        "trials."
    )


def test_a_winner_may_lie_outside_of_a_space_that_was_changed_since(tmp_path: Path) -> None:
    project, config, settings = searched(tmp_path)
    file = tmp_path / "experiments/all/defs.yaml"
    file.write_text(file.read_text().replace("choice: [SGD, AdamW]", "choice: [AdamW]"))
    project = read_project(tmp_path)
    config = project.searches[0]
    assert adopt_trial(settings, project, config).config.variant.name == "lr_001"
    (scores,) = adopted_scores(settings, read_project(tmp_path), config, search_status(settings, config))
    assert (scores.n_folds, scores.n_trials) == (1, 3)


def test_a_variant_with_the_name_of_a_trial_and_other_settings_is_not_taken_for_it(tmp_path: Path) -> None:
    project, config, settings = searched(tmp_path)
    file = adopt_trial(settings, project, config).file
    file.write_text(file.read_text().replace("initial_lr: 0.02", "initial_lr: 0.03"))
    project = read_project(tmp_path)
    with pytest.raises(ConfigError, match="is declared already, with other settings than those of trial 1"):
        adopt_trial(settings, project, config)
    assert adopted_scores(settings, project, config, search_status(settings, config)) == []


def test_a_folder_that_is_in_the_way_stays_as_it_is(tmp_path: Path) -> None:
    project, config, settings = searched(tmp_path)
    folder = tmp_path / "experiments/lr_001"
    folder.mkdir()
    with pytest.raises(ConfigError, match=r"lr_001 is there already\. Move it away, or declare Dataset004_H"):
        adopt_trial(settings, project, config)
    assert list(folder.iterdir()) == []


def test_a_declaration_that_cannot_be_read_does_not_stay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    project, config, settings = searched(tmp_path)

    def fails(_: Path) -> None:
        raise ConfigError("It is wrong.")

    for read in (fails, lambda _: project):
        monkeypatch.setattr(adopt, "read_project", read)
        with pytest.raises(ConfigError, match=r"cannot declare Dataset004_.* in .*lr_001/defs\.yaml: "):
            adopt_trial(settings, project, config)
        assert not (tmp_path / "experiments/lr_001").exists()


def test_a_trial_without_a_score_is_said_to_be_so(tmp_path: Path) -> None:
    project, config, settings = project_with_search(tmp_path)
    (tmp_path / "experiments/all").mkdir()
    (tmp_path / "experiments/defs.yaml").rename(tmp_path / "experiments/all/defs.yaml")
    begun_book(config, settings, [])
    file = adopt_trial(settings, project, config, 0).file
    assert "pseudo Dice nan after 0 epochs on fold_0,\n# chosen among 1 trials." in file.read_text()


@pytest.mark.parametrize(
    ("dice", "elsewhere", "said"),
    [
        (None, None, "Dice undefined over 1 of 5 folds; over those that chose nothing (without fold_0): no other fold"),
        (0.5, 0.25, "Dice 0.5000 over 1 of 5 folds; over those that chose nothing (without fold_0): 0.2500. It was"),
        (0.0, 0.0, "Dice 0.0000 over 1 of 5 folds; over those that chose nothing (without fold_0): 0.0000. It was"),
    ],
)
def test_scores_are_said_with_what_is_not_known(dice: float | None, elsewhere: float | None, said: str) -> None:
    assert said in str(AdoptedScores("one", "fold_0", 3, 1, 5, dice, elsewhere))


def test_another_trial_may_be_named_and_one_that_is_not_there_is_told(tmp_path: Path) -> None:
    project, config, settings = searched(tmp_path)
    with pytest.raises(SearchError, match=r"has no trial 9\. It has 0 to 2"):
        adopt_trial(settings, project, config, 9)
    assert adopt_trial(settings, project, config, 2).config.variant.name == "lr_002"


def test_no_trial_that_was_trained_to_its_end_is_no_winner(tmp_path: Path) -> None:
    project, config, settings = project_with_search(tmp_path)
    begun_book(config, settings, [0.1])
    with pytest.raises(SearchError, match="none of its 1 trials was trained to its end"):
        adopt_trial(settings, project, config)


def test_a_variant_under_the_name_of_a_trial_must_be_that_trial(tmp_path: Path) -> None:
    project, config, settings = searched(tmp_path)
    file = adopt_trial(settings, project, config).file
    file.write_text(file.read_text().replace("num_epochs: 9", "num_epochs: 8"))
    with pytest.raises(ConfigError, match="has the name of one of its trials"):
        read_project(tmp_path)
