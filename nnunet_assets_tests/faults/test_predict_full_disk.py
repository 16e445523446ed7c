"""A disk that is full while new images are predicted: a sentence, no half mask, and the rest when there is room."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from nnunet_assets.core.model.about_model import AboutModel
from nnunet_assets.core.model.usable_model import UsableModel
from nnunet_assets.nnunet.packages.package_writing import write_package
from nnunet_assets.nnunet.predictions.ensemble import finished_ensemble
from nnunet_assets_tests.faults.predict_trials import ALONE, PredictTrial, digests
from nnunet_assets_tests.faults.test_full_disk import can_mount
from nnunet_assets_tests.training_builders import DATASET, EXPERIMENT, FOLDS, PhantomProject

pytestmark = [pytest.mark.faults, pytest.mark.timeout(1800)]

# A file system of this process alone: what is mounted goes with it.
SCRIPT = """
mount -t tmpfs -o size="$SMALL" tmpfs "$DISK"
"$@"; echo "first $?"
cp -a "$DISK/out" "$DISK.small"
mount -o remount,size=500m "$DISK"
"$@"; echo "second $?"
cp -a "$DISK/out" "$DISK.large"
"""


@pytest.mark.skipif(not can_mount(), reason="this user may not mount a file system of its own (unshare -rm)")
def test_a_full_disk_leaves_whole_masks_and_a_sentence(tmp_path: Path, trained_phantom: PhantomProject) -> None:
    member = finished_ensemble(trained_phantom.roots, EXPERIMENT, FOLDS).member
    write_package(UsableModel("phantom", (member,), (), "0" * 64), AboutModel(), tmp_path / "package")
    (tmp_path / "images").mkdir()
    for image in sorted((trained_phantom.roots.raw / DATASET / "imagesTr").iterdir())[:3]:
        shutil.copyfile(image, tmp_path / "images" / image.name)
    trial = PredictTrial(tmp_path, tmp_path / "package", tmp_path / "images", ("--disable_tta", "--save_probabilities"))
    trial.run(tmp_path / "whole")
    wanted = digests(tmp_path / "whole")
    used = sum(-(-path.stat().st_size // 4096) * 4096 for path in (tmp_path / "whole").rglob("*") if path.is_file())
    n_left = set()
    for share in (0.02, 0.4, 0.7, 0.97):
        disk = tmp_path / f"disk_{share}"
        disk.mkdir()
        done = subprocess.run(
            ["unshare", "-rm", "bash", "-c", SCRIPT, "bash", *trial.command(disk / "out")],
            env={**os.environ, **ALONE, "DISK": str(disk), "SMALL": str(int(share * used))},
            capture_output=True,
            text=True,
            timeout=600,
            check=False,
        )
        output = done.stdout + done.stderr
        assert "first 1" in output, output
        # Known before the work, or in the middle of it.
        assert re.search("no space|make room", done.stderr, re.IGNORECASE), output
        assert "Traceback" not in output
        left = digests(disk.with_name(f"{disk.name}.small"))
        masks = {name for name in left if name.endswith(".nii.gz")}
        assert {name: left[name] for name in masks} == {name: wanted[name] for name in masks}
        n_left.add(len(masks))
        assert "second 0" in output, output
        assert digests(disk.with_name(f"{disk.name}.large")) == wanted
    assert len(n_left) > 1
