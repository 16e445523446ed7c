"""Dataclasses as JSON and back, strictly as their types say: what crosses to another process, or stays on the disk.

pydantic reads and writes them: the declarations rest on it, and Dagster loads it in every process of a run, where
msgspec or cattrs would be one more dependency for the same.
"""

import reprlib
from collections.abc import Mapping
from functools import cache
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, TypeVar

from nnunet_assets.core.files.json_file import JsonError
from nnunet_assets.errors import first_offenders

if TYPE_CHECKING:
    from pydantic import TypeAdapter


class Dataclass(Protocol):
    """Any dataclass."""

    __dataclass_fields__: ClassVar[dict[str, Any]]


T = TypeVar("T", bound=Dataclass)


def dataclass_to_json(value: Dataclass) -> dict[str, Any]:
    """Returns a dataclass as JSON values by field; a path is a text, a tuple a list.

    Raises:
        PydanticSerializationError: A field holds what its type does not allow: a defect of the caller.
    """
    content: dict[str, Any] = _adapter(type(value)).dump_python(value, mode="json", warnings="error")
    return content


def dataclass_from_json(kind: type[T], content: bytes | str) -> T:
    """Returns the dataclass that `dataclass_to_json` made JSON of.

    Args:
        kind: The dataclass. Each of its fields without a default must be there, and none that it does not know; a
            number is not taken for a text, nor the other way round.
        content: The JSON.

    Raises:
        JsonError: It does not fit; the message names the first few fields.
    """
    from pydantic import ValidationError

    try:
        value: T = _adapter(kind).validate_json(content, strict=True, extra="forbid")
    except ValidationError as error:
        raise JsonError(first_offenders([_problem(one) for one in error.errors()])) from None
    return value


@cache
def _adapter(kind: type[T]) -> "TypeAdapter[T]":
    from pydantic import TypeAdapter  # 0.2 s, which a command without another process need not spend

    return TypeAdapter(kind)


def _problem(error: Mapping[str, Any]) -> str:
    place = ".".join(map(str, error["loc"]))
    match error["type"]:
        case "missing":
            return f"{place} is missing"
        case "unexpected_keyword_argument":
            return f"{place} is not known"
        case "json_invalid":
            return "it is no JSON"
        case _:
            return f"{place or 'it'} {error['msg'].removeprefix('Input ')}, and is {reprlib.repr(error['input'])}"
