"""What the pickle of a checkpoint would make of the memory, counted without making anything.

A few megabytes of a pickle can be gigabytes of empty lists, or one text that is encoded a thousand times. The pickle is
followed step by step, each with the bytes that it takes in the memory, rather too many than too few, until it has taken
too many. It knows the steps that torch's own reader of weights knows, and no others.
"""

import pickle
import pickletools
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from typing import Any, BinaryIO

KNOWN = frozenset(
    {
        "collections.OrderedDict",
        "torch._utils._rebuild_tensor",
        "torch._utils._rebuild_tensor_v2",
        "torch._utils._rebuild_tensor_v3",
        "torch._utils._rebuild_parameter",
        "torch.nn.parameter.Parameter",
        "torch.Size",
        "torch.device",
        "torch.serialization._get_layout",
        "torch.storage.TypedStorage",
        "torch.storage.UntypedStorage",
        "_codecs.encode",
        "builtins.complex",
        "builtins.set",
        "__builtin__.complex",
        "__builtin__.set",
        "numpy.dtype",
        "numpy.core.multiarray.scalar",
        "numpy._core.multiarray.scalar",
    }
)
"""What checkpoints of nnU-Net, or weights of a network, are made of; beside these storages and number types."""


class CheckpointTooLargeError(RuntimeError):
    """A checkpoint would take more of the memory than its size justifies, or is not laid out as torch does."""


def count_pickles(pickled: BinaryIO, n_pickles: int, most_bytes: int) -> None:
    """Passes where so many pickles, one behind the other, make no more than so many bytes together.

    Raises:
        CheckpointTooLargeError: They make more.
        pickle.UnpicklingError: They name what no checkpoint of weights needs.
        RuntimeError: They have steps that torch does not write.
        ValueError, IndexError: They are damaged.
    """
    machine = _Machine(most_bytes)
    for _ in range(n_pickles):
        for opcode, argument, _ in pickletools.genops(pickled):
            machine.step(opcode.name, argument)
        machine.stack.clear()


_MARK = object()
_LATIN = "latin1"


@dataclass(frozen=True)
class _Function:
    """What a GLOBAL names."""

    name: str


@dataclass(frozen=True)
class _Tuple:
    """A tuple, such as the arguments of a call.

    Attributes:
        n: Its length.
        longest: Characters of the longest text in it.
        starts_with_text: Whether the first value is a text.
        ends_in_latin: Whether the last one is the encoding by which a pickle of torch's makes bytes of a text; others
            can multiply it.
    """

    n: int
    longest: int
    starts_with_text: bool
    ends_in_latin: bool


_tuple = cache(_Tuple)
"""Makes one object of all that are alike: a pickle of millions of them fits into this machine's stack too."""


@dataclass
class _Machine:
    """A pickle machine that makes nothing. Its values: functions, tuples, a text's length, and 0 for any other.

    Attributes:
        most_bytes: What it may make.
        made_bytes: What it has made so far.
        n_steps: How many steps it has done; no container has more values than that.
    """

    most_bytes: int
    made_bytes: int = 0
    n_steps: int = 0
    stack: list[Any] = field(default_factory=list)
    memo: dict[int, Any] = field(default_factory=dict)

    def step(self, name: str, argument: Any) -> None:
        """Does one step of the pickle."""
        self.n_steps += 1
        if name in _VALUES:
            self.made_bytes += _VALUES[name] + (argument.bit_length() // 8 if name == "LONG1" else 0)
            self.stack.append(0)
        elif name in _STEPS:
            self.made_bytes += _STEPS[name](self, argument)
        elif name not in ("PROTO", "STOP"):
            raise RuntimeError(f"its pickle has the step {name}, which torch does not write")
        if self.made_bytes > self.most_bytes:
            raise CheckpointTooLargeError(
                f"what it holds beside the tensors takes more than {self.most_bytes / 1e6:.0f} MB of memory when it is "
                "loaded; a checkpoint of nnU-Net takes a tenth of that"
            )

    def put(self, place: int) -> int:
        self.memo[place] = self.stack[-1]
        return 100

    def get(self, place: int) -> int:
        if place not in self.memo:
            raise RuntimeError(f"its pickle asks for value {place}, which it has not made")
        self.stack.append(self.memo[place])
        return 24

    def mark(self, _: Any) -> int:
        self.stack.append(_MARK)
        return 80

    def name_function(self, words: str) -> int:
        self.stack.append(_Function(_known(words)))
        return 8

    def text(self, text: str) -> int:
        self.stack.append(_LATIN if text == _LATIN else len(text))
        return 70 + 4 * len(text)

    def tuple_of(self, n: int) -> int:
        values = [self.stack.pop() for _ in range(n)][::-1]
        return self._join(values)

    def tuple_from_mark(self, _: Any) -> int:
        return self._join(self._popped_to_mark())

    def call(self, _: Any) -> int:
        arguments, function = self.stack.pop(), self.stack.pop()
        self.stack.append(0)
        return self._bytes_of_call(function, arguments)

    def add(self, n: int) -> int:
        del self.stack[-n:]
        return 100

    def add_from_mark(self, _: Any) -> int:
        return 100 * len(self._popped_to_mark())

    def tensor_bytes(self, _: Any) -> int:
        self.stack[-1] = 0
        return 400

    def _join(self, values: list[Any]) -> int:
        texts = [value for value in values if isinstance(value, int)]
        texts += [value.longest for value in values if isinstance(value, _Tuple)]
        first, last = (values[0], values[-1]) if values else (0, 0)
        is_text = isinstance(first, int) and first > 0
        self.stack.append(_tuple(len(values), max(texts, default=0), is_text, last == _LATIN))
        return 50 + 8 * len(values)

    def _popped_to_mark(self) -> list[Any]:
        values = []
        while (value := self.stack.pop()) is not _MARK:
            values.append(value)
        return values[::-1]

    def _bytes_of_call(self, function: Any, arguments: Any) -> int:
        name = function.name if isinstance(function, _Function) else ""
        given = arguments if isinstance(arguments, _Tuple) else _Tuple(1, 0, False, False)
        if name == "_codecs.encode":
            if not given.ends_in_latin:
                raise CheckpointTooLargeError("it makes bytes in a way that torch does not")
            return 40 + given.longest
        if name.startswith(("torch._utils", "torch.nn")):
            return 700
        # Whatever copies a container could be asked to copy a large one again and again.
        copies = name in _CONTAINERS and given.n > 0 and not (name == "numpy.dtype" and given.starts_with_text)
        return 300 + (64 * self.n_steps if copies else 0)


_CONTAINERS = {"collections.OrderedDict", "torch.Size", "builtins.set", "__builtin__.set", "numpy.dtype"}

_VALUES = {
    **dict.fromkeys(("NONE", "NEWTRUE", "NEWFALSE", "BININT1"), 24),
    **dict.fromkeys(("BININT", "BININT2", "BINFLOAT", "LONG1"), 48),
    **{"EMPTY_LIST": 72, "EMPTY_DICT": 80, "EMPTY_SET": 232},
}
"""Steps that make one value: its bytes, and those of its place on a stack that grows."""

_STEPS: dict[str, Callable[[_Machine, Any], int]] = {
    **dict.fromkeys(("BINPUT", "LONG_BINPUT"), _Machine.put),
    **dict.fromkeys(("BINGET", "LONG_BINGET"), _Machine.get),
    "MARK": _Machine.mark,
    "GLOBAL": _Machine.name_function,
    **dict.fromkeys(("BINUNICODE", "SHORT_BINSTRING"), _Machine.text),
    "EMPTY_TUPLE": lambda machine, _: machine.tuple_of(0),
    "TUPLE": _Machine.tuple_from_mark,
    "TUPLE1": lambda machine, _: machine.tuple_of(1),
    "TUPLE2": lambda machine, _: machine.tuple_of(2),
    "TUPLE3": lambda machine, _: machine.tuple_of(3),
    **dict.fromkeys(("REDUCE", "NEWOBJ"), _Machine.call),
    **dict.fromkeys(("APPEND", "BUILD"), lambda machine, _: machine.add(1)),
    "SETITEM": lambda machine, _: machine.add(2),
    **dict.fromkeys(("APPENDS", "SETITEMS"), _Machine.add_from_mark),
    "BINPERSID": _Machine.tensor_bytes,
}


def _known(words: str) -> str:
    name = words.replace(" ", ".")
    module, _, last = name.rpartition(".")
    is_type = module == "torch" and (last.endswith("Storage") or last.islower())
    if not (name in KNOWN or is_type or (module == "numpy.dtypes" and last.endswith("DType"))):
        raise pickle.UnpicklingError(f"Unsupported global: GLOBAL {name} is not of a checkpoint's weights")
    return name
