"""Small files that unpack to gigabytes, each in a form that torch, zipfile or a reader of JSON takes for its own."""

import io
import pickle
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

GIGABYTE = 1 << 30
HUGE = 3 * GIGABYTE
"""What most of them would take."""


def _stored(name: str, content: bytes) -> tuple[str, bytes, int, int]:
    return name, content, len(content), zipfile.ZIP_STORED


def _deflated(name: str, n_bytes: int, block: bytes = bytes(1 << 20)) -> tuple[str, bytes, int, int]:
    """Returns an entry of one block again and again, made in the time of one."""
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    packer.compress(block)  # fills the window, so that the next block is packed by what is in it
    packer.flush(zlib.Z_FULL_FLUSH)
    one = packer.compress(block) + packer.flush(zlib.Z_FULL_FLUSH)
    end = zlib.compressobj(9, zlib.DEFLATED, -15).flush()
    return name, one * (n_bytes // len(block)) + end, n_bytes, zipfile.ZIP_DEFLATED


def _archive(entries: list[tuple[str, bytes, int, int]], *, comment: bytes = b"") -> bytes:
    """Returns a zip archive of entries (name, content as it lies there, size that is claimed, method)."""
    body, directory = io.BytesIO(), io.BytesIO()
    for name, content, size, method in entries:
        offset, encoded = body.tell(), f"archive/{name}".encode()
        crc = zlib.crc32(content)  # of a compressed one it is wrong, and nobody gets so far as to look
        fixed = struct.pack("<HHHHHIIIHH", 20, 0, method, 0, 0, crc, len(content), size & 0xFFFFFFFF, len(encoded), 0)
        body.write(b"PK\x03\x04" + fixed + encoded + content)
        directory.write(b"PK\x01\x02" + struct.pack("<H", 20) + fixed + struct.pack("<HHHII", 0, 0, 0, 0, offset))
        directory.write(encoded)
    start, listed = body.tell(), directory.getvalue()
    end = struct.pack("<HHHHIIH", 0, 0, len(entries), len(entries), len(listed), start, len(comment))
    return body.getvalue() + listed + b"PK\x05\x06" + end + comment


def _pickle(body: bytes) -> bytes:
    return b"\x80\x02" + body + b"."


def _text(text: str) -> bytes:
    return b"X" + struct.pack("<I", len(text)) + text.encode()


def _call(function: str, arguments: bytes) -> bytes:
    module, _, name = function.rpartition(".")
    return f"c{module}\n{name}\n".encode() + arguments + b"R"


def _many(n: int, one: bytes) -> bytes:
    return _pickle(b"](" + one * n + b"e")


_TEXT = _text("x" * (1 << 20)) + b"q\x01"
_LIST = b"](" + b"K\x01" * 200_000 + b"eq\x01"


def _again(n: int, made: bytes, function: str, arguments: bytes) -> bytes:
    """Returns a pickle that makes one value, and then calls a function with it again and again."""
    module, _, name = function.rpartition(".")
    return _pickle(b"(" + made + f"c{module}\n{name}\n".encode() + b"q\x02" + (b"h\x02" + arguments + b"R") * n + b"t")


PICKLES: dict[str, Callable[[int], bytes]] = {
    "empty lists": lambda k: _many(40_000 * k, b"]"),
    "empty dictionaries": lambda k: _many(30_000 * k, b"}"),
    "empty sets": lambda k: _many(10_000 * k, b"\x8f"),
    "marks": lambda k: _pickle(b"(" * 40_000 * k),
    "tuples": lambda k: _many(20_000 * k, b"K\x01\x85"),
    "numbers": lambda k: _many(10_000 * k, b"J\x40\x42\x0f\x00"),
    "floats": lambda k: _many(7_000 * k, b"G\x3f\xb9\x99\x99\x99\x99\x99\x9a"),
    "texts": lambda k: _many(8_000 * k, _text("a")),
    "memo": lambda k: _pickle(b"N" + b"".join(b"r" + struct.pack("<I", place) for place in range(12_000 * k))),
    "encoded text": lambda k: _again(3 * k, _TEXT, "_codecs.encode", b"h\x01" + _text("latin1") + b"\x86"),
    "text as UTF-32": lambda k: _again(k, _TEXT, "_codecs.encode", b"h\x01" + _text("utf-32") + b"\x86"),
    "sets of a list": lambda k: _again(2 * k, _LIST, "__builtin__.set", b"h\x01\x85"),
    "types of a list": lambda k: _again(2 * k, _LIST, "numpy.dtype", b"h\x01\x85"),
    "bytearray": lambda _: _pickle(_call("__builtin__.bytearray", b"J" + struct.pack("<i", 2**31 - 1) + b"\x85")),
    "bytearrays": lambda _: _again(8, b"N", "builtins.bytearray", b"J" + struct.pack("<i", 400_000_000) + b"\x85"),
    "tensor by its size": lambda _: _pickle(_call("torch.Tensor", b"J" + struct.pack("<i", 2**30) + b"\x85")),
    "counter": lambda k: _again(2 * k, _LIST, "collections.Counter", b"h\x01\x85"),
    "sizes": lambda k: _again(2 * k, b"(" + b"K\x01" * 200_000 + b"tq\x01", "torch.Size", b"h\x01\x85"),
    "ordered dictionaries": lambda k: _again(
        2 * k, b"](" + b"K\x01K\x02\x86" * 100_000 + b"eq\x01", "collections.OrderedDict", b"h\x01\x85"
    ),
    "a long one": lambda k: _many(33_000 * k, b"K\x01"),
}
"""By what they make: a pickle of k thousandths of what would take gigabytes."""

ARCHIVES: dict[str, Callable[[], bytes]] = {
    "compressed pickle": lambda: _archive([_deflated("data.pkl", HUGE), _stored("version", b"3\n")]),
    "compressed pickle of lists": lambda: _archive([_deflated("data.pkl", GIGABYTE, b"]" * (1 << 20))]),
    "compressed tensor": lambda: _archive([_stored("data.pkl", _weights()), _deflated("data/0", HUGE)]),
    "compressed version": lambda: _archive([_stored("data.pkl", _weights()), _deflated("version", HUGE)]),
    "compressed byte order": lambda: _archive([_stored("data.pkl", _weights()), _deflated("byteorder", HUGE)]),
    "many entries": lambda: _archive([_stored(f"data/{i}", b"") for i in range(60_000)]),
    "two pickles": lambda: _archive([_stored("data.pkl", _weights()), _deflated("data.pkl", HUGE)]),
    "two pickles by case": lambda: _archive([_stored("data.pkl", _weights()), _deflated("DATA.PKL", HUGE)]),
    "a comment": lambda: _archive([_deflated("data.pkl", HUGE)], comment=b"archive"),
    "larger than it is": lambda: _archive([("data.pkl", _weights(), HUGE, zipfile.ZIP_STORED)]),
    "over each other": lambda: _overlapping(),  # noqa: PLW0108 (it is below)
}
"""By what is odd in them: an archive of a few megabytes."""


def _weights() -> bytes:
    return _pickle(b"}" + _text("network_weights") + b"}s")


def _overlapping() -> bytes:
    """Returns an archive whose list names one entry of 4 MB a thousand times."""
    whole = _archive([_stored("data.pkl", _weights()), _stored("data/0", bytes(4 << 20))])
    start = whole.index(b"PK\x01\x02")
    first_end = whole.index(b"PK\x01\x02", start + 4)
    end = whole.rindex(b"PK\x05\x06")
    entry = whole[first_end:end]
    entries = [entry[: 46 + len(b"archive/data/")] + b"%03d" % i for i in range(1000)]
    entries = [e[:28] + struct.pack("<H", len(b"archive/data/000")) + e[30:] for e in entries]
    listed = whole[start:first_end] + b"".join(entries)
    tail = struct.pack("<HHHHIIH", 0, 0, 1001, 1001, len(listed), start, 0)
    return whole[:start] + listed + b"PK\x05\x06" + tail


def write_bombs(folder: Path, thousandths: int = 1000) -> Iterator[tuple[str, Path]]:
    """Writes each of them, one at a time, and yields what it is and where it lies.

    Args:
        folder: Takes the file.
        thousandths: What part of gigabytes the pickles take.
    """
    for name, make in ARCHIVES.items():
        yield _written(folder, name, make())
    for name, make_pickle in PICKLES.items():
        body = make_pickle(thousandths)
        yield _written(folder, f"{name}, in an archive", _archive([_stored("data.pkl", body)]))
        yield _written(folder, f"{name}, in the old form", _legacy(body))
    yield _written(folder, "an old one of 5 GB", _legacy(_weights()), n_bytes=5 * GIGABYTE)


def _legacy(body: bytes) -> bytes:
    start = (0x1950A86A20F9469CFC6C, 1001, {"protocol_version": 1001, "little_endian": True, "type_sizes": {}})
    return b"".join(pickle.dumps(part, protocol=2) for part in start) + body + pickle.dumps([], protocol=2)


def _written(folder: Path, name: str, content: bytes, n_bytes: int = 0) -> tuple[str, Path]:
    file = folder / "checkpoint_final.pth"
    file.write_bytes(content)
    if n_bytes:
        with file.open("rb+") as opened:
            opened.truncate(n_bytes)  # a hole: it takes no room
    return name, file


def sparse_weights(torch: Any) -> Mapping[str, Any]:
    """Returns weights that torch's own reader takes, and makes more of than is stored."""
    place = torch.zeros(2, 1, dtype=torch.long)
    return {"w": torch.sparse_coo_tensor(place, torch.ones(1), (1 << 20, 1 << 20), check_invariants=True)}
