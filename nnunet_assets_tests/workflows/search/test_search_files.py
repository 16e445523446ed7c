"""The files of a search, and its run."""

import io
from pathlib import Path

from nnunet_assets.workflows.search.search_files import make_search_files
from nnunet_assets_tests.search_builders import begun_book, project_with_search


def test_the_table_has_a_row_a_trial(tmp_path: Path) -> None:
    _, config, settings = project_with_search(tmp_path)
    begun_book(config, settings, [0.1, 0.2], []).end(0, "stopped", 2)
    made = make_search_files(settings, config, None)
    import pandas as pd

    table = pd.read_parquet(io.BytesIO((made.folder / "trials.parquet").read_bytes()))
    assert table["state"].tolist() == ["stopped", "begun"]
    assert table["initial_lr"].tolist() == [0.01, 0.02]
    assert table["optimizer_name"].tolist() == ["SGD", "SGD"]
    assert table["pseudo_dice"].isna().tolist() == [False, True]
