"""What stands for case ids, paths and host names where they would leave this machine.

A pseudonym is a keyed hash: the same thing has the same one in every run of a project, and nobody without the project's
key can tell what it stands for, nor find it by trying. The key lies beside MLflow's artifacts in the project's data
folder, made at first use; whoever deletes it breaks the link to the pseudonyms that were sent before.
"""

import hmac
import os
import re
import secrets
import uuid
from collections.abc import Mapping
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from typing import Any

from nnunet_assets.core.files.json_file import load_json
from nnunet_assets.core.files.kernel_lock import kernel_lock
from nnunet_assets.core.files.regular_file import read_regular
from nnunet_assets.core.splits.splits import SPLITS_FILE

SALT_FILE = "pseudonym_salt"

# On any system, in a sentence or alone; a URL's path is none, unless the URL names no host (file:///data).
_PATH = re.compile(
    r"""^[~/\\].*/.*$ | (?<=://)/[^\s'",;]+ | (?<![\w.:/~)-])~?(?:/[^\s/'",;:)\]}]+)+/? """
    r"""| (?<!\w)[A-Za-z]:\\[^'",;]+ | \\\\[^\s'",;]+""",
    re.VERBOSE,
)


class Pseudonyms:
    """Replaces what must not leave; reads key and cases at first use.

    Args:
        artifacts: The project's folder of MLflow artifacts.
        preprocessed_dataset: nnU-Net's preprocessed folder of the dataset; without splits in it no case is known.
    """

    def __init__(self, artifacts: Path, preprocessed_dataset: Path | None) -> None:
        self._salt_file = artifacts.parent / SALT_FILE
        self._splits = preprocessed_dataset / SPLITS_FILE if preprocessed_dataset else None

    def of(self, kind: str, text: str) -> str:
        """Returns what stands for a text: `case-1f0c6a27b9de`."""
        return f"{kind}-{hmac.new(self._salt, text.encode(), 'sha256').hexdigest()[:12]}"

    def hidden(self, value: Any) -> Any:
        """Returns a JSON value in which no text and no key holds a path or a case id."""
        if isinstance(value, Mapping):
            return {self._hidden_text(str(key)): self.hidden(item) for key, item in value.items()}
        if isinstance(value, list | tuple):
            return [self.hidden(item) for item in value]
        return self._hidden_text(value) if isinstance(value, str) else value

    def _hidden_text(self, text: str) -> str:
        without_paths = _PATH.sub(lambda match: self.of("path", match[0]), text)
        return self._cases.sub(lambda match: self.of("case", match[0]), without_paths) if self._cases else without_paths

    @cached_property
    def _salt(self) -> bytes:
        with suppress(FileNotFoundError):
            return read_regular(self._salt_file)
        # Five folds may begin at once: the first link wins, and the file is never seen half written.
        fresh = self._salt_file.with_name(f".{SALT_FILE}.{uuid.uuid4().hex}")
        fresh.parent.mkdir(parents=True, exist_ok=True)
        fresh.touch(mode=0o600)
        try:
            fresh.write_bytes(secrets.token_bytes(32))
            with suppress(FileExistsError):
                _name_once(fresh, self._salt_file)
        finally:
            fresh.unlink(missing_ok=True)
        return read_regular(self._salt_file)

    @cached_property
    def _cases(self) -> re.Pattern[str] | None:
        """Finds case ids as they stand in texts and file names, but not the 2 of a version 2.8."""
        if self._splits is None or not self._splits.is_file():
            return None
        splits = load_json(self._splits)
        ids = {str(case) for split in splits for part in split.values() for case in part}
        longest_first = "|".join(re.escape(case) for case in sorted(ids, key=len, reverse=True))
        return re.compile(rf"(?<![A-Za-z0-9.])(?:{longest_first})(?![A-Za-z0-9]|[.-]\d)") if ids else None


def _name_once(fresh: Path, file: Path) -> None:
    """Gives a whole file its name, unless it is taken.

    Raises:
        FileExistsError: It is.
    """
    try:
        os.link(fresh, file)
    except FileExistsError:
        raise
    except OSError:  # a file system without hard links, as some network drives are
        with kernel_lock(f"{file}.lock"):
            if file.exists():
                raise FileExistsError(file) from None
            fresh.rename(file)
