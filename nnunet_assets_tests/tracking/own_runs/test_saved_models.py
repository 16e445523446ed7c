"""Models of a script's own, as MLflow loads them."""

from pathlib import Path
from typing import Any

import pytest

from nnunet_assets.tracking.fold.sent_model import registered_as
from nnunet_assets.tracking.own_runs.saved_models import save_model
from nnunet_assets_tests.tracking.servers import MLFLOW_WARNINGS

pytestmark = MLFLOW_WARNINGS


def test_a_folder_replaces_what_is_there_and_says_under_which_name_it_is_registered(tmp_path: Path) -> None:
    (tmp_path / "saved").mkdir()
    (tmp_path / "saved" / "MLmodel").write_text("x")
    place = tmp_path / "made"
    save_model(tmp_path / "saved", place, "NAME")
    assert registered_as(place).read_text() == "NAME"
    (place / "old").touch()
    save_model(str(tmp_path / "saved"), place, None)
    assert [file.name for file in place.iterdir()] == ["MLmodel"]
    assert not registered_as(place).exists()


def test_what_is_no_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="dict is no model that can be logged: give a module of torch"):
        save_model({}, tmp_path / "made", None)


@pytest.mark.faults
@pytest.mark.filterwarnings("ignore::UserWarning", "ignore::DeprecationWarning", "ignore::FutureWarning")
def test_models_of_torch_and_of_mlflow_load_again(tmp_path: Path) -> None:
    import mlflow.pyfunc
    import mlflow.pytorch
    import torch

    class Counts(mlflow.pyfunc.PythonModel):  # type: ignore[misc]
        def predict(self, context: Any, model_input: Any, params: Any = None) -> list[int]:
            return [len(model_input)]

    save_model(Counts(), tmp_path / "python", None)
    assert mlflow.pyfunc.load_model(str(tmp_path / "python")).predict([1, 2, 3]) == [3]
    layer = torch.nn.Linear(2, 1)
    save_model(layer, tmp_path / "torch", None)
    loaded = mlflow.pytorch.load_model(str(tmp_path / "torch"))
    assert torch.equal(loaded.weight, layer.weight)
