"""The name of the processor."""

import platform
from pathlib import Path

import pytest

from nnunet_assets.processes.machine import processor
from nnunet_assets.processes.machine.processor import processor_name


def test_it_is_that_of_the_maker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "cpuinfo").write_text("processor\t: 0\nmodel name\t: Some CPU @ 2.0 GHz\nmodel name\t: Other\n")
    monkeypatch.setattr(processor, "CPU_INFO", tmp_path / "cpuinfo")
    assert processor_name() == "Some CPU @ 2.0 GHz"


@pytest.mark.parametrize("content", [None, "", "model name\t:\n"])
def test_where_nobody_says_it_is_the_architecture(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: str | None
) -> None:
    if content is not None:
        (tmp_path / "cpuinfo").write_text(content)
    monkeypatch.setattr(processor, "CPU_INFO", tmp_path / "cpuinfo")
    assert processor_name() == (platform.processor() or platform.machine())
