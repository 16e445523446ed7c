import json
from pathlib import Path
from typing import Any

import pytest

from nnunet_assets.tracking.store.client import connect, get_or_create_experiment
from nnunet_assets.tracking.store.destination import Destination
from nnunet_assets.tracking.store.experiment_page import KIND, VIEW, missing_tags
from nnunet_assets.tracking.store.run_words import NOTES as DESCRIPTION
from nnunet_assets_tests.tracking.servers import MLFLOW_WARNINGS

pytestmark = MLFLOW_WARNINGS

NAME = "Dataset004_Hippocampus"


@pytest.fixture
def destination(tmp_path: Path, stores_in_memory: None) -> Destination:
    return Destination(f"sqlite:///{tmp_path}/mlflow.db", tmp_path / "artifacts")


def tags_of(client: Any, destination: Destination) -> dict[str, str]:
    found = client.get_experiment(get_or_create_experiment(client, NAME, destination))
    return dict(found.tags)


def test_a_new_experiment_is_one_of_trainings_and_its_view_has_the_dice(destination: Destination) -> None:
    tags = tags_of(connect(destination), destination)

    assert tags[KIND] == "custom_model_development"
    view = json.loads(tags[VIEW])
    assert view["name"] == "Dice"
    assert json.loads(view["state"])["selectedColumns"][0] == "metrics.`val_dice_mean`"
    assert "(#/experiments/1/runs?workflowType=machine_learning&viewStateShareKey=nnunet_assets)" in tags[DESCRIPTION]


def test_an_experiment_of_an_earlier_version_becomes_one_and_what_a_user_set_stays(destination: Destination) -> None:
    client: Any = connect(destination)
    number = client.create_experiment(NAME)
    client.set_experiment_tag(number, DESCRIPTION, "For the paper.")
    client.set_experiment_tag(number, KIND, "genai_development")
    client.set_experiment_tag(number, VIEW, "a view of an earlier version")

    tags = tags_of(client, destination)

    assert (tags[DESCRIPTION], tags[KIND]) == ("For the paper.", "genai_development")
    assert json.loads(tags[VIEW])["name"] == "Dice"
    assert missing_tags(tags, number) == {}


def test_who_may_not_change_the_experiment_adds_runs_to_it_all_the_same(
    destination: Destination, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mlflow.exceptions import MlflowException

    def refuses(*_arguments: str) -> None:
        raise MlflowException("Permission denied")

    client: Any = connect(destination)
    monkeypatch.setattr(client, "set_experiment_tag", refuses)

    assert get_or_create_experiment(client, NAME, destination) == "1"
