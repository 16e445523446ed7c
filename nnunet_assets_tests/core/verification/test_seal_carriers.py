"""Where each kind of file has its seal, and what survives a copy."""

import csv
import struct
import tracemalloc
import zlib

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from nnunet_assets.core.verification.seal_carriers import (
    NoCarrierError,
    opened_png,
    opened_text,
    picture_digest,
    sealed,
    sealed_parts,
    text_digest,
)
from nnunet_assets.core.verification.seals import Sealing

SEALING = Sealing("Dataset001_Tiny/nnUNetTrainer__nnUNetPlans__2d", "a" * 64, "0.2.0")
TEXTS = {
    "tex": "\\begin{table}\n  0.871 & 50\\% \\\\\n\\end{table}\n",
    "md": "| a |\n| --: |\n| 0.871 |\n\n- note\n",
    "html": '<!doctype html>\n<html>\n<head>\n<meta charset="utf-8">\n</head>\n<body>0.871</body></html>\n',
    "svg": '<?xml version="1.0"?>\n<svg><text>0.871</text>\n</svg>\n',
}


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(pixels: bytes = b"\0\1\2\3", *others: bytes, level: int = 6) -> bytes:
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 3, 1, 8, 0, 0, 0, 0))
    data = chunk(b"IDAT", zlib.compress(pixels, level))
    return b"\x89PNG\r\n\x1a\n" + header + b"".join(others) + data + chunk(b"IEND", b"")


@pytest.mark.parametrize("ending", TEXTS)
def test_a_text_is_the_same_without_its_seal(ending: str) -> None:
    text = TEXTS[ending]
    content = sealed(text.encode(), f"cv_table.{ending}", SEALING).decode()

    bare, (seal,) = opened_text(content, ending)

    assert content != text
    assert text_digest(bare) == text_digest(text) == seal.content
    assert (seal.export, seal.of, seal.source) == (f"cv_table.{ending}", SEALING.of, SEALING.source)


@pytest.mark.parametrize("ending", TEXTS)
def test_a_copy_with_other_line_ends_a_mark_and_blanks_says_the_same(ending: str) -> None:
    content = sealed(TEXTS[ending].encode(), f"x.{ending}", SEALING).decode()
    copied = "\ufeff" + content.replace("\n", " \r\n")

    bare, (seal,) = opened_text(copied, ending)

    assert text_digest(bare) == seal.content


@given(st.sampled_from(sorted(TEXTS)), st.data())
def test_any_other_digit_gives_another_digest(ending: str, data: st.DataObject) -> None:
    text = TEXTS[ending]
    places = [place for place, letter in enumerate(text) if letter.isdigit()]
    place = data.draw(st.sampled_from(places))
    digit = data.draw(st.sampled_from([one for one in "0123456789" if one != text[place]]))
    assert text_digest(text[:place] + digit + text[place + 1 :]) != text_digest(text)


def test_a_picture_is_its_pixels_whatever_else_is_in_the_file() -> None:
    content = sealed(png(), "mean_dice.png", SEALING)
    seal = opened_png(content)
    assert seal is not None
    assert seal.export == "mean_dice.png"
    assert seal.content == picture_digest(content) == picture_digest(png())
    assert picture_digest(png(b"\0\1\2\3", chunk(b"tEXt", b"Comment\0hello"), level=0)) == seal.content
    assert picture_digest(png(b"\0\1\2\4")) != seal.content
    assert opened_png(png()) is None


@example(kind="CgBI", data=b"x")  # its name sorts before those that count
@given(st.text("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz", min_size=4, max_size=4), st.binary(max_size=40))
def test_no_part_of_another_kind_counts(kind: str, data: bytes) -> None:
    assume(kind not in ("IHDR", "PLTE", "IDAT", "IEND"))
    assert picture_digest(png(b"\0\1\2\3", chunk(kind.encode(), data))) == picture_digest(png())


def test_the_seal_of_a_picture_is_a_whole_chunk_before_its_last() -> None:
    seal = SEALING.seal("x.png", picture_digest(png()))
    text = chunk(b"tEXt", f"nnunet_assets\0{seal.text()}".encode())
    assert sealed(png(), "x.png", SEALING) == png()[:-12] + text + png()[-12:]
    # What stands behind a picture is none of it.
    assert picture_digest(png() + b"more than twelve bytes") == picture_digest(png())


def test_the_colours_and_every_part_of_the_pixels_count() -> None:
    colours = [chunk(b"PLTE", bytes(3 * [number])) for number in range(2)]
    assert len({picture_digest(png(b"\0\1\2\3", *some)) for some in ([], colours[:1], colours[1:])}) == 3
    packed = zlib.compress(b"\0\1\2\3")
    whole, first, second = (chunk(b"IDAT", part) for part in (packed, packed[:5], packed[5:]))
    assert picture_digest(png().replace(whole, first + second)) == picture_digest(png())


def test_a_picture_that_unpacks_to_gigabytes_is_read_in_parts() -> None:
    bomb = png(bytes(16 << 20))
    tracemalloc.start()
    try:
        picture_digest(bomb)
        assert tracemalloc.get_traced_memory()[1] < 8 << 20
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("torn", [b"", b"GIF89a", png()[:-12], png()[:40], png()[:-19]])
def test_what_is_no_picture_says_so(torn: bytes) -> None:
    with pytest.raises(NoCarrierError):
        picture_digest(torn)


def test_pixels_that_do_not_unpack_are_an_error() -> None:
    with pytest.raises(NoCarrierError, match="cannot be unpacked"):
        picture_digest(png().replace(zlib.compress(b"\0\1\2\3", 6), b"x" * 12))


def test_a_file_of_another_kind_stays_as_it_is() -> None:
    assert sealed(b"PAR1", "cv_table.parquet", SEALING) == b"PAR1"
    assert sealed(b"no end", "cv_report.html", SEALING) == b"no end"


def test_a_csv_that_is_not_as_it_is_written_here_gets_no_seal() -> None:
    with pytest.raises(csv.Error):
        sealed(b'a,b\r\n"x"y,1\r\n', "cv_table.csv", SEALING)


def test_each_row_of_a_csv_names_its_source() -> None:
    content = sealed(b'a,b\r\n"x\r\ny",1\r\n', "cv_table.csv", SEALING)
    assert content.decode() == f'a,b,made_from\r\n"x\r\ny",1,sha256:{"a" * 64}\r\n'


def test_exports_in_a_text_are_told_apart() -> None:
    tables = [sealed(TEXTS["tex"].encode(), f"{name}.tex", SEALING).decode() for name in ("one", "two")]
    parts = sealed_parts(f"A paper.\n{tables[0]}Words.\n{tables[1]}More.\n", "tex")
    assert parts == [table.rstrip("\n") for table in tables]
    notes = [sealed(TEXTS["md"].encode(), f"{name}.md", SEALING).decode() for name in ("one", "two")]
    found = [opened_text(part, "md") for part in sealed_parts(notes[0] + notes[1], "md")]
    assert [(text_digest(text), seal.export) for text, (seal,) in found] == [
        (text_digest(TEXTS["md"]), "one.md"),
        (text_digest(TEXTS["md"]), "two.md"),
    ]
    assert sealed_parts("no seal", "tex") == sealed_parts("no seal", "md") == ["no seal"]
