"""Which process gets which file next."""

from collections import OrderedDict
from typing import Any

from nnunet_assets_tests.file_scheduling import AlikeTogether

NNUNET = ("nnunet/training/test_fold_process.py", "trainers/test_nnunet_trainer_tunable.py")
SERVER = ("tracking/fold/test_faults.py",)
OTHER = ("test_end_to_end.py", "nnunet/images/test_image_reader.py", "core/splits/test_splits.py")


class Process:
    """Remembers the files that it was sent."""

    def __init__(self) -> None:
        self.files: list[int] = []

    def send_runtest_some(self, tests: list[int]) -> None:
        self.files += tests


def dealing(*files: str, n_processes: int) -> tuple[AlikeTogether, list[Any], list[str]]:
    """Returns what deals these files, of one test each, to so many processes, and the tests."""
    tests = [f"nnunet_assets_tests/{file}::test" for file in files]
    scheduling = object.__new__(AlikeTogether)
    scheduling.workqueue = OrderedDict((test.partition("::")[0], {test: False}) for test in tests)
    processes = [Process() for _ in range(n_processes)]
    scheduling.assigned_work = {process: {} for process in processes}
    scheduling.registered_collections = dict.fromkeys(processes, tests)
    return scheduling, processes, list(files)


def dealt(processes: list[Any], files: list[str]) -> list[list[str]]:
    return [[files[number] for number in process.files] for process in processes]


def test_each_process_begins_with_its_kind_and_goes_on_with_files_of_none() -> None:
    scheduling, processes, files = dealing(*OTHER, *NNUNET, *SERVER, n_processes=3)
    for process in processes * 2:
        scheduling._assign_work_unit(process)
    assert dealt(processes, files) == [list(NNUNET), [*SERVER, OTHER[1]], [OTHER[0], OTHER[2]]]


def test_nobody_waits_while_files_of_another_kind_are_left() -> None:
    scheduling, processes, files = dealing(*NNUNET, n_processes=3)
    for process in (processes[2], processes[0]):
        scheduling._assign_work_unit(process)
    assert dealt(processes, files) == [[NNUNET[1]], [], [NNUNET[0]]]
    assert not scheduling.workqueue


def test_one_process_gets_every_file() -> None:
    scheduling, processes, files = dealing(*OTHER, *NNUNET, *SERVER, n_processes=1)
    for _ in files:
        scheduling._assign_work_unit(processes[0])
    assert sorted(dealt(processes, files)[0]) == sorted(files)
