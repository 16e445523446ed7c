"""Predictions that are whole or absent, whatever killed their making; files stand for what nnU-Net writes."""

import json
from pathlib import Path
from typing import Any

import pytest

from nnunet_assets.nnunet.predictions.prediction_store import MANIFEST, PredictionStore
from nnunet_assets_tests.raw_builders import write_json

WANTED = {"a": "made of 1", "b": "made of 2"}


@pytest.fixture
def store(tmp_path: Path) -> PredictionStore:
    for name in ("dataset.json", "plans.json"):
        write_json(tmp_path / "model" / name, {})
    return PredictionStore(tmp_path / "own", ".nii.gz")


def predict(store: PredictionStore, wanted: dict[str, str]) -> list[str]:
    """Predicts what is missing and finishes, as `predict_test_set` does; returns which cases were predicted."""
    store.begin(wanted)
    missing = store.missing(wanted)
    for case in missing:
        store.file(case).write_text(f"{case}, {wanted[case]}")
    store.finish(wanted, store.folder.parents[1] / "model", {"folds": ["fold_0"]})
    return missing


def contents(store: PredictionStore) -> dict[str, str]:
    return {path.name: path.read_text() for path in store.folder.glob("*.nii.gz")}


def test_what_is_finished_is_current_and_says_what_made_it(store: PredictionStore) -> None:
    assert not store.is_current(WANTED)
    assert predict(store, WANTED) == ["a", "b"]

    assert store.is_current(WANTED)
    assert contents(store) == {"a.nii.gz": "a, made of 1", "b.nii.gz": "b, made of 2"}
    assert {path.name for path in store.folder.iterdir()} >= {"dataset.json", "plans.json", MANIFEST}
    manifest = json.loads((store.folder / MANIFEST).read_text())
    assert manifest["folds"] == ["fold_0"]
    assert manifest["cases"]["a"]["made_from"] == "made of 1"
    assert set(store.predicted()) == {"a", "b"}


@pytest.mark.parametrize(
    ("wanted", "predicted"),
    [
        ({**WANTED, "c": "made of 3"}, ["c"]),
        ({"a": "made of 1", "b": "made of other images"}, ["b"]),
        ({"a": "made of 1"}, []),
        ({"a": "other folds", "b": "other folds"}, ["a", "b"]),
    ],
    ids=["a new case", "a changed image", "a case less", "other folds"],
)
def test_only_what_is_made_of_something_else_is_predicted_again(
    store: PredictionStore, wanted: dict[str, str], predicted: list[str]
) -> None:
    predict(store, WANTED)
    assert not store.is_current(wanted)
    assert predict(store, wanted) == predicted
    assert contents(store) == {f"{case}.nii.gz": f"{case}, {made_of}" for case, made_of in wanted.items()}
    assert store.is_current(wanted)


@pytest.mark.parametrize("damage", [lambda path: path.unlink(), lambda path: path.write_text("torn")])
def test_a_prediction_that_was_damaged_is_made_again_alone(store: PredictionStore, damage: Any) -> None:
    predict(store, WANTED)
    damage(store.folder / "b.nii.gz")
    assert not store.is_current(WANTED)
    assert predict(store, WANTED) == ["b"]
    assert contents(store)["b.nii.gz"] == "b, made of 2"


def test_a_killed_prediction_goes_on_with_the_next_case_and_takes_no_torn_one(store: PredictionStore) -> None:
    store.begin(WANTED)
    store.file("a").write_text("a, made of 1")
    (store.parts / "b.nii.gz").write_text("half of b")
    assert predict(store, WANTED) == ["b"]
    assert contents(store) == {"a.nii.gz": "a, made of 1", "b.nii.gz": "b, made of 2"}
    assert list(store.work.rglob("*.nii.gz")) == []


def test_cases_of_an_interrupted_prediction_by_other_folds_are_not_taken(store: PredictionStore) -> None:
    store.begin({"a": "other folds", "b": "other folds"})
    store.file("a").write_text("a, of other folds")
    assert predict(store, WANTED) == ["a", "b"]
    assert contents(store)["a.nii.gz"] == "a, made of 1"


def test_a_kill_between_the_two_renames_loses_nothing(store: PredictionStore) -> None:
    predict(store, {"a": "old", "b": "old"})
    store.begin(WANTED)
    for case, made_of in WANTED.items():
        store.file(case).write_text(f"{case}, {made_of}")
    store.folder.rename(store.folder.with_name(".test_predictions.superseded"))

    assert not store.is_current(WANTED)
    assert predict(store, WANTED) == []
    assert store.is_current(WANTED)
    assert {path.name for path in store.folder.parent.iterdir()} == {"test_predictions", ".test_predictions"}


class TestSpacingsOf3DTiffs:
    @pytest.fixture
    def store(self, tmp_path: Path) -> PredictionStore:
        for name in ("dataset.json", "plans.json"):
            write_json(tmp_path / "model" / name, {})
        return PredictionStore(tmp_path / "own", ".tif")

    def make(self, store: PredictionStore, wanted: dict[str, str]) -> list[str]:
        store.begin(wanted)
        for case in store.missing(wanted):
            (store.cases / f"{case}.json").write_text(f"spacing of {case}, {wanted[case]}")
        return predict(store, wanted)

    def spacings(self, store: PredictionStore) -> dict[str, str]:
        return {case: (store.folder / f"{case}.json").read_text() for case in store.predicted()}

    def test_go_with_their_predictions(self, store: PredictionStore) -> None:
        wanted = {"a": "1", "b": "2"}
        assert self.make(store, wanted) == ["a", "b"]
        changed = {"a": "1", "b": "other"}
        store.begin(changed)  # killed; begun again
        assert self.make(store, changed) == ["b"]
        assert self.spacings(store) == {"a": "spacing of a, 1", "b": "spacing of b, other"}

    @pytest.mark.parametrize("content", ["other", None])
    def test_that_change_or_go_are_made_again(self, store: PredictionStore, content: str | None) -> None:
        wanted = {"a": "1", "b": "2"}
        self.make(store, wanted)
        assert store.is_current(wanted)
        sidecar = store.folder / "b.json"
        sidecar.unlink() if content is None else sidecar.write_text(content)
        assert not store.is_current(wanted)
        assert self.make(store, wanted) == ["b"]
        assert store.is_current(wanted)
