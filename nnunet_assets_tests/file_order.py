"""Which test files begin, and which end."""

FIRST = (
    "test_end_to_end.py",
    "test_fold_process.py",  # trains what the files after it borrow
    "test_servers.py",
    "test_case_preprocessing.py",
    "test_faults.py",
    "test_ensembling.py",
    "test_tracked_trainer.py",
    "test_ranks_training.py",
    "test_packages_in_nnunet.py",
    "test_current_folder.py",
    "test_definitions.py",
    "test_mlflow.py",
    "test_client.py",
    "test_results_stay.py",
    "test_intake_defects.py",
)
"""The slowest: side by side with the others, nobody waits for them at the end."""

LAST = ("test_any_input.py",)
"""Its audit hook stays in the process, and costs each test after it a twentieth."""


def turn_of(name: str) -> int:
    """Returns by what files are to be sorted, of a file's name; those of one turn stay as they are."""
    if name in LAST:
        return len(FIRST) + 1
    return FIRST.index(name) if name in FIRST else len(FIRST)
