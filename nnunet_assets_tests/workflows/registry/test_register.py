"""A model that is packed and registered, and becomes champion where the gate lets it; the round trip is played."""

import json
import socket
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from nnunet_assets.core.comparison.compared_experiments import ComparedExperiment
from nnunet_assets.core.files.digests import file_sha256
from nnunet_assets.core.model import package_files
from nnunet_assets.core.model.model_description import MODEL_FILE
from nnunet_assets.core.registry.gate import (
    RULES,
    Verdict,
    judge_cross_validation,
    judge_one_training,
    judge_round_trip,
)
from nnunet_assets.errors import ConfigError
from nnunet_assets.settings import Settings
from nnunet_assets.tracking.registry.download import download_version
from nnunet_assets.tracking.registry.versions import RegisteredVersion
from nnunet_assets.tracking.store.client import connect
from nnunet_assets.tracking.store.destination import Destination
from nnunet_assets.workflows.model.named_model import model_named
from nnunet_assets.workflows.registry import register
from nnunet_assets.workflows.registry.register import ModelToRegister, Registered, register_model
from nnunet_assets.workflows.registry.registered_models import promote_version
from nnunet_assets_tests.canaries import FOLDER, HOST, USER
from nnunet_assets_tests.core.model.descriptions import NUMBER, SINGLE
from nnunet_assets_tests.package_builders import ABOUT, CASE, DATASET, EXPERIMENT, FOLDS, cascade, model_of, write_model
from nnunet_assets_tests.recorded_progress import RecordedProgress
from nnunet_assets_tests.registry_builders import run_in
from nnunet_assets_tests.tracking.servers import MLFLOW_WARNINGS

pytestmark = MLFLOW_WARNINGS

DICES = [0.80, 0.82, 0.84, 0.86, 0.88, 0.90, 0.92, 0.94]
KEPT = (
    judge_cross_validation(FOLDS, FOLDS, FOLDS),
    judge_one_training({"raw data": "raw", "plans": "plans", "splits": "splits"}),
)


def scored(shift: float) -> ComparedExperiment:
    scores = {f"{CASE}_{k}": dice + shift for k, dice in enumerate(DICES)}
    return ComparedExperiment("2d", "raw", "splits", {"dice": {"organ": scores}})


@pytest.fixture
def round_trip(monkeypatch: pytest.MonkeyPatch) -> dict[str, Verdict]:
    """What the round trip finds, of every version from now on."""
    found = {"verdict": judge_round_trip(2, {})}

    def played(*_: Any, **__: Any) -> Verdict:
        return found["verdict"]

    monkeypatch.setattr(register, "try_round_trip", played)
    return found


def test_versions_follow_each_other_through_the_gate_and_nothing_of_the_training_is_in_them(
    with_store: Settings, tmp_path: Path, round_trip: dict[str, Verdict]
) -> None:
    destination = Destination.of(with_store)
    member = write_model(tmp_path / FOLDER)
    wanted = ModelToRegister(
        name="Tiny",
        usable=model_of(member),
        about=replace(ABOUT, numbers={**ABOUT.numbers, "dice/organ (left)": ABOUT.numbers["dice"]}),
        dataset=DATASET,
        run_id=run_in(destination),
        scores=scored(0.0),
        verdicts=KEPT,
        cases=(),
        device="cpu",
    )
    progress = RecordedProgress()

    first = register_model(with_store, wanted, destination, progress)
    assert first.is_champion
    assert first.headline() == "Tiny, version 1 is the champion"
    assert first.version.aliases == ("challenger", "champion")
    assert set(first.version.gate) == set(RULES)
    assert first.version.numbers == {"dice": "0.870 [0.850, 0.890] (50 cases)"}
    assert "Registered as champion." in first.version.description
    # Once more is the same version, which stays what it is.
    again = register_model(with_store, wanted, destination, progress)
    assert (again.version.version, again.version.aliases) == (1, ("challenger", "champion"))
    assert again.version.gate["not_inferior"] == "passed: It is the champion."
    assert "\n\nRegistered as champion.\n\n" in again.version.description
    assert again.champion_before is None

    # Tags of MLflow take no such name of a label.
    package = download_version(destination, "models:/Tiny@champion", with_store.data / "models" / "downloaded")
    assert list(package.description.numbers) == ["dice", "dice/organ (left)"]

    worse = replace(wanted, about=replace(ABOUT, notes=("Trained anew.",)), scores=scored(-0.05))
    second = register_model(with_store, worse, destination, progress)
    assert (second.version.version, second.version.aliases) == (2, ("challenger",))
    assert second.headline().startswith("Tiny, version 2 stays challenger: Worse than version 1")
    assert second.version.gate["not_inferior"].startswith("failed: Worse than version 1")
    assert "**failed**, not_inferior" in second.version.description
    assert second.champion_before.version == 1
    with pytest.raises(ConfigError, match=r"does not pass the gate: Worse than version 1.* --force"):
        promote_version(with_store, destination, "Tiny", 2)

    round_trip["verdict"] = judge_round_trip(2, {"case 1": 3})
    better = replace(wanted, about=replace(ABOUT, notes=("Trained longer.",)), scores=scored(0.02))
    third = register_model(with_store, better, destination, progress)
    assert not third.is_champion
    assert third.version.gate["round_trip"].startswith("failed: 3 voxels")
    round_trip["verdict"] = judge_round_trip(2, {})
    assert register_model(with_store, better, destination, progress).version.aliases == ("challenger", "champion")

    package = download_version(destination, "models:/Tiny@champion", with_store.data / "models" / "downloaded")
    assert package.version.version == 3
    assert package.description.notes[-1] == "Trained longer."
    _refuse_canaries(destination, tmp_path)
    for _ in ("downloaded", "there already"):
        assert set(_hashed(lambda: model_named(with_store, "models:/Tiny@champion")).values()) == {1}


def _hashed(work: Callable[[], object]) -> Counter[str]:
    """Returns how often each file of a package is hashed while something is done, but for its description."""
    found = Counter[str]()

    def counted(path: Path) -> str:
        found.update([] if path.name == MODEL_FILE else ["/".join(path.parts[-2:])])
        return file_sha256(path)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(package_files, "file_sha256", counted)
        work()
    return found


@pytest.mark.faults
def test_an_ensemble_with_a_cascade_is_registered_without_a_word_of_its_training(
    with_store: Settings, tmp_path: Path, round_trip: dict[str, Verdict]
) -> None:
    place = tmp_path / FOLDER
    members = write_model(place), cascade(place), write_model(place, replace(EXPERIMENT, variant="short"))
    destination = Destination.of(with_store)
    wanted = ModelToRegister(
        name="Tiny",
        usable=model_of(*members, steps=[(1,)]),
        about=replace(ABOUT, selection={"rule": "the best", "candidates": []}),
        dataset=DATASET,
        run_id=run_in(destination),
        scores=scored(0.0),
        verdicts=KEPT,
        cases=(),
    )
    registered = register_model(with_store, wanted, destination, RecordedProgress())
    assert registered.version.tags["nnunet_assets.kind"] == "ensemble"
    _refuse_canaries(destination, tmp_path, n=2)


def _refuse_canaries(destination: Destination, home: Path, n: int = 6) -> None:
    """Looks into every byte of the versions' files, and at all that the registry says of them."""
    files = [path for path in (destination.artifacts / "models").rglob("*") if path.is_file()]
    assert {"MLmodel", "served_model.py", "model.json", "input_example.json"} <= {file.name for file in files}
    client = connect(destination)
    (experiment,) = client.search_experiments(filter_string=f"name = '{DATASET}'")
    said = [json.dumps(one.tags) + str(one.description) for one in client.search_model_versions()]
    said += [json.dumps([one.tags, one.params]) for one in client.search_logged_models([experiment.experiment_id])]
    assert len(said) == n
    for word in (CASE, HOST, USER, FOLDER, str(home), socket.gethostname()):
        assert [file.name for file in files if word.encode() in file.read_bytes()] == [], word
        assert [text for text in said if word in text] == [], word


def version_of(number: int, *aliases: str, **tags: str) -> RegisteredVersion:
    return RegisteredVersion("Liver", number, aliases, "0" * 64, None, tags, "", 0, None, None, None)


def test_the_headline_says_what_became_of_the_version() -> None:
    kept = tuple(Verdict(rule, True, f"{rule} is kept.") for rule in RULES)
    broken = (*kept[1:], Verdict("cross_validation", False, "A fold is missing."))
    before = version_of(3, "champion")
    for registered, line in (
        (Registered(version_of(2, "champion"), broken, before), "Liver, version 2 is the champion"),
        (
            Registered(version_of(2), kept, before),
            "Liver, version 2 passes the gate, and version 3, which is newer, is the champion: nnunet-assets promote "
            "decides otherwise",
        ),
        (Registered(version_of(2), broken, before), "Liver, version 2 stays challenger: A fold is missing."),
        (Registered(version_of(2), broken, None), "Liver, version 2 stays challenger: A fold is missing."),
        (Registered(version_of(2), kept, None), "Liver, version 2 stays challenger: "),
    ):
        assert registered.headline() == line


def test_a_page_says_numbers_gate_state_use_and_licence() -> None:
    kept, broken = Verdict("round_trip", True, "Equal."), Verdict("one_training", False, "Unknown.")
    bare = replace(NUMBER, mean=0.5, interval=None, n_cases=3, estimand="So.")
    said = replace(SINGLE, numbers={"dice": NUMBER, "iou": bare, "dice/organ": NUMBER})
    text = register._description(said, [kept, broken])
    title, state, numbers, gate, use, _ = text.split("\n\n")
    assert (title, state) == ("A model", "Registered as challenger.")
    assert numbers.splitlines() == [
        "- dice: 0.870 [0.850, 0.890] (50 cases). Mean Dice of the cross-validation.",
        "- iou: 0.500 (3 cases). So.",
    ]
    assert gate.splitlines() == ["- passed, round_trip: Equal.", "- **failed**, one_training: Unknown."]
    assert use == ("Research use only: nobody said what it is for. It is no medical device. No licence was said.")
    declared = replace(SINGLE, intended_use="Teaching.", licence="MIT")
    assert "\n\nTeaching. Licence: MIT.\n\n" in register._description(declared, [])
    champion = register._description(SINGLE, [], version_of(1, "champion"))
    assert "\n\nRegistered as champion.\n\n" in champion
    assert "by force" not in champion
    tags = {"promoted.because": "why", "promoted.at": "2026-01-01"}
    forced = register._description(SINGLE, [], version_of(1, **tags))
    assert forced.endswith("\n\nPromoted by force on 2026-01-01: why")
    assert "Registered as challenger." in forced


def test_verdicts_go_in_the_order_of_the_rules_the_last_of_each() -> None:
    verdicts = [Verdict(rule, False, "") for rule in reversed(RULES)]
    found = register._in_order(*verdicts, Verdict("round_trip", True, "again"))
    assert [one.rule for one in found] == list(RULES)
    assert [one.passed for one in found] == [rule == "round_trip" for rule in RULES]


def test_a_version_that_is_the_champion_is_not_compared_with_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = Settings.from_environment(tmp_path, {})
    asked: list[Any] = []
    monkeypatch.setattr(register, "judge_versions", lambda *values: asked.append(values[1:]))
    model: Any = SimpleNamespace(margin=0.3)
    own = register._against(settings, model, version_of(2), version_of(2, "champion"))
    assert (own.passed, own.sentence, asked) == (True, "It is the champion.", [])
    for champion in (None, version_of(1, "champion")):
        register._against(settings, model, version_of(2), champion)
        assert asked[-1] == ("0" * 64, champion, 0.3)
