"""Tables as Dagster gets them: typed columns with descriptions, readable text first, exact numbers beside it."""

from typing import Any

import dagster as dg

from nnunet_assets.assets.events.tables import file_columns, number_metadata, shown_table, shown_tables


def columns(table: dg.MetadataValue) -> dict[str, str]:
    assert isinstance(table, dg.TableMetadataValue)
    return {column.name: column.type for column in table.schema.columns}


def test_exact_numbers_stand_below_what_people_read() -> None:
    tables = shown_tables("dice", [{"label": "organ", "Dice": "0.871 ± 0.012"}], [{"dice_mean": 0.87123, "n_cases": 3}])

    assert {name: columns(table) for name, table in tables.items()} == {
        "dice": {"label": "string", "Dice": "string"},
        "dice_exact": {"label": "string", "dice_mean": "float", "n_cases": "int"},
    }
    exact: Any = tables["dice_exact"]
    assert [record.data for record in exact.records] == [{"label": "organ", "dice_mean": 0.87123, "n_cases": 3}]
    assert exact.schema.columns[1].description == "mean, between 0 and 1"


def test_a_column_has_one_type_though_some_of_its_cells_are_undefined() -> None:
    rows: Any = [{"mean": None, "n": 1, "x": 1, "sd": None}, {"mean": 0.5, "n": None, "x": 0.5}, {"is_best": True}]
    types = {"mean": "float", "n": "int", "x": "float", "sd": "float", "is_best": "bool"}
    assert columns(shown_table(rows)) == types


def test_no_rows_are_said_so() -> None:
    assert shown_table([]) == dg.MetadataValue.text("none")
    assert shown_tables("dice", [], []) == {}


def test_the_columns_of_a_file_are_what_dagster_knows_as_its_schema() -> None:
    found = file_columns({"case": str, "hd95_mm": float, "n_cases": int}, 12)
    schema = found["dagster/column_schema"].value
    assert isinstance(schema, dg.TableSchema)
    assert [(one.name, one.type, one.description) for one in schema.columns] == [
        ("case", "string", "name of the case"),
        ("hd95_mm", "float", "in mm"),
        ("n_cases", "int", "number of cases"),
    ]
    assert found["dagster/row_count"].value == 12
    assert list(file_columns({"case": str})) == ["dagster/column_schema"]


def test_a_number_stays_one() -> None:
    assert number_metadata(3) == dg.MetadataValue.int(3)
    assert number_metadata(3.5) == dg.MetadataValue.float(3.5)
