import csv
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from nnunet_assets.reports.tables import case_table
from nnunet_assets.reports.tables.case_table import write_case_table

COLUMNS = {"case": str, "dice": float, "voxels": int}


def rows(n: int) -> Iterator[dict[str, str | float | int | None]]:
    return (
        {"case": f"case_{index}", "dice": None if index % 3 else 0.1 * index, "voxels": index} for index in range(n)
    )


def test_many_parts_become_one_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(case_table, "ROWS_A_PART", 3)
    assert write_case_table(rows(8), COLUMNS, tmp_path / "t.parquet", tmp_path / "t.csv") == 8
    assert pq.read_table(tmp_path / "t.parquet").to_pylist() == list(rows(8))
    with (tmp_path / "t.csv").open(newline="") as file:
        read = list(csv.DictReader(file))
    assert [row["case"] for row in read] == [f"case_{index}" for index in range(8)]
    assert [row["dice"] for row in read][:4] == ["0.0", "", "", repr(0.1 * 3)]


def test_without_a_row_the_columns_are_there_all_the_same(tmp_path: Path) -> None:
    assert write_case_table([], COLUMNS, tmp_path / "t.parquet", tmp_path / "t.csv") == 0
    assert pq.read_table(tmp_path / "t.parquet").column_names == list(COLUMNS)
    assert (tmp_path / "t.csv").read_text().splitlines() == ["case,dice,voxels"]


def test_a_case_that_would_be_a_formula_is_text_in_csv(tmp_path: Path) -> None:
    row: dict[str, Any] = {"case": "=1+1", "dice": 0.5, "voxels": 1}
    write_case_table([row], COLUMNS, tmp_path / "t.parquet", tmp_path / "t.csv")
    assert "'=1+1" in (tmp_path / "t.csv").read_text()
    assert pq.read_table(tmp_path / "t.parquet").to_pylist() == [row]


def test_what_fails_half_way_leaves_the_tables_that_were_there(tmp_path: Path) -> None:
    write_case_table(rows(2), COLUMNS, tmp_path / "t.parquet", tmp_path / "t.csv")
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}

    def failing() -> Iterator[dict[str, str | float | int | None]]:
        yield from rows(5)
        raise OSError("No space left on device")

    with pytest.raises(OSError, match="No space"):
        write_case_table(failing(), COLUMNS, tmp_path / "t.parquet", tmp_path / "t.csv")
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before
