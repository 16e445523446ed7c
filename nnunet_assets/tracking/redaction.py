"""What must not reach MLflow, a log, a screen or a child: passwords in URLs, and the values of password-like keys."""

import re
from collections.abc import Mapping
from typing import Any

MASK = "***"

_USER_PART = re.compile(r"(?<=://)[^/\s]*@")
_SECRET_WORD = r"pass(?:word|wd|phrase)?|secret|token|api_?key|access_?key|credentials?"  # noqa: S105 (names, no secret)
_SECRET_ARGUMENT = re.compile(rf"(?i)([?&;]\w*(?:{_SECRET_WORD})=)[^&\s]+")
_SECRET_NAME = re.compile(rf"(?i)(?:^|[_\-./ ])(?:{_SECRET_WORD})$")
_SECRET_VARIABLE = re.compile(rf"(?i)(?:{_SECRET_WORD}|key|connection_string)$")

NEEDED = "WANDB_API_KEY"
"""Read by nnU-Net's own optional logger."""


def redacted(text: str) -> str:
    """Returns the text with the user's part of every URL and password-like URL arguments masked.

    >>> redacted("https://me:hunter2@host/path?token=abc")
    'https://***@host/path?token=***'
    """
    return _SECRET_ARGUMENT.sub(rf"\1{MASK}", _USER_PART.sub(f"{MASK}@", text))


def is_secret_name(name: str) -> bool:
    """Tells whether a key's last word says that its value is secret: `db_password`, not `num_tokens`."""
    return _SECRET_NAME.search(name) is not None


def without_secrets(variables: Mapping[str, str]) -> dict[str, str]:
    """Returns the environment for a process that runs nnU-Net, and with it trainers of anybody's making.

    It needs none of the credentials for tracking, databases and clouds that its parent may have. Left out is what a
    variable's last word calls secret, and every URL with a user's part.
    """
    return {
        name: value
        for name, value in variables.items()
        if name == NEEDED or not (_SECRET_VARIABLE.search(name) or _USER_PART.search(value))
    }


def masked(value: Any) -> Any:
    """Returns a JSON value in which every text is redacted, and every text under a secret name is masked."""
    if isinstance(value, Mapping):
        return {
            key: MASK if isinstance(item, str) and is_secret_name(str(key)) else masked(item)
            for key, item in value.items()
        }
    if isinstance(value, list | tuple):
        return [masked(item) for item in value]
    return redacted(value) if isinstance(value, str) else value
