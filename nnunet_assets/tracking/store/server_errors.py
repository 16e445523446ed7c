"""What went wrong at the other end, in words that a person can act on.

MLflow raises one class for nearly everything and keeps the HTTP status only in its text. Here that becomes a cause,
which decides whether to try again, and a full sentence.
"""

import re
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Literal

from nnunet_assets.core.text.postgres_url import read_postgres_url
from nnunet_assets.core.text.redaction import redacted
from nnunet_assets.errors import ConfigError, NnunetAssetsError, TrackingError
from nnunet_assets.project_folder.postgres_server import unusable

Cause = Literal["unreachable", "unauthorized", "foreign", "unusable", "gone", "refused"]
"""`unreachable`: no answer, or an error of the server's own; later it may work. `unauthorized`: it asks for other
credentials. `foreign`: what answers is not MLflow. `unusable`: the tracking URI, or what lies there, has to be changed.
`gone`: the run or experiment was deleted. `refused`: this request will never be taken."""

DATABASE_SCHEMES = ("sqlite", "postgresql", "mysql", "mssql")


@dataclass(frozen=True)
class Failure:
    """Why a call to MLflow failed.

    Attributes:
        cause: See `Cause`.
        sentence: What, where and what to do; holds no password.
    """

    cause: Cause
    sentence: str


def scheme(tracking_uri: str) -> str:
    """Returns `https`, `sqlite`, ... in lower case and without a driver; empty for a plain path."""
    return tracking_uri.partition(":")[0].partition("+")[0].lower() if "://" in tracking_uri else ""


def explain(error: Exception, tracking_uri: str) -> Failure:
    """Returns the cause of an exception that a call to MLflow raised, with a sentence about it."""
    if isinstance(error, TrackingError):
        return Failure(_origin_cause(error.__cause__, tracking_uri), str(error))
    if type(error).__module__ == "builtins":
        # This machine's own: what the network raises comes wrapped by MLflow or requests.
        place = f"cannot use {error.filename}" if isinstance(error, OSError) and error.filename else "failed here"
        return Failure("unreachable", f"Tracking {place} ({type(error).__name__}): {one_line(str(error))}.")
    cause = _cause(error)
    if cause == "unreachable":
        return Failure(cause, _no_answer(error, tracking_uri))
    uri = redacted(tracking_uri)
    return Failure(cause, _SENTENCES[cause].format(place=f"MLflow at {uri}", uri=uri, text=one_line(str(error))))


@contextmanager
def explained(tracking_uri: str, loss: str = "") -> Iterator[None]:
    """Makes a sentence of whatever MLflow raises; this package's own errors are let through.

    Args:
        tracking_uri: Whose answers these are.
        loss: The sentence before, on what is not there for it.

    Raises:
        TrackingError: MLflow does not answer or refuses something.
    """
    try:
        yield
    except NnunetAssetsError:
        raise
    except Exception as error:
        raise TrackingError(f"{loss} {explain(error, tracking_uri).sentence}".lstrip()) from error


def _no_answer(error: Exception, tracking_uri: str) -> str:
    place, text = f"MLflow at {redacted(tracking_uri)}", one_line(str(error))
    if scheme(tracking_uri) == "postgresql":
        # The innermost error is the server's own word, without the statement that it was the answer to.
        with suppress(ConfigError):
            url = read_postgres_url(tracking_uri, "MLFLOW_TRACKING_URI")
            return unusable(str(list(_chain(error))[-1]), url, "MLFLOW_TRACKING_URI")
    if scheme(tracking_uri) in DATABASE_SCHEMES:
        return f"{place} cannot be used: {text}."
    if _http_status(error) is not None or "RetryError" in (type(link).__name__ for link in _chain(error)):
        return f"{place} answers with an error of its own, on which its log says more: {text}."
    # The innermost error says it in two words, before which MLflow's own text repeats the address three times.
    innermost = list(_chain(error))[-1]
    reason = (innermost.strerror or str(innermost)) if isinstance(innermost, OSError) else text
    return unreachable(tracking_uri, one_line(reason))


def unreachable(tracking_uri: str, reason: str) -> str:
    """Returns the sentence about a server that does not answer."""
    return (
        f"MLflow at {redacted(tracking_uri)} is not reachable: {reason}. Start it, or set MLFLOW_TRACKING_URI to one "
        f"that runs."
    )


_SENTENCES: dict[Cause, str] = {
    "unauthorized": "{place} does not let us in (unauthorized): {text}. Set MLFLOW_TRACKING_USERNAME and "
    "MLFLOW_TRACKING_PASSWORD, or MLFLOW_TRACKING_TOKEN.",
    "foreign": "What answers at {uri} is not MLflow: {text}. Check the address, and whether a login page or a proxy "
    "answers in its place.",
    "gone": "{place} no longer has what we write to: {text}.",
    "refused": "{place} refuses what it is sent: {text}.",
}


_TRANSIENT = ("OperationalError", "InterfaceError", "DisconnectionError", "PendingRollbackError")
"""What SQLAlchemy and psycopg2 raise of a connection that broke, of which MLflow calls some a wrong request."""


def _origin_cause(origin: BaseException | None, tracking_uri: str) -> Cause:
    """Returns why we raised an error of our own: for what MLflow said, or for something that a person must change."""
    if not isinstance(origin, Exception) or isinstance(origin, sqlite3.Error | ModuleNotFoundError):
        return "unusable"
    return explain(origin, tracking_uri).cause


def _cause(error: Exception) -> Cause:
    status = _http_status(error)
    gateway = _gateway_answer(error)
    if status in (401, 403) or re.search("(?i)auth|forbidden|credential|token", gateway):
        return "unauthorized"
    if gateway or _is_no_api(error, status):
        return "foreign"
    if _error_code(error) == "RESOURCE_DOES_NOT_EXIST" or "Current state is deleted" in str(error):
        return "gone"
    if any(type(link).__name__ in _TRANSIENT for link in _chain(error)):
        return "unreachable"
    is_final = status is not None and 400 <= status < 500 and status not in (408, 429)
    return "refused" if is_final else "unreachable"


def one_line(text: str) -> str:
    """Returns the text in one line without passwords, at most 300 characters of it, without its final full stop."""
    line = redacted(" ".join(text.split()))
    return (line if len(line) <= 300 else f"{line[:300]} ...").rstrip(".")


def _chain(error: BaseException) -> Iterator[BaseException]:
    link: BaseException | None = error
    while link is not None:
        yield link
        link = link.__cause__ or link.__context__


def _error_code(error: Exception) -> str:
    return str(getattr(error, "error_code", ""))


def _http_status(error: Exception) -> int | None:
    """Returns the status of the answer; None where there was none, or where it is not known.

    Three places hold it: the response of an artifact upload, MLflow's text for an answer without JSON, and MLflow's
    own error code, which says INTERNAL_ERROR for everything that it does not know.
    """
    response = getattr(error, "response", None)
    if response is not None:
        return int(response.status_code)
    written = re.search(r"failed with error code (\d{3}) !=", str(error))
    if written:
        return int(written[1])
    if _error_code(error) in ("", "INTERNAL_ERROR"):
        return None
    return int(error.get_http_status_code()) if hasattr(error, "get_http_status_code") else None


def _gateway_answer(error: Exception) -> str:
    """Returns a JSON answer that is not MLflow's, of which the status is lost; else an empty text.

    MLflow's own errors name a code; `{"message": "Forbidden"}` of a gateway before it does not.
    """
    answer = getattr(error, "json", None)
    return str(answer) if isinstance(answer, dict) and "error_code" not in answer else ""


def _is_no_api(error: Exception, status: int | None) -> bool:
    not_found = status == 404 and "failed with error code" in str(error)
    return not_found or "was not in a valid JSON format" in str(error)
