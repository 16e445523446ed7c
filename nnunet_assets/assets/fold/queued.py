"""Whether a run trains what it was queued for: a run reads the YAML when it starts, which may be days later."""

from collections.abc import Mapping

import dagster as dg

TRAINING_HASH_TAG = "nnunet_assets/training_hash"


def queued_as(training_hash: str) -> Mapping[str, str]:
    """Returns the tags of a fold's step, by which `change_since_queued` knows what its run was queued for."""
    return {TRAINING_HASH_TAG: training_hash}


def change_since_queued(
    instance: dg.DagsterInstance, run: dg.DagsterRun, step: str, training_hash: str
) -> dict[str, dg.MetadataValue]:
    """Returns metadata that says so where the declaration changed between queueing and start; else nothing.

    Dagster keeps the job as it was when the run was made, the tags of its steps with it.

    Args:
        step: Name of the fold's step.
        training_hash: Digest of the declaration that the fold trains with.
    """
    if run.job_snapshot_id is None:
        return {}
    steps = instance.get_job_snapshot(run.job_snapshot_id).node_defs_snapshot.op_def_snaps
    queued = next((found.tags.get(TRAINING_HASH_TAG) for found in steps if found.name == step), None)
    if queued in (None, training_hash):
        return {}
    sentence = (
        f"The declaration was edited after this run was queued (training settings {queued[:16]}, now "
        f"{training_hash[:16]}). The fold trains with the declaration as it is now."
    )
    return {"changed_since_queued": dg.MetadataValue.text(sentence)}
