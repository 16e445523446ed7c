"""What must not reach MLflow, Dagster, a log or a screen: credentials in texts, and the values of password-like keys.

A credential is known by its place (the user's part of a URL, an argument or an assignment whose name says so) or by its
form (keys of AWS and Google, tokens of GitHub, GitLab, Hugging Face, Slack and PyPI, JSON web tokens, private keys).
What has neither, nobody can tell from a word: it must not get there in the first place (see `child_environment`).
"""

import re
from collections.abc import Mapping
from typing import Any

MASK = "***"

_USER_PART = re.compile(r"(?<=://)[^/\s\"'<>]*@")
_WORDS = (
    r"pass(?:word|wd|phrase|code)?|pwd|secret(?:_?key)?|token|pat|api_?key|access_?key|account_?key|private_?key"
    r"|jwt|credentials?|signature|sharedaccess(?:key|signature)|connection_?string"
)
_SECRET_ARGUMENT = re.compile(
    rf"(?i)([?&;#](?:[\w.-]*(?:{_WORDS})|sig|sas|key|auth|code|x-amz-credential)=)[^&#\s\"'<>]+"
)
# A name alone in a sentence ("the token: see above") is followed by a space; an assignment's value by no more than one.
_SECRET_ASSIGNMENT = re.compile(
    rf"(?i)(?<![\w?&;#.-])((?:[\w.-]*[_.-])?(?:{_WORDS})[\"']?(?:=|:\s?)[\"']?)(?!\*\*\*)[^\s\"',;&]{{4,}}"
)
_AUTHORIZATION = re.compile(r"(?i)\b(bearer|authorization[\"']?[:=]\s*[\"']?(?:basic|token)?)\s+[\w.~+/=-]{8,}")
_PRIVATE_KEY = re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)", re.DOTALL)
_FORMS = re.compile(
    r"\b(?:(?:AKIA|ASIA)[0-9A-Z]{16}|AIza[\w-]{35}|gh[pousr]_\w{20,}|github_pat_\w{20,}|glpat-[\w-]{16,}"
    r"|hf_[A-Za-z0-9]{20,}|xox[abeprs]-[\w-]{10,}|pypi-[\w-]{20,}|sk-[\w-]{20,}"
    r"|eyJ[\w-]{8,}\.eyJ[\w-]{4,}\.[\w-]*)"
)
_SECRET_NAME = re.compile(rf"(?i)(?:^|[_\-./ ])(?:{_WORDS})$")


def redacted(text: str) -> str:
    """Returns the text with everything masked in it that looks like a credential.

    >>> redacted("https://me:hunter2@host/path?token=abc")
    'https://***@host/path?token=***'
    """
    text = _PRIVATE_KEY.sub(MASK, _USER_PART.sub(f"{MASK}@", text))
    text = _FORMS.sub(MASK, _SECRET_ARGUMENT.sub(rf"\1{MASK}", text))
    return _SECRET_ASSIGNMENT.sub(rf"\1{MASK}", _AUTHORIZATION.sub(rf"\1 {MASK}", text))


def is_secret_name(name: str) -> bool:
    """Tells whether a key's last word says that its value is secret: `db_password`, not `num_tokens`."""
    return _SECRET_NAME.search(name) is not None


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
