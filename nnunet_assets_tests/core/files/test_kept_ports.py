"""Ports are those that were asked for, else those of the last time."""

import json
from pathlib import Path
from typing import Any

import pytest

from nnunet_assets.core.files.kept_ports import Ports, chosen_ports, keep_ports
from nnunet_assets.settings import Settings


def test_ports_stay_until_others_are_asked_for(tmp_path: Path) -> None:
    assert chosen_ports(tmp_path, None, None) == Ports(3000, 5000)
    keep_ports(tmp_path, chosen_ports(tmp_path, None, 5001))
    assert chosen_ports(tmp_path, None, None) == Ports(3000, 5001)
    assert chosen_ports(tmp_path, 3100, None) == Ports(3100, 5001)
    assert Settings.from_environment(tmp_path, {}).tracking_ui == "http://127.0.0.1:5001"
    assert chosen_ports(tmp_path, 1, 65535) == Ports(1, 65535)
    keep_ports(tmp_path, Ports(1, 65535))
    assert chosen_ports(tmp_path, None, None) == Ports(1, 65535)


@pytest.mark.parametrize("port", [0, -1, 65536, 70000, "5000", 5000.0, True, None, [5000]])
def test_what_is_no_port_is_passed_over(tmp_path: Path, port: Any) -> None:
    (tmp_path / ".dagster").mkdir()
    (tmp_path / ".dagster" / "ports.json").write_text(json.dumps({"dagster": 65535, "mlflow": port, "other": 1}))
    assert chosen_ports(tmp_path, None, None) == Ports(65535, 5000)
    (tmp_path / ".dagster" / "ports.json").write_text("[")
    assert chosen_ports(tmp_path, None, None) == Ports()
