"""A message that names an asset says in a terminal what does the same there."""

import re

import pytest

from nnunet_assets.cli import asset_words
from nnunet_assets.cli.asset_words import with_commands
from nnunet_assets.cli.main import COMMANDS

BUTTON = "(Materialize is a button of the web UI, which `nnunet-assets dev` opens"


@pytest.mark.parametrize(
    ("message", "ways"),
    [
        ("x.json is missing. Materialize cv_evaluation first.", "; `nnunet-assets evaluate EXPERIMENT` does"),
        ("Put it right and materialize raw_dataset again.", "; `nnunet-assets check DATASET` does"),
        ("It is missing. Materialize splits first; parallel folds would race to make it.", ".)"),
        ("Move it away, or materialize the fold with `retrain: true`.", "; `nnunet-assets train` does the same"),
        ("Materialize raw_dataset and splits again, or move it away.", "; `nnunet-assets check DATASET` does"),
    ],
)
def test_the_way_without_dagster_stands_behind(message: str, ways: str) -> None:
    said = with_commands(message)
    assert said.startswith(f"{message} {BUTTON}{ways}")
    assert said.count("nnunet-assets ") == 1 + ways.count("nnunet-assets ")


def test_what_says_nothing_of_assets_stays_as_it_is() -> None:
    for message in ("There is no dataset 4.", "It was not materialized by this Dagster instance.", "comparison"):
        assert with_commands(message) == message


def test_the_commands_that_are_named_are_there() -> None:
    named = {word for way in asset_words.WAYS.values() for word in re.findall(r"nnunet-assets ([a-z-]+)", way)}
    assert named
    assert named <= set(COMMANDS)
