"""Versions that are shown, promoted by hand and cleared."""

from pathlib import Path

import pytest

from nnunet_assets.core.comparison.compared_experiments import ComparedExperiment
from nnunet_assets.core.registry.gate import RULES
from nnunet_assets.errors import ConfigError, TrackingError
from nnunet_assets.processes.user_name import user_name
from nnunet_assets.settings import Settings
from nnunet_assets.tracking.registry import clearing
from nnunet_assets.tracking.registry.registration import describe, register_package, set_alias
from nnunet_assets.tracking.store.destination import Destination
from nnunet_assets.workflows.registry.registered_models import (
    ClearedModels,
    clear_models,
    promote_version,
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
