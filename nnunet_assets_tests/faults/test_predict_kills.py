"""`predict` killed at random moments: no mask is torn, none that was finished is made again, the next run finishes.

And what it makes by several models, a postprocessing and probabilities, beside nnU-Net's own functions.
"""

import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from nnunet_assets.core.files.digests import file_sha256
from nnunet_assets.core.model.about_model import AboutModel
from nnunet_assets.core.model.usable_model import Member, UsableModel
from nnunet_assets.nnunet.packages.package_writing import write_package
from nnunet_assets.nnunet.predictions.ensemble import finished_ensemble
from nnunet_assets_tests.training_builders import DATASET, EXPERIMENT, FOLDS, PhantomProject

pytestmark = pytest.mark.faults

N_CASES, N_KILLS = 12, 20
ALONE = {"nnUNet_def_n_proc": "1", "OMP_NUM_THREADS": "1"}


@pytest.fixture(scope="module")
def member(trained_phantom: PhantomProject) -> Member:
    return finished_ensemble(trained_phantom.roots, EXPERIMENT, FOLDS).member


@pytest.fixture
def images(tmp_path: Path, trained_phantom: PhantomProject) -> Path:
    """The phantom's images, each twice."""
    (tmp_path / "images").mkdir()
    found = sorted((trained_phantom.roots.raw / DATASET / "imagesTr").iterdir())
    for index in range(N_CASES):
        shutil.copyfile(found[index % len(found)], tmp_path / "images" / f"case_{index:02d}_0000.nii.gz")
    return tmp_path / "images"


def start(folder: Path, package: Path, images: Path, output: Path, *flags: str) -> "subprocess.Popen[bytes]":
    program = Path(sys.executable).with_name("nnunet-assets")
    command = [program, "predict", package, images, "-o", output, "-device", "cpu", "--project", folder, *flags]
    with (folder / "predict.log").open("ab") as log:
        return subprocess.Popen(
            [str(word) for word in command],
            env={**os.environ, **ALONE},
            cwd=folder,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )


def run(folder: Path, package: Path, images: Path, output: Path, *flags: str) -> None:
    process = start(folder, package, images, output, *flags)
    assert process.wait(600) == 0, (folder / "predict.log").read_text()


def kill(process: "subprocess.Popen[bytes]", victim: str) -> None:
    """Kills the command, its child, or both, and waits until nothing of them is left."""
    command = psutil.Process(process.pid)
    children = command.children(recursive=True)
    for one in [*(children if victim != "command" else []), *([command] if victim != "child" else [])]:
        with suppress(psutil.NoSuchProcess):  # it ended by itself meanwhile
            one.send_signal(signal.SIGKILL)
    process.wait(600)
    psutil.wait_procs(children, timeout=60)


def wait_for_masks(process: "subprocess.Popen[bytes]", output: Path, n: int) -> None:
    """Waits until there are so many masks, or the command has ended."""
    deadline = time.monotonic() + 600
    while process.poll() is None and len(list(output.glob("*.nii.gz"))) < min(n, N_CASES - 1):
        assert time.monotonic() < deadline
        time.sleep(0.02)


def masks(output: Path) -> dict[str, tuple[str, int]]:
    return {path.name: (file_sha256(path), path.stat().st_mtime_ns) for path in output.glob("*.nii.gz")}


def test_a_prediction_killed_at_random_moments_is_finished_by_the_next_run(
    tmp_path: Path, images: Path, member: Member
) -> None:
    package, quick = tmp_path / "package", "--disable_tta"
    write_package(UsableModel("phantom", (replace(member, folds=("fold_0",)),), (), "0" * 64), AboutModel(), package)
    began = time.monotonic()
    run(tmp_path, package, images, tmp_path / "whole", quick)
    seconds = time.monotonic() - began
    wanted = {name: sha256 for name, (sha256, _) in masks(tmp_path / "whole").items()}
    assert len(wanted) == N_CASES

    moments, output, n_left = random.Random(7), tmp_path / "out", Counter[int]()
    finished: dict[str, tuple[str, int]] = {}
    for number in range(N_KILLS):
        process = start(tmp_path, package, images, output, quick)
        wait_for_masks(process, output, len(finished) + moments.randint(0, 3))
        try:
            process.wait(moments.uniform(0, 2 * seconds / N_CASES))
        except subprocess.TimeoutExpired:
            kill(process, ("command", "child", "all")[number % 3])
        found = masks(output)
        assert {name: sha256 for name, (sha256, _) in found.items()}.items() <= wanted.items()
        assert {name: found.get(name) for name in finished} == finished  # neither gone nor made again
        finished = found
        n_left[len(found)] += 1
        if len(found) == N_CASES:  # for the kills that are left: begin again
            shutil.rmtree(output)
            finished = {}
    run(tmp_path, package, images, output, quick)
    assert {name: sha256 for name, (sha256, _) in masks(output).items()} == wanted
    said = Counter(re.findall(r"^(case_\d+) is predicted", (output / ".nnunet_assets/output.log").read_text(), re.M))
    assert max(said.values()) == 1
    assert len(n_left) >= 3, n_left
    assert list((output / ".nnunet_assets" / "parts").iterdir()) == []
    assert len(json.loads((output / "predictions.json").read_text())["cases"]) == N_CASES
    assert len(list((output / "previews").iterdir())) == N_CASES


OF_NNUNET = """
import json, sys
from pathlib import Path
import torch
from nnunetv2.ensembling.ensemble import ensemble_folders
from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor
from nnunetv2.postprocessing.remove_connected_components import apply_postprocessing
from nnunetv2.postprocessing.remove_connected_components import remove_all_but_largest_component_from_segmentation

if __name__ == "__main__":
    model, images, output = map(Path, sys.argv[1:4])
    folders = []
    for fold in (0, 1):
        predictor = nnUNetPredictor(tile_step_size=0.7, device=torch.device("cpu"), allow_tqdm=False)
        predictor.initialize_from_trained_model_folder(str(model), (fold,))
        folders.append(str(output / f"of_{fold}"))
        Path(folders[-1]).mkdir(parents=True)
        predictor.predict_from_files_sequential(str(images), folders[-1], save_probabilities=True)
    ensemble_folders(folders, str(output / "ensemble"), save_merged_probabilities=True, num_processes=1)
    reader_writer = predictor.plans_manager.image_reader_writer_class()
    (output / "cleaned").mkdir()
    for file in (output / "ensemble").glob("*.nii.gz"):
        mask, properties = reader_writer.read_seg(str(file))
        steps = [{"labels_or_regions": [1, 2]}, {"labels_or_regions": 2}]
        step = remove_all_but_largest_component_from_segmentation
        cleaned = apply_postprocessing(mask[0], [step, step], steps)
        reader_writer.write_seg(cleaned, str(output / "cleaned" / file.name), properties)
"""


def test_an_ensemble_and_its_postprocessing_are_nnunets_bit_by_bit(
    tmp_path: Path, images: Path, member: Member, trained_phantom: PhantomProject
) -> None:
    """The two folds as two models of one ensemble: nnU-Net's own functions make the same of them."""
    import numpy as np

    for path in sorted(images.iterdir())[2:]:
        path.unlink()
    (tmp_path / "of_nnunet.py").write_text(OF_NNUNET)
    theirs = tmp_path / "theirs"
    subprocess.run(
        [sys.executable, tmp_path / "of_nnunet.py", member.folder, images, theirs],
        env={**os.environ, **ALONE, **trained_phantom.roots.environment()},
        check=True,
        capture_output=True,
    )
    members = []
    for variant, fold in (("a", "fold_0"), ("b", "fold_1")):
        members.append(replace(member, experiment=replace(EXPERIMENT, variant=variant), folds=(fold,)))
    model = UsableModel("both", tuple(members), ((1, 2), (2,)), "0" * 64)
    write_package(model, AboutModel(), tmp_path / "package")

    flags = ("-step_size", "0.7", "--no-previews")
    run(tmp_path, tmp_path / "package", images, tmp_path / "raw", *flags, "--save_probabilities", "--no-postprocessing")
    run(tmp_path, tmp_path / "package", images, tmp_path / "cleaned", *flags)

    for ours, folder in ((tmp_path / "raw", "ensemble"), (tmp_path / "cleaned", "cleaned")):
        found = {path.name: path.read_bytes() for path in ours.glob("*.nii.gz")}
        assert len(found) == 2
        assert found == {path.name: path.read_bytes() for path in (theirs / folder).glob("*.nii.gz")}
    for path in (tmp_path / "raw").glob("*.npz"):
        mean, of_nnunet = (np.load(one)["probabilities"] for one in (path, theirs / "ensemble" / path.name))
        assert mean.dtype == of_nnunet.dtype == np.float32
        assert np.array_equal(mean, of_nnunet)
