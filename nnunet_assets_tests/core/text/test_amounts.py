import pytest

from nnunet_assets.core.text.amounts import bytes_text, count_text, duration_text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0.0 s"),
        (0.41, "0.4 s"),
        (9.94, "9.9 s"),
        (10, "10 s"),
        (59.4, "59 s"),
        (59.6, "1 min"),
        (60, "1 min"),
        (237, "3 min 57 s"),
        (3599.7, "1 h"),
        (61, "1 min 1 s"),
        (3540, "59 min"),
        (3661, "1 h 1 min"),
        (7500, "2 h 5 min"),
        (86400, "1 d"),
        (90000, "1 d 1 h"),
        (86000, "23 h 53 min"),
        (86399, "1 d"),
        (97200, "1 d 3 h"),
        (259200, "3 d"),
    ],
)
def test_a_time_has_its_two_largest_units(seconds: float, text: str) -> None:
    assert duration_text(seconds) == text


@pytest.mark.parametrize(
    ("n_bytes", "text"),
    [
        (0, "0 B"),
        (1, "1 B"),
        (512, "512 B"),
        (1023, "1023 B"),
        (1024, "1.0 KiB"),
        (1024**2 - 1, "1024.0 KiB"),
        (1024**2, "1.0 MiB"),
        (1536, "1.5 KiB"),
        (1825361100, "1.7 GiB"),
        (3 * 2**40, "3.0 TiB"),
        (5000 * 2**40, "5000.0 TiB"),
    ],
)
def test_a_size_has_the_unit_in_which_it_is_at_least_one(n_bytes: float, text: str) -> None:
    assert bytes_text(n_bytes) == text


@pytest.mark.parametrize(("n", "text"), [(0, "0 epochs"), (1, "1 epoch"), (2, "2 epochs"), (12000, "12,000 epochs")])
def test_one_is_no_plural(n: int, text: str) -> None:
    assert count_text(n, "epoch") == text
