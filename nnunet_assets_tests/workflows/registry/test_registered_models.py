"""Versions that are shown, promoted by hand and cleared."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from nnunet_assets.core.comparison.compared_experiments import ComparedExperiment
from nnunet_assets.core.registry.gate import RULES
from nnunet_assets.errors import ConfigError, TrackingError
from nnunet_assets.processes.user_name import user_name
from nnunet_assets.settings import Settings
from nnunet_assets.tracking.registry import clearing
from nnunet_assets.tracking.registry.registration import describe, register_package, set_alias
from nnunet_assets.tracking.store.destination import Destination
from nnunet_assets.workflows.registry import registered_models
from nnunet_assets.workflows.registry.registered_models import (
    ClearedModels,
    clear_models,
    promote_version,
    promoted_by_force,
    registered_versions,
)
from nnunet_assets.workflows.registry.version_scores import keep_scores, known_scores
from nnunet_assets_tests.project_builders import write_project
from nnunet_assets_tests.recorded_progress import RecordedProgress
from nnunet_assets_tests.registry_builders import MODEL, registration, run_in, write_package
from nnunet_assets_tests.tracking.servers import MLFLOW_WARNINGS

pytestmark = MLFLOW_WARNINGS

DECLARED = f"""
type: nnunet_assets.components.NnunetDataset
attributes: {{dataset: Dataset001_Tiny, folds: 2}}
---
type: nnunet_assets.components.CrossValidationExperiment
attributes: {{dataset: Dataset001_Tiny, configuration: 2d, register: {MODEL}, register_margin: 0.2}}
"""
"""By which a version may be worse by 0.05."""


def _killed(*_: object) -> None:
    raise KeyboardInterrupt


def test_a_project_without_a_store_has_no_models_and_makes_none(tmp_path: Path) -> None:
    settings = Settings.from_environment(tmp_path, {})
    assert registered_versions(Destination.of(settings)) == []
    assert not (tmp_path / "data" / "mlflow.db").exists()
    with pytest.raises(TrackingError, match="No version of a model 'Liver' was registered"):
        registered_versions(Destination.of(settings), "Liver")


def test_a_version_is_promoted_by_the_gate_or_by_who_says_why_and_needless_ones_are_cleared(
    with_store: Settings, tmp_path: Path
) -> None:
    destination = Destination.of(with_store)
    run_id = run_in(destination)
    for k in range(3):
        package = write_package(tmp_path / f"p{k}", f"weights {k}")
        made = register_package(destination, registration(package, run_id))
        scores = {f"c{n}": 0.8 + n / 100 - (0.05 if k == 1 else 0.0) for n in range(8)}
        keep_scores(with_store, made.digest, ComparedExperiment("2d", "raw", "splits", {"dice": {"organ": scores}}))
    set_alias(destination, MODEL, "champion", 1)
    third, second, _ = registered_versions(destination, MODEL)

    with pytest.raises(
        ConfigError, match=r"models:/Tiny liver/3 does not pass the gate: The rule cross_validation was"
    ):
        promote_version(with_store, destination, MODEL, 3)
    for version in (second, third):
        describe(destination, version, "All kept.", {f"gate.{rule}": "passed: well." for rule in RULES})
    with pytest.raises(ConfigError, match=r"does not pass the gate: Worse than version 1"):
        promote_version(with_store, destination, MODEL, 2)
    write_project(tmp_path, {"defs.yaml": DECLARED})
    assert promote_version(with_store, destination, MODEL, 2).aliases == ("champion",)
    assert promote_version(with_store, destination, MODEL, 3).aliases == ("challenger", "champion")

    with pytest.raises(ConfigError, match="needs a reason"):
        promote_version(with_store, destination, MODEL, 2, force="  ")
    with pytest.raises(TrackingError, match="has no version 7; it has 1, 2, 3"):
        promote_version(with_store, destination, MODEL, 7, force="why")
    forced = promote_version(with_store, destination, MODEL, 2, force="The scanner changed.")
    assert forced.aliases == ("champion",)
    said = (forced.tags["promoted.by"], forced.tags["promoted.because"])
    assert said == (user_name(), "The scanner changed.")
    assert forced.description.startswith("All kept.\n\nPromoted by force on ")
    assert promote_version(with_store, destination, MODEL, 2) == forced

    dry = clear_models(with_store, destination)
    assert ([one.version for one in dry.versions], dry.is_done) == ([1], False)
    assert dry.n_bytes == sum(file.stat().st_size for file in (tmp_path / "p0").rglob("*") if file.is_file())
    assert len(registered_versions(destination)) == 3
    assert clear_models(with_store, destination, "Another", confirms=lambda _: True).versions == ()
    with pytest.MonkeyPatch.context() as patch:  # killed between the version and its files
        patch.setattr(clearing, "remove_model", _killed)
        with pytest.raises(KeyboardInterrupt):
            clear_models(with_store, destination, MODEL, confirms=lambda _: True)
    again = clear_models(with_store, destination)
    assert (again.versions, [one.digest for one in again.left], again.is_done) == ((), [dry.versions[0].digest], False)
    assert again.n_bytes == dry.n_bytes
    assert clear_models(with_store, destination, MODEL, confirms=lambda _: True, progress=RecordedProgress()).is_done
    assert clear_models(with_store, destination) == ClearedModels(())
    assert [one.version for one in registered_versions(destination)] == [3, 2]
    assert known_scores(with_store, dry.versions[0].digest) is None
    assert known_scores(with_store, forced.digest) is not None


@pytest.mark.parametrize(
    ("declared", "margin"),
    [
        ((), 0.01),
        (((MODEL, 0.2),), 0.2),
        (((MODEL, 0.2), (MODEL, 0.1), ("Another", 0.05)), 0.1),
        ((("Another", 0.05), (None, 0.03)), 0.01),
    ],
)
def test_of_several_declarations_the_smallest_margin_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, declared: tuple[tuple[str | None, float], ...], margin: float
) -> None:
    configs = [SimpleNamespace(registered_as=name, register_margin=one) for name, one in declared]
    for experiments, ensembles in ((configs, []), ([], configs)):
        project = SimpleNamespace(experiments=experiments, ensembles=ensembles)
        monkeypatch.setattr(registered_models, "declared_if_any", lambda _, found=project: found)
        assert registered_models._declared_margin(Settings.from_environment(tmp_path, {}), MODEL) == margin


def test_who_was_promoted_by_force_says_when_and_why() -> None:
    assert promoted_by_force({"promoted.at": "2026", "promoted.because": "why"}) == "Promoted by force on 2026: why"
    assert promoted_by_force({}) == "Promoted by force on : "


def test_what_was_cleared_is_as_large_as_its_known_files() -> None:
    sizes: list[Any] = [SimpleNamespace(size_bytes=size) for size in (3, None, 4)]
    assert ClearedModels(tuple(sizes), (sizes[2],)).n_bytes == 11
    assert ClearedModels(()).n_bytes == 0


def test_versions_are_cleared_one_after_the_other_and_scores_that_others_share_stay(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    versions = [
        SimpleNamespace(name=name, digest=digest, size_bytes=1) for name, digest in (("a", "1"), ("a", "2"), ("b", "2"))
    ]
    left = [SimpleNamespace(name="a", digest="3", size_bytes=1)]
    gone: list[str] = []
    monkeypatch.setattr(registered_models, "registered_versions", lambda _: versions)
    monkeypatch.setattr(registered_models, "to_be_cleared", lambda found, _: found[:2])
    monkeypatch.setattr(registered_models, "left_models", lambda _: left)
    monkeypatch.setattr(registered_models, "clear", lambda _, one: gone.append(f"version {one.digest}"))
    monkeypatch.setattr(registered_models, "free", lambda _, one: gone.append(f"files {one.digest}"))
    monkeypatch.setattr(registered_models, "forget_scores", lambda _, digest: gone.append(f"scores {digest}"))
    settings, progress = Settings.from_environment(tmp_path, {}), RecordedProgress()
    destination = Destination.of(settings)
    dry = clear_models(settings, destination, progress=progress)
    assert (len(dry.versions), len(dry.left), dry.is_done, gone, progress.steps) == (2, 1, False, [], [])
    assert clear_models(settings, destination, "b", confirms=lambda _: pytest.fail("nothing to clear")).is_done is False
    done = clear_models(settings, destination, "a", confirms=lambda found: found == dry, progress=progress)
    assert done == replace(dry, is_done=True)
    assert gone == ["version 1", "scores 1", "version 2", "files 3", "scores 3"]
    assert progress.steps == [("versions cleared", n, 3) for n in (1, 2, 3)]
