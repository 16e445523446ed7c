"""What a search may cost."""

from pathlib import Path

import pytest

from nnunet_assets.core.fold.journal import append_record, journal_path
from nnunet_assets.declarations.sections.engine_config import EngineConfig
from nnunet_assets.workflows.search import cost as module
from nnunet_assets.workflows.search.cost import SearchCost, missing_packages, search_cost
from nnunet_assets_tests.search_builders import project_with_search, write_epoch


def test_epochs_are_said_and_hours_as_soon_as_an_epoch_of_its_kind_is_known(tmp_path: Path) -> None:
    _, config, settings = project_with_search(tmp_path)
    assert str(search_cost(settings, config)) == (
        "4 trials of more points than can be counted, each of 9 epochs, compared after 2, 4, 8: at most 36 epochs; how "
        "long an epoch takes is not known yet"
    )
    other = settings.roots.results / "Dataset004_Hippocampus/nnUNetTrainer__nnUNetPlans__3d_fullres/fold_0"
    append_record(journal_path(other), "epoch", {"epoch_seconds": 999.0}, 0)
    write_epoch(config, settings, 7, 0, 0.5)
    cost = search_cost(settings, config)
    assert cost.most_hours == 36 * 10 / 3600  # ten seconds an epoch, on the CPU
    assert str(cost).endswith("at most 36 epochs, at most 0.1 hours")


def test_hours_are_of_the_gpus_that_a_trial_is_given_by_whichever_file_says_so(tmp_path: Path) -> None:
    _, config, settings = project_with_search(tmp_path)
    write_epoch(config, settings, 7, 0, 0.5)
    hours = 36 * 10 / 3600
    on_gpu = config.model_copy(update={"of": config.of.model_copy(update={"device": "cuda"})})
    assert search_cost(settings, on_gpu).most_hours == hours
    (tmp_path / "engine.yaml").write_text("kind: slurm\ngpus: 2\n")
    assert search_cost(settings, on_gpu).most_hours == 2 * hours
    assert str(search_cost(settings, on_gpu)).endswith("at most 0.2 GPU hours")
    own = on_gpu.model_copy(update={"each": EngineConfig(gpus=4)})
    assert search_cost(settings, own).most_hours == 4 * hours


def test_hours_that_are_not_enough_for_one_trial_are_known(tmp_path: Path) -> None:
    budget = "{trials: 4, max_epochs: 9, hours: 0.02}"
    _, config, settings = project_with_search(tmp_path, budget=budget)
    assert not search_cost(settings, config).is_too_little
    write_epoch(config, settings, 0, 0, 0.5)
    cost = search_cost(settings, config)
    assert cost.is_too_little
    assert cost.most_hours == 0.02


def test_what_is_not_installed_is_named_with_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "find_spec", lambda name: None if name == "optuna" else object())
    assert missing_packages() == ("A search needs Optuna, not installed here: pip install 'nnunet_assets[search]'.")
    monkeypatch.setattr(module, "find_spec", lambda name: object())
    assert missing_packages() is None


@pytest.mark.parametrize(("hours", "is_too_little"), [(1.0, False), (0.9999, True), (None, False)])
def test_hours_that_are_just_enough_for_one_trial_are_not_too_little(hours: float | None, is_too_little: bool) -> None:
    cost = SearchCost(4, 4, 400, (), epoch_seconds=36.0, hours=hours, max_epochs=100, gpus=0)
    assert cost.is_too_little is is_too_little
