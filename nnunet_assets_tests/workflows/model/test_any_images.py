"""Whatever a folder of new images is like: it is refused in words before any work, or nnU-Net reads and writes it."""

import gzip
import shutil
import struct
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from hypothesis import HealthCheck, given, note, settings
from hypothesis import strategies as st

from nnunet_assets.errors import NnunetAssetsError
from nnunet_assets.nnunet.images.image_reader import reader_class
from nnunet_assets.processes.machine.memory import memory_bytes
from nnunet_assets.workflows.model.named_model import NamedModel
from nnunet_assets.workflows.model.planned_prediction import PlannedPrediction
from nnunet_assets_tests.any_input.damages import damages
from nnunet_assets_tests.predict_builders import PredictProject, write_predict_project
from nnunet_assets_tests.raw_builders import write_json

IMAGE = "new_2_0000.nii.gz"
# Offset in the header, form and values: sizes, types, voxel sizes, scaling, and the place by both of its forms.
FIELDS: dict[str, tuple[int, str, Sequence[float]]] = {
    "number of axes": (40, "<h", [0, 1, 2, 4, 5, 8, -1]),
    "voxels along x": (42, "<h", [0, 1, 7, 11, -3, 32767]),
    "voxels along t": (48, "<h", [0, 2, 3]),
    "type": (70, "<h", [1, 2, 8, 16, 32, 64, 128, 256, 512, 768, 1024, 4096]),
    "bits": (72, "<h", [0, 1, 8, 16, 32, 64]),
    "size of x": (80, "<f", [0.0, -2.0, 1e-9, 1e9, float("nan"), float("inf")]),
    "where voxels begin": (108, "<f", [0.0, 348.0, 353.0, 1e7, float("nan")]),
    "slope": (112, "<f", [0.0, 2.0, -1.0, 1e38, float("nan"), float("inf")]),
    "intercept": (116, "<f", [5.0, float("nan"), float("-inf")]),
    "units": (123, "<B", [0, 1, 3, 255]),
    "quaternion's code": (252, "<h", [0, 1, 2, -5]),
    "matrix's code": (254, "<h", [0, 1, 4]),
    "quaternion": (256, "<f", [0.5, 2.0, float("nan")]),
    "origin": (268, "<f", [1e6, float("nan")]),
    "first row": (280, "<f", [0.0, -2.0, 0.7, float("inf")]),
}


@st.composite
def header_edits(draw: st.DrawFn) -> tuple[str, Callable[[Path], None]]:
    """Draws one to three fields of a NIfTI header that are changed."""
    names = draw(st.lists(st.sampled_from(sorted(FIELDS)), min_size=1, max_size=3, unique=True))
    values = {name: draw(st.sampled_from(FIELDS[name][2])) for name in names}

    def edit(path: Path) -> None:
        content = bytearray(gzip.decompress(path.read_bytes()))
        for name, value in values.items():
            offset, form, _ = FIELDS[name]
            struct.pack_into(form, content, offset, value if form == "<f" else int(value))
        path.write_bytes(gzip.compress(bytes(content), 1))

    return f"{values}", edit


def renamed(name: str) -> tuple[str, Callable[[Path], None]]:
    def rename(path: Path) -> None:
        path.rename(path.with_name(name))

    return f"named {name!r}", rename


NAMES = [IMAGE.removesuffix(".gz"), "new_2.nii.gz", "new_2_0001.nii.gz", "new_1.nii.gz", ".nii.gz", "_0000.nii.gz"]
NAMES += ["NEW_1_0000.nii.gz", "new_2_0000.NII.GZ", "a\nb_0000.nii.gz", "dataset_0000.nii.gz", "ü x_0000.nii.gz"]


PLANS = {
    "image_reader_writer": "SimpleITKIO",
    "transpose_forward": [0, 1, 2],
    "configurations": {"2d": {"spacing": [1.0, 1.0, 1.0]}},
}


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> PredictProject:
    return write_predict_project(tmp_path_factory.mktemp("any_images"))


@pytest.fixture(scope="module")
def model(project: PredictProject, tmp_path_factory: pytest.TempPathFactory) -> NamedModel:
    """The project's, with plans that say what is resampled to."""
    found = project.model()
    folder = write_json(tmp_path_factory.mktemp("model") / "plans.json", PLANS).parent
    return replace(found, usable=replace(found.usable, members=(replace(found.usable.members[0], folder=folder),)))


def read_and_written(plan: PlannedPrediction, folder: Path) -> None:
    """Has nnU-Net's own reader read every image of a plan, and write a mask of it."""
    reader = reader_class(str(plan.checked.reader))()
    for case in plan.checked.cases:
        voxels, properties = reader.read_images([str(path) for path in case.images])
        assert np.isfinite(voxels).all()
        assert voxels.shape[0] == len(plan.model.description.channel_names)
        # The model's voxels are of 1 mm.
        resampled = [mm * n for mm, n in zip(properties["spacing"], voxels.shape[1:], strict=True)]
        assert all(round(n) for n in resampled)
        assert 10 * np.prod(resampled) < 10 * memory_bytes()
        mask = np.zeros(voxels.shape[1:], np.uint8)
        reader.write_seg(mask, str(folder / f"{case.name}.nii.gz"), properties)
        assert reader.read_seg(str(folder / f"{case.name}.nii.gz"))[0].shape[1:] == mask.shape


@pytest.mark.filterwarnings("ignore")
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(damage=st.one_of(header_edits(), damages(), st.sampled_from(NAMES).map(renamed)))
def test_any_folder_of_images_is_refused_in_words_or_can_be_predicted(
    project: PredictProject, model: NamedModel, damage: tuple[str, Callable[[Path], None]]
) -> None:
    what, happens = damage
    with TemporaryDirectory() as text:
        images, output = Path(text) / "images", Path(text) / "out"
        shutil.copytree(project.images, images)
        happens(images / IMAGE)
        note(what)
        with suppress(NnunetAssetsError):
            read_and_written(project.plan(model, images=[images], output=output), images)
        assert not output.exists()
