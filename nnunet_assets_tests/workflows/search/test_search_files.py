"""The files of a search, and its run."""

import io
from pathlib import Path

import pytest

from nnunet_assets.workflows.search import search_files as module
from nnunet_assets.workflows.search.search_files import make_search_files
from nnunet_assets_tests.search_builders import begun_book, project_with_search


@pytest.fixture(autouse=True)
def _without_optuna(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "importance", lambda *_: {"initial_lr": 0.8, "optimizer_name": 0.2})


def test_the_table_has_a_row_a_trial(tmp_path: Path) -> None:
    project, config, settings = project_with_search(tmp_path)
    begun_book(config, settings, [0.1, 0.2], []).end(0, "stopped", 2)
    made = make_search_files(settings, project, config, None)
    import pandas as pd

    table = pd.read_parquet(io.BytesIO((made.folder / "trials.parquet").read_bytes()))
    assert table["state"].tolist() == ["stopped", "begun"]
    assert table["initial_lr"].tolist() == [0.01, 0.02]
    assert table["optimizer_name"].tolist() == ["SGD", "SGD"]
    assert table["pseudo_dice"].isna().tolist() == [False, True]


def test_the_page_calls_the_score_what_it_is_and_draws_every_trial(tmp_path: Path) -> None:
    project, config, settings = project_with_search(tmp_path)
    book = begun_book(config, settings, [0.1, 0.2], [0.3] * 9, [0.2] * 4, [])
    book.end(0, "stopped", 2)
    book.end(1, "finished", 9)
    book.end(2, "failed", 4, failure="diverged", problem="The loss is <not> a number.")
    page = (make_search_files(settings, project, config, None).folder / "search.html").read_text()
    assert "pseudo Dice of trial 1 after 9 epochs: it ranks, and is no result" in page
    assert "Trial 2: The loss is &lt;not&gt; a number." in page
    assert page.count("<figure>") == 4
    assert str(tmp_path) not in page
