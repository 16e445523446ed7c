from pathlib import Path
from typing import Any

import psutil
import pytest

from nnunet_assets.processes.machine.memory import free_memory_bytes, memory_bytes


@pytest.mark.parametrize(
    ("files", "free"),
    [
        ({}, None),
        ({"memory.max": "max", "memory.current": "5"}, None),
        ({"memory.max": "1000", "memory.current": "600"}, 400),
        ({"memory.max": "1000", "memory.current": "1600"}, 0),
        ({"memory/memory.limit_in_bytes": "1000", "memory/memory.usage_in_bytes": "100"}, 900),
        ({"memory/memory.limit_in_bytes": str(2**63 - 4096), "memory/memory.usage_in_bytes": "100"}, None),
    ],
)
def test_a_containers_limit_is_the_machines(tmp_path: Path, files: dict[str, Any], free: int | None) -> None:
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(f"{text}\n")
    found = free_memory_bytes(tmp_path)
    if free is None:
        assert found == pytest.approx(psutil.virtual_memory().available, rel=0.2)
    else:
        assert found == free
        assert memory_bytes(tmp_path) == 1000
