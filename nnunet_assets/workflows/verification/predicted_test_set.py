"""The masks of a test set: whether they are as they were predicted, and from which checkpoints and images."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from nnunet_assets.core.dataset.dataset_json import DATASET_JSON, parse_dataset_json
from nnunet_assets.core.files.digests import json_sha256
from nnunet_assets.core.files.json_file import readable_json
from nnunet_assets.core.files.layout import Experiment, Roots
from nnunet_assets.core.verification.findings import Finding
from nnunet_assets.errors import NnunetAssetsError, VerificationError, first_offenders
from nnunet_assets.nnunet.plans.plans import Plans
from nnunet_assets.nnunet.predictions.prediction import predictions_of
from nnunet_assets.nnunet.predictions.prediction_store import MANIFEST, PredictionStore
from nnunet_assets.workflows.verification.walk import Walk

TEST_IMAGES = "test images"


def store_of_test_set(roots: Roots, experiment: Experiment) -> PredictionStore:
    """Returns where the predictions of a test set lie.

    Raises:
        DatasetError: The model's dataset.json, which names the ending of their files, cannot be used.
    """
    description = parse_dataset_json(experiment.model_folder(roots) / DATASET_JSON)
    return predictions_of(experiment, roots, description.file_ending)


def references_of_test_set(roots: Roots, experiment: Experiment) -> Path:
    """Returns the folder of its references.

    Raises:
        VerificationError: There is none any more.
    """
    from nnunet_assets.nnunet.raw.case_files import TEST_LABELS

    folder = roots.raw / experiment.dataset / TEST_LABELS
    if not folder.is_dir():
        raise VerificationError(f"{folder}, which has the references, is not there any more.")
    return folder


def predictions_digest(roots: Roots, experiment: Experiment) -> str | None:
    """Returns what names the predictions that are there, as a gap does; None: there are none."""
    cases = _manifest(roots, experiment).get("cases", {})
    return json_sha256({case: record["made_from"] for case, record in cases.items()}) if cases else None


def prediction_findings(walk: Walk, experiment: Experiment) -> Iterator[Finding]:
    """Yields whether the masks are as they were predicted, from the checkpoints and images that are there."""
    manifest = _manifest(walk.roots, experiment)
    cases: Mapping[str, Any] = manifest.get("cases", {})
    if not cases:
        sentence = f"How the test set of {experiment.title} was predicted is not recorded, or not any more."
        yield Finding("masks", "test set", "unknown", sentence)
        return
    store = store_of_test_set(walk.roots, experiment)
    yield _as_predicted(store, cases)
    yield _from_checkpoints(walk, experiment, manifest)
    if not walk.is_quick:
        yield _from_images(walk, experiment, manifest)


def _as_predicted(store: PredictionStore, cases: Mapping[str, Any]) -> Finding:
    gone = [case for case in cases if not store.finished_file(case).is_file()]
    changed = [case for case, record in cases.items() if case not in gone and not store.is_whole(case, record)]
    if changed:
        sentence = f"{len(changed)} masks of {len(cases)} test cases were changed since they were predicted"
        return Finding("masks", "test set", "changed", f"{sentence}: {first_offenders(changed)}.")
    if gone:
        sentence = f"{len(gone)} masks of {len(cases)} test cases are not there any more: {first_offenders(gone)}."
        return Finding("masks", "test set", "unknown", sentence)
    sentence = f"The masks of {len(cases)} test cases are, byte by byte, those that were predicted."
    return Finding("masks", "test set", "holds", sentence)


def _from_checkpoints(walk: Walk, experiment: Experiment, manifest: Mapping[str, Any]) -> Finding:
    # numpy, which wrong usage need not wait for.
    from nnunet_assets.nnunet.predictions.ensemble import finished_ensemble

    folds = [str(fold) for fold in manifest["folds"]]
    walk.progress.say(f"The checkpoints of {experiment.title} are read.")
    try:
        digest = finished_ensemble(walk.roots, experiment, folds).digest
    except NnunetAssetsError as error:
        sentence = f"What the test set was predicted with cannot be compared any more: {error}"
        return Finding("checkpoints", "test set", "unknown", sentence)
    if digest == manifest["ensemble"]:
        sentence = f"The test set was predicted with the checkpoints, plans and dataset.json of {len(folds)} folds."
        return Finding("checkpoints", "test set", "holds", sentence)
    sentence = (
        "The test set was predicted with other checkpoints, plans, dataset.json, or another version of nnU-Net, than "
        f"there are now in {experiment.model_folder(walk.roots)}."
    )
    return Finding("checkpoints", "test set", "changed", sentence)


def _from_images(walk: Walk, experiment: Experiment, manifest: Mapping[str, Any]) -> Finding:
    from nnunet_assets.nnunet.cases.fact_cache import FactCache
    from nnunet_assets.nnunet.predictions.checked_test_set import read_test_set

    roots, model = walk.roots, experiment.model_folder(walk.roots)
    try:
        description = parse_dataset_json(model / DATASET_JSON)
        stage = experiment.previous_stage(Plans.read(model / "plans.json").configurations)
        before = predictions_of(stage, roots, description.file_ending).predicted() if stage else {}
        with TemporaryDirectory() as nothing_known:
            cache = FactCache(Path(nothing_known) / "facts.json")
            found = read_test_set(roots, experiment.dataset, description, walk.progress, model, cache=cache)
    except (NnunetAssetsError, OSError) as error:
        return Finding("inputs", TEST_IMAGES, "unknown", f"The test images cannot be read again: {error}")
    now = {
        case.name: json_sha256([manifest["ensemble"], case.images_hash, before.get(case.name)]) for case in found.cases
    }
    then = {case: record["made_from"] for case, record in manifest["cases"].items()}
    if now == then:
        sentence = f"The images of {len(then)} test cases were read again, and are those that were predicted."
        return Finding("inputs", TEST_IMAGES, "holds", sentence)
    odd = [case for case in dict.fromkeys([*then, *now]) if now.get(case) != then.get(case)]
    sentence = f"{len(odd)} test cases have other images than were predicted: {first_offenders(odd)}."
    return Finding("inputs", TEST_IMAGES, "changed", sentence)


def _manifest(roots: Roots, experiment: Experiment) -> Mapping[str, Any]:
    try:
        return readable_json(store_of_test_set(roots, experiment).folder / MANIFEST)
    except NnunetAssetsError:
        return {}
