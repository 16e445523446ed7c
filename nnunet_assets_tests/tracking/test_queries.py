import pytest

from nnunet_assets.core.commit import FoldInputs
from nnunet_assets.core.layout import Experiment
from nnunet_assets.errors import TrackingError
from nnunet_assets.tracking import names
from nnunet_assets.tracking.client import connect, get_or_create_experiment
from nnunet_assets.tracking.queries import tracked_folds
from nnunet_assets_tests.tracking.servers import MLFLOW_WARNINGS

pytestmark = MLFLOW_WARNINGS

DATASET = "Dataset004_Hippocampus"
FLAT = Experiment(DATASET, "2d")
SHORT = Experiment(DATASET, "2d", variant="short")
INPUTS = FoldInputs("raw", "plans", "splits", "settings")


def test_each_fold_has_the_status_of_its_newest_run_and_other_experiments_do_not_count(tmp_path):
    client = connect(f"sqlite:///{tmp_path}/mlflow.db", tmp_path / "artifacts")
    assert tracked_folds(client, SHORT, experiment_name=DATASET) == {}
    home = get_or_create_experiment(client, DATASET, tmp_path / "artifacts")
    trainings = [
        (SHORT, "fold_0", "FAILED", 1),
        (SHORT, "fold_0", "FINISHED", 2),
        (SHORT, "fold_1", "KILLED", 3),
        (FLAT, "fold_2", "FINISHED", 4),
    ]
    for experiment, fold, status, start in trainings:
        run = client.create_run(home, start_time=start, tags=names.fold_tags(experiment, fold, INPUTS))
        client.set_terminated(run.info.run_id, status)
    assert tracked_folds(client, SHORT, experiment_name=DATASET) == {"fold_0": "FINISHED", "fold_1": "KILLED"}


def test_a_server_that_does_not_answer_any_more_is_an_error_with_its_address(monkeypatch):
    from mlflow import MlflowClient

    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    client = MlflowClient("http://127.0.0.1:9")
    with pytest.raises(TrackingError, match=r"127\.0\.0\.1:9"):
        tracked_folds(client, SHORT, experiment_name=DATASET)
