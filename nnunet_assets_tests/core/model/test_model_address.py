import pytest
from hypothesis import given
from hypothesis import strategies as st

from nnunet_assets.core.model.model_address import ModelAddress, alias_problem, is_address, name_problem, parse_address
from nnunet_assets.errors import ConfigError


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("models:/Liver@champion", ModelAddress("Liver", alias="champion")),
        ("models:/Liver and tumour@best-one", ModelAddress("Liver and tumour", alias="best-one")),
        ("models:/Dataset004_Hippocampus/2", ModelAddress("Dataset004_Hippocampus", version=2)),
        ("models:/Leber v1.0/latest", ModelAddress("Leber v1.0")),
        ("models:/Liver@3", ModelAddress("Liver", alias="3")),  # MLflow takes a plain number for an alias
    ],
)
def test_an_address_names_a_version_and_reads_as_it_was_written(text: str, meant: ModelAddress) -> None:
    assert parse_address(text) == meant
    assert str(meant) == text
    assert is_address(text)


@pytest.mark.parametrize(
    "text",
    [
        *("", "models:/", "models:/Liver", "models:Liver/1", "Liver@champion", "models:/Liver@", "models:/@champion"),
        *("models:/Liver/0", "models:/Liver/-1", "models:/Liver/1.5", "models:/Liver/Production", "models:/a/b/1"),
        *("models:/Liver@latest", "models:/Liver@v2", "models:/m-c2d1ce87311b47938d2956dd996a7bbd", "models://Liver/1"),
        *("models:/Liver/latest@champion", "models:/../Liver/1", "runs:/abc/model"),
    ],
)
def test_what_is_no_address_is_refused_with_the_forms_that_are(text: str) -> None:
    with pytest.raises(ConfigError, match=r"no address of a registered model. Write models:/NAME@champion"):
        parse_address(text)


@given(st.text(max_size=150))
def test_whatever_may_be_a_name_has_addresses_of_its_own_alone(name: str) -> None:
    if name_problem(name) is None:
        assert parse_address(f"models:/{name}@champion") == ModelAddress(name, alias="champion")
        assert parse_address(f"models:/{name}/latest") == ModelAddress(name)
        assert name == name.strip()
        assert not set(name) & set("/:@\n'\"`")
        assert len(name) <= 128


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        *((bad, "cannot name a model") for bad in ("", " ", "a/b", "a:b", "a@b", " a", "a ", "a\nb", "a'b", "x" * 129)),
        *((bad, "calls a version") for bad in ("latest", "Latest", "v2", "champion", "challenger")),
    ],
)
def test_what_cannot_be_a_name_has_a_reason(name: str, reason: str) -> None:
    assert reason in name_problem(name)


@pytest.mark.parametrize(
    "name", ["a", "Dataset004_Hippocampus", "Leber (nicht)".replace("(", "").replace(")", ""), "Für Nieren", "x" * 128]
)
def test_ordinary_names_are_names(name: str) -> None:
    assert name_problem(name) is None


def test_aliases_that_mlflow_keeps_for_itself_are_refused() -> None:
    assert alias_problem("champion") is None
    for reserved in ("latest", "LATEST", "v2", "V12"):
        assert "reserved by MLflow" in alias_problem(reserved)
    for odd in ("", "a b", "a/b", "a@b"):
        assert "is no alias" in alias_problem(odd)
