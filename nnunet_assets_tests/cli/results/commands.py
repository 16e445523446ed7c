"""The commands for results as a test calls them."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from click.testing import CliRunner, Result

from nnunet_assets.cli.main import main
from nnunet_assets.settings import Settings
from nnunet_assets_tests.tracked_projects import DATASET


def run(settings: Settings, command: str, *arguments: str | Path) -> Result:
    return CliRunner().invoke(main, [command, "--project", str(settings.project), *map(str, arguments)])


def summarized(settings: Settings, *arguments: str | Path) -> dict[str, Any]:
    result = run(settings, "summarize", "-e", DATASET, "--json", *arguments)
    assert result.exit_code in (0, 2), result.output
    content = json.loads(result.stdout)
    assert isinstance(content, dict)
    return content


def first_interval(content: Mapping[str, Any]) -> tuple[str, Mapping[str, float]]:
    """Returns the first label of which there is an interval, and that of its pooled Dice."""
    intervals = {name: label["dice"]["pooled"]["interval"] for name, label in content["labels"].items()}
    return next((name, interval) for name, interval in intervals.items() if interval)
