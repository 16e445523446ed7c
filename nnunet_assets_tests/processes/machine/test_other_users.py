from collections.abc import Iterator
from types import SimpleNamespace

import psutil
import pytest

from nnunet_assets.processes.machine.other_users import other_users
from nnunet_assets.processes.user_name import user_name


class Process:
    def __init__(self, uid: int | None) -> None:
        self.uid = uid

    def uids(self) -> SimpleNamespace:
        if self.uid is None:
            raise psutil.NoSuchProcess(1)
        return SimpleNamespace(real=self.uid)


def test_sessions_and_processes_of_other_people_count_and_services_do_not(monkeypatch: pytest.MonkeyPatch) -> None:
    def processes() -> Iterator[Process]:
        # Somebody, a service, nobody, one that ended, and a number without a name.
        yield from map(Process, [4001, 33, 65534, None, 4002])

    names = {4001: "mara"}
    monkeypatch.setattr(psutil, "users", lambda: [SimpleNamespace(name="jan"), SimpleNamespace(name=user_name())])
    monkeypatch.setattr(psutil, "process_iter", processes)
    own = user_name()
    monkeypatch.setattr(
        "nnunet_assets.processes.machine.other_users.pwd.getpwuid",
        lambda uid: SimpleNamespace(pw_name=names[uid] if uid >= 1000 else own),
    )
    assert other_users() == ["jan", "mara"]


def test_the_machine_of_this_test_can_be_asked() -> None:
    assert user_name() not in other_users()
