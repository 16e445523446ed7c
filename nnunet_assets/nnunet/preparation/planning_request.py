"""What is asked of the process that plans and preprocesses."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class PlanningRequest:
    """Plans where they are to be made, and the cases of each wanted configuration.

    Attributes:
        dataset: `DatasetXXX_Name`.
        plans: Plans identifier.
        planner: nnU-Net's class that makes the plans, anew where there are some; None: they stay as they are.
        configurations: Those that experiments want.
        trainers: Those that experiments want; an unknown one is an error before any long work.
        verified: What nnU-Net's integrity check is of: digest of the raw data, version of nnU-Net.
        verify_integrity: Run that check first.
        n_processes: How many cases are preprocessed at once.
        n_processes_is_set: The user set that number; else less memory makes it less.
        n_halvings: How often it is halved for lack of memory.
    """

    dataset: str
    plans: str
    planner: str | None
    configurations: tuple[str, ...]
    trainers: tuple[str, ...]
    verified: Mapping[str, str]
    verify_integrity: bool
    n_processes: int
    n_processes_is_set: bool
    n_halvings: int = 0

    @property
    def made_from(self) -> dict[str, str | None]:
        """What the plans are made from, as it is noted beside them."""
        return {**self.verified, "planner": self.planner}
