"""The methods paragraph of an ensemble names its members, and speaks of no training of its own."""

from dataclasses import replace
from pathlib import Path

from nnunet_assets.core.files.layout import Experiment
from nnunet_assets.core.fold.members import MEMBERS, Member, members_to_json
from nnunet_assets.core.summary.scored_summary import summarize
from nnunet_assets.reports.text.methods import methods_paragraph
from nnunet_assets_tests.builders import build_fold_result, build_manifest

MEMBER_NAMES = ["nnUNetTrainer__nnUNetPlans__2d", "short/nnUNetTrainer__nnUNetPlans__3d_fullres"]


def test_an_ensemble_names_its_members_and_no_training(tmp_path: Path) -> None:
    ensemble = Experiment.ensemble("Dataset004_Hippocampus", "both")
    summary = summarize(ensemble, ["fold_0"], [build_fold_result("fold_0", {"a": {"organ": 0.9}, "b": {"organ": 0.8}})])
    members = members_to_json([Member(name, name, "commit", "weights") for name in MEMBER_NAMES])
    manifest = replace(build_manifest(tmp_path / "fold_0"), n_epochs=0, details={MEMBERS: members})

    text = methods_paragraph(summary, {"fold_0": manifest}, {"fold_0": {}})

    assert "was segmented with an ensemble of nnU-Net models (both)" in text
    assert f"were averaged: {', '.join(MEMBER_NAMES)}." in text
    assert "by models that were not trained on it" in text
    assert "epochs" not in text
    assert "checkpoint" not in text
