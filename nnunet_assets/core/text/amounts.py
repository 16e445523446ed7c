"""Times, sizes and counts as people read them: `3 min 57 s`, `1.7 GiB`, `1 epoch`. Files hold seconds and bytes."""

import math

_MINUTE, _HOUR, _DAY = 60, 3600, 86400
_PAIRS = ((_MINUTE, 1, "min", "s"), (_HOUR, _MINUTE, "h", "min"), (_DAY, _HOUR, "d", "h"))
_NEXT = {_MINUTE: _HOUR, _HOUR: _DAY}
_BYTE_UNITS = ("B", "KiB", "MiB", "GiB", "TiB")


def duration_text(seconds: float) -> str:
    """Returns a time in its two largest units: `0.4 s`, `57 s`, `3 min 57 s`, `2 h 5 min`, `1 d 3 h`."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    if (whole := round(seconds)) < _MINUTE:
        return f"{whole} s"
    for unit, smaller, name, smaller_name in _PAIRS:
        large, rest = divmod(round(seconds / smaller), unit // smaller)
        if large * unit < _NEXT.get(unit, math.inf):
            return f"{large} {name} {rest} {smaller_name}" if rest else f"{large} {name}"
    raise ValueError(f"{seconds} s is no time.")


def bytes_text(n_bytes: float) -> str:
    """Returns a size in the unit in which it is at least 1: `512 B`, `1.7 GiB`."""
    size = float(n_bytes)
    for unit in _BYTE_UNITS:
        if size < 1024 or unit == _BYTE_UNITS[-1]:
            break
        size /= 1024
    return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"


def count_text(n: int, noun: str) -> str:
    """Returns how many there are of something whose plural ends in s: `1 epoch`, `1,000 epochs`."""
    return f"{n:,} {noun}" if n == 1 else f"{n:,} {noun}s"
