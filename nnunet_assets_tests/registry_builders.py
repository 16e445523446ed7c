"""Packages of models that were never trained, and versions of them."""

from dataclasses import replace
from pathlib import Path

from nnunet_assets.core.files.digests import file_sha256
from nnunet_assets.core.files.json_file import write_json_atomically
from nnunet_assets.core.files.layout import Experiment
from nnunet_assets.core.files.typed_json import dataclass_to_json
from nnunet_assets.core.model.model_description import (
    MODEL_FILE,
    DescribedMember,
    ExpectedChannel,
    ExpectedImages,
    ModelDescription,
)
from nnunet_assets.core.model.package_layout import expected_files
from nnunet_assets.tracking.assets.asset_run import bring_up_to_date
from nnunet_assets.tracking.assets.asset_runs import summary_run
from nnunet_assets.tracking.registry import registry_names
from nnunet_assets.tracking.registry.registration import Registration
from nnunet_assets.tracking.store.client import connect
from nnunet_assets.tracking.store.destination import Destination

DATASET = "Dataset001_Tiny"
MODEL = "Tiny liver"
EXPERIMENT = Experiment(DATASET, "2d")
IMAGES = ExpectedImages(".nii.gz", (ExpectedChannel("MR", "ZScoreNormalization", None, None, None, None),), *[None] * 4)
MEMBER = DescribedMember(
    name="Dataset001_Tiny/nnUNetTrainer__nnUNetPlans__2d",
    path=".",
    dataset=DATASET,
    trainer="nnUNetTrainer",
    plans="nnUNetPlans",
    configuration="2d",
    variant=None,
    folds=("fold_0", "fold_1"),
    checkpoint="checkpoint_final.pth",
    weight=1.0,
    previous=None,
)
DESCRIPTION = ModelDescription(
    schema_version=1,
    title="Dataset001_Tiny / 2d",
    kind="single",
    members=(MEMBER,),
    labels={"background": 0, "organ": 1},
    regions_class_order=None,
    images=IMAGES,
    numbers={},
    selection=None,
    inputs={MEMBER.name: {"raw_hash": "raw", "plans_hash": "plans", "splits_hash": "splits"}},
    intended_use=None,
    licence=None,
    versions={"nnunetv2": "2.8.1"},
    files={},
)


def write_package(folder: Path, weights: str = "weights", description: ModelDescription = DESCRIPTION) -> Path:
    """Writes a package whose checkpoints hold a text each."""
    for name in expected_files(description):
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"{weights} of {name}" if name.endswith(".pth") else "{}")
    describe_files(folder, description)
    return folder


def describe_files(folder: Path, description: ModelDescription = DESCRIPTION) -> None:
    """Writes model.json with the digests of what is there."""
    files = {
        path.relative_to(folder).as_posix(): file_sha256(path)
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != MODEL_FILE
    }
    write_json_atomically(folder / MODEL_FILE, dataclass_to_json(replace(description, files=files)))


def run_in(destination: Destination) -> str:
    """Returns the run that versions are of."""
    return bring_up_to_date(destination, summary_run(EXPERIMENT).showing({})).known_id()


def registration(package: Path, run_id: str, name: str = MODEL) -> Registration:
    return Registration(name, package, DATASET, run_id, [b"a synthetic image"], {"gate.rule": "passed"}, "For people.")


def versions_without_files(destination: Destination, n: int, name: str = MODEL) -> None:
    """Makes versions 1 to n of a model in a database, which nobody can load."""
    client = connect(destination)
    client.create_registered_model(name)
    for number in range(1, n + 1):
        client.create_model_version(name, "/nowhere", tags={registry_names.PACKAGE: f"{number:064x}"})
