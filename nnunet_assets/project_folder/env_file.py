"""The `.env` of a project, written: values that Dagster reads back as they were, for the eyes of its owner alone."""

from collections.abc import Mapping
from pathlib import Path

from dotenv import dotenv_values

from nnunet_assets.core.files.atomic_files import write_atomically
from nnunet_assets.errors import ConfigError
from nnunet_assets.settings import ENV_FILE


def dotenv_quoted(value: Path | str) -> str:
    """Returns a value as it stands in the file."""
    escaped = str(value).replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"


def add_to_env_file(project: Path, values: Mapping[str, str], remark: str) -> None:
    """Adds what the file does not set yet; what stands there stays.

    Raises:
        ConfigError: It sets one of them to something else.
    """
    file = project / ENV_FILE
    before = file.read_text(encoding="utf-8") if file.exists() else ""
    there = dotenv_values(file) if file.exists() else {}
    if wrong := [name for name, value in values.items() if there.get(name) not in (None, "", value)]:
        raise ConfigError(f"{file} sets {', '.join(wrong)} already, and otherwise. Remove that there, and try again.")
    added = [f"{name}={dotenv_quoted(value)}" for name, value in values.items() if there.get(name) != value]
    content = "\n".join([before.rstrip("\n"), "", remark, *added, ""]) if added else before
    write_atomically(file, content.encode(), is_private=True)
