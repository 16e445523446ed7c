"""What may have happened to a file: cut, emptied, edited, encoded anew, replaced by something that is no file."""

import copy
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml
from hypothesis import strategies as st

ODD_VALUES: list[Any] = [
    None,
    True,
    0,
    -1,
    1.5,
    10**400,
    float("nan"),
    float("inf"),
    "",
    "x",
    "\ud800",
    "../../x",
    "a\0b",
    "ü\n",
    [],
    {},
    [[]],
    [None],
    {"": None},
]
TEXTS = [
    b"",
    b" ",
    b"[]",
    b"{}",
    b"null",
    b'"x"',
    b"1",
    b"NaN",
    b"9" * 5000,
    b"[" * 100_000,
    b'{"a":' * 50_000,
    b"{{}}",
    b"\xff\xfe\x00",
    b"\0" * 64,
    b"a: [1\n\tb: *x",
    b"&a [*a, *a]",
    b"<<<<<<< HEAD\n",
]
Damage = Callable[[Path], None]


def with_text(content: bytes) -> Damage:
    """Returns what puts other bytes into a file."""
    return lambda path: _rewritten(path, lambda _: content)


def _rewritten(path: Path, change: Callable[[bytes], bytes]) -> None:
    content = path.read_bytes()
    path.unlink()  # copies of a project share some files
    path.write_bytes(change(content))


def _cut(share: float) -> Damage:
    return lambda path: _rewritten(path, lambda content: content[: int(len(content) * share)])


def _flipped(share: float, bit: int) -> Damage:
    def change(content: bytes) -> bytes:
        changed = bytearray(content)
        if changed:
            changed[min(int(len(changed) * share), len(changed) - 1)] ^= 1 << bit
        return bytes(changed)

    return lambda path: _rewritten(path, change)


def _encoded(encoding: str) -> Damage:
    def change(content: bytes) -> bytes:
        return content.decode("utf-8", "replace").encode(encoding, "replace")

    return lambda path: _rewritten(path, change)


def _inserted(share: float, piece: bytes) -> Damage:
    def change(content: bytes) -> bytes:
        at = int(len(content) * share)
        return content[:at] + piece + content[at:]

    return lambda path: _rewritten(path, change)


def no_file(kind: str) -> Damage:
    """Returns what puts something else in a file's place."""

    def put(path: Path) -> None:
        path.unlink()
        match kind:
            case "nothing":
                return
            case "a folder":
                path.mkdir()
            case "a folder with a file":
                (path / "x").mkdir(parents=True)
            case "a link in a circle":
                path.symlink_to(path.name)
            case "a link to nowhere":
                path.symlink_to("nowhere")
            case "a named pipe":
                os.mkfifo(path)
            case "a device":
                path.symlink_to(os.devnull)
            case "a device without end":
                path.symlink_to("/dev/zero")
            case "no right to read":
                path.touch()
                path.chmod(0)

    return put


NO_FILES = [
    "nothing",
    "a folder",
    "a folder with a file",
    "a link in a circle",
    "a link to nowhere",
    "a named pipe",
    "a device",
    "a device without end",
    "no right to read",
]


@st.composite
def _edits(draw: st.DrawFn) -> Callable[[Any], Any]:
    """Draws a change at some depth of what JSON or YAML holds."""
    steps = draw(st.lists(st.integers(0, 50), max_size=8))
    kind = draw(st.sampled_from(["value", "value", "value", "removed", "renamed", "more"]))
    value = draw(st.sampled_from(ODD_VALUES))

    def edited(content: Any) -> Any:
        content = copy.deepcopy(content)
        place, keys = content, None
        for step in steps:
            children = list(place) if isinstance(place, dict) else range(len(place)) if isinstance(place, list) else ()
            if not children:
                break
            keys = (place, children[step % len(children)])
            place = place[keys[1]]
        if keys is None:
            return value
        parent, key = keys
        if kind == "removed":
            del parent[key]
        elif kind == "renamed" and isinstance(parent, dict):
            parent["renamed"] = parent.pop(key)
        elif kind == "more" and isinstance(parent, dict):
            parent["one more"] = value
        elif kind == "more":
            parent.append(value)
        else:
            parent[key] = value
        return content

    return edited


def _edited(edit: Callable[[Any], Any], line: int) -> Damage:
    """Returns an edit of JSON, of a line of JSON lines, or of a document of YAML; of anything else, of its bytes."""

    def change_of(path: Path) -> Callable[[bytes], bytes]:
        def change(content: bytes) -> bytes:
            try:
                if path.suffix == ".yaml":
                    documents = list(yaml.safe_load_all(content))
                    documents[line % len(documents)] = edit(documents[line % len(documents)])
                    return yaml.dump_all(documents, sort_keys=False).encode("utf-8", "surrogatepass")
                if path.suffix == ".jsonl":
                    lines = content.splitlines()
                    lines[line % len(lines)] = _json(edit(json.loads(lines[line % len(lines)])))
                    return b"\n".join(lines) + b"\n"
                return _json(edit(json.loads(content)))
            except (ValueError, ZeroDivisionError, yaml.YAMLError):
                return content[::-1]

        return change

    return lambda path: _rewritten(path, change_of(path))


def edited(key: str, value: Any) -> Damage:
    """Returns what gives a key of a JSON object another value."""
    return lambda path: _rewritten(path, lambda content: _json({**json.loads(content), key: value}))


def _json(value: Any) -> bytes:
    return json.dumps(value).encode()


def _twice(path: Path) -> None:
    """Gives the file's first key twice."""
    _rewritten(path, lambda content: content.replace(b"{", b'{"a": 1, "a": 2, ', 1))


SHARES = st.floats(0, 1, exclude_max=True)


def damages() -> st.SearchStrategy[tuple[str, Damage]]:
    """Draws what happened to a file, with words for it."""
    return st.one_of(
        st.tuples(st.just("edited"), st.builds(_edited, _edits(), st.integers(0, 20))),
        st.tuples(st.just("edited"), st.builds(_edited, _edits(), st.integers(0, 20))),
        st.sampled_from(TEXTS).map(lambda text: (f"{text[:20]!r}", with_text(text))),
        st.sampled_from(NO_FILES).map(lambda kind: (kind, no_file(kind))),
        SHARES.map(lambda share: (f"cut at {share:.2f}", _cut(share))),
        st.sampled_from(["utf-16", "utf-8-sig", "latin-1", "utf-32"]).map(lambda name: (name, _encoded(name))),
        st.tuples(st.just("a bit flipped"), st.builds(_flipped, SHARES, st.integers(0, 7))),
        st.builds(
            lambda share, piece: (f"{piece!r} inserted", _inserted(share, piece)),
            SHARES,
            st.sampled_from(
                [b"\xff", b"\0", b"\t", b"\n", b"\r", b"ue\xfc", b"\xe2\x80\xa8", b'"', b"}", b",", b"1e999"]
            ),
        ),
        st.just(("a key twice", _twice)),
    )
