"""Plans with batch and patch size of one's own, beside the dataset's plans that they are derived from.

On disk: `nnUNet_preprocessed/DATASET/PLANS_bs8_ps64x64.json`, a file of nnU-Net's form, and what it was derived from
among the stamps of plans. It follows from the plans and its own name alone, so that it is written again where they
changed; one that somebody edited is not.
"""

from contextlib import suppress

from nnunet_assets.core.dataset.plan_sizes import DERIVED_FROM, PlanSizes
from nnunet_assets.core.files.atomic_files import write_atomically
from nnunet_assets.core.files.json_file import dump_json
from nnunet_assets.errors import DamagedFileError, PlanningError
from nnunet_assets.nnunet.plans.plans import Plans
from nnunet_assets.nnunet.prepared.plans_stamps import plans_stamp, stamp_plans
from nnunet_assets.nnunet.prepared.prepared_folder import PreparedFolder


def derived_plans(source: Plans, sizes: PlanSizes, configuration: str) -> Plans:
    """Returns plans with the sizes as they would be, wherever they are written; those themselves without any.

    Args:
        source: The dataset's plans, which may not be there yet.
        sizes: What is changed.
        configuration: The one that is wanted.

    Raises:
        PlanningError: That cannot have the sizes.
    """
    if not sizes or source.content is None:
        return source
    plan = source.configurations.get(configuration)
    if plan is not None and (problem := sizes.problem_with(configuration, plan)):
        raise PlanningError(f"{problem} (By {source.file}.)")
    file = source.file.with_name(f"{sizes.plans_name(source.name)}.json")
    return Plans(file, sizes.derived(source.content, source.file))


def write_derived(prepared: PreparedFolder, derived: Plans) -> None:
    """Brings derived plans to the disk, where they are not there as they are.

    Raises:
        PlanningError: Somebody edited the file that is there.
        DamagedFileError: It is damaged.
    """
    there = prepared.plans(derived.name)
    if derived.content is None or there.digest == derived.digest:
        return
    stamp = plans_stamp(prepared, derived.name) or {}
    if there.content is not None and there.digest not in (stamp.get("plans_hash"), stamp.get("before")):
        raise PlanningError(
            f"{there.file} was made or edited outside this project. Plans of this name are derived from "
            f"{derived.content[DERIVED_FROM]}: delete the file to have it made anew; or rename it (its plans_name "
            "too), and declare that name as `plans`, without batch_size and patch_size."
        )
    # Both digests, since a kill may come between the two files.
    made_from = {DERIVED_FROM: derived.content[DERIVED_FROM], "before": there.digest}
    stamp_plans(prepared, derived.name, made_from, derived.digest)
    # nnU-Net writes NaN into the plans of a dataset without foreground.
    write_atomically(derived.file, dump_json(derived.content, allow_nan=True))


def derive_again(prepared: PreparedFolder, plans: str) -> None:
    """Brings all that was derived from plans to what they are now; what somebody edited stays."""
    source = prepared.plans(plans)
    for there in list(prepared.plans_on_disk()):
        if (there.content or {}).get(DERIVED_FROM) == plans and (sizes := PlanSizes.named(there.name, plans)):
            with suppress(PlanningError, DamagedFileError):
                write_derived(prepared, Plans(there.file, sizes.derived(source.content or {}, source.file)))
