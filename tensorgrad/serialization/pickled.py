"""Reading a pickle without unpickling it: a machine for the opcodes that build plain data, and nothing else.

A pickle is a program. Python's own machine imports any function that the program names and calls it, so that opening a file can do
anything. This one imports nothing: a name stands for what the caller's table has under it, or ends the reading with the name in
the message. Opcodes are told apart by the standard library's `pickletools`, which only parses.
The opcodes: https://github.com/python/cpython/blob/main/Lib/pickletools.py.
"""
from __future__ import annotations

import pickletools
from collections.abc import Callable, Mapping
from typing import Any

LARGEST = 100_000_000  # elements of containers, each counted as often as it is reached: a few bytes can describe 2^60 of them
_MARK = object()


class Function:
    """What a name of the table may stand for besides a value: something the program may call."""

    def __init__(self, call: Callable[..., Any]):
        self.call = call


def read(program: bytes, names: Mapping[str, Any], persistent: Callable[[Any], Any], leaves: tuple[type, ...] = ()) -> Any:
    """The object that `program` builds: plain containers and scalars, and what `names` and `persistent` (for references to what
    lies outside the pickle) give, if it is of a class in `leaves`. ValueError for everything else, naming it."""
    machine = _Machine(names, persistent)
    try:
        result = machine.run(program)
    except (IndexError, KeyError, TypeError, AttributeError, OverflowError, RecursionError) as e:
        raise ValueError(f"its pickle is malformed ({type(e).__name__}: {e})") from None
    _check(result, (*_SCALARS, *leaves))
    return result


class _Machine:
    def __init__(self, names: Mapping[str, Any], persistent: Callable[[Any], Any]):
        self.names: Mapping[str, Any] = {"collections.OrderedDict": Function(_ordered), "builtins.set": Function(_set),
                                         "_codecs.encode": Function(_encode), **names}
        self.persistent = persistent
        self.stack: list[Any] = []
        self.memo: dict[int, Any] = {}

    def run(self, program: bytes) -> Any:
        for opcode, argument, _ in pickletools.genops(program):
            if opcode.name == "STOP":
                if len(self.stack) != 1:
                    raise ValueError(f"its pickle is malformed: it leaves {len(self.stack)} objects; expected one")
                return self.stack.pop()
            step = getattr(self, f"op_{opcode.name.lower()}", None)
            if step is not None:
                step(argument)
            elif opcode.name in _PUSHES:
                self.stack.append(argument)
            elif opcode.name not in _NOTHING:
                raise ValueError(f"its pickle uses the opcode {opcode.name}, which plain data has no need of")
        raise ValueError("its pickle has no end")

    def _since_mark(self) -> list[Any]:
        """What was pushed since the last mark."""
        at = len(self.stack) - 1
        while self.stack[at] is not _MARK:
            at -= 1
            if at < 0:
                raise ValueError("its pickle is malformed: a mark is missing")
        items = self.stack[at + 1:]
        del self.stack[at:]
        return items

    def _top(self, kind: type) -> Any:
        if type(self.stack[-1]) is not kind:
            raise ValueError(f"its pickle is malformed: it fills a {type(self.stack[-1]).__name__} as if it were a {kind.__name__}")
        return self.stack[-1]

    # constants and the stack

    def op_none(self, _: Any) -> None:
        self.stack.append(None)

    def op_newtrue(self, _: Any) -> None:
        self.stack.append(True)

    def op_newfalse(self, _: Any) -> None:
        self.stack.append(False)

    def op_mark(self, _: Any) -> None:
        self.stack.append(_MARK)

    def op_pop(self, _: Any) -> None:
        self.stack.pop()

    def op_pop_mark(self, _: Any) -> None:
        self._since_mark()

    def op_dup(self, _: Any) -> None:
        self.stack.append(self.stack[-1])

    def op_put(self, key: int) -> None:
        if self.stack[-1] is _MARK:
            raise ValueError("its pickle is malformed: a mark cannot be kept")
        self.memo[key] = self.stack[-1]

    op_binput = op_long_binput = op_put

    def op_memoize(self, _: Any) -> None:
        self.op_put(len(self.memo))

    def op_get(self, key: int) -> None:
        self.stack.append(self.memo[key])

    op_binget = op_long_binget = op_get

    # containers

    def op_empty_tuple(self, _: Any) -> None:
        self.stack.append(())

    def op_empty_list(self, _: Any) -> None:
        self.stack.append([])

    def op_empty_dict(self, _: Any) -> None:
        self.stack.append({})

    def op_empty_set(self, _: Any) -> None:
        self.stack.append(set())

    def op_tuple(self, _: Any) -> None:
        self.stack.append(tuple(self._since_mark()))

    def op_list(self, _: Any) -> None:
        self.stack.append(self._since_mark())

    def op_dict(self, _: Any) -> None:
        self.stack.append(_pairs(self._since_mark()))

    def op_frozenset(self, _: Any) -> None:
        self.stack.append(frozenset(self._since_mark()))

    def op_tuple1(self, _: Any) -> None:
        self._last(1)

    def op_tuple2(self, _: Any) -> None:
        self._last(2)

    def op_tuple3(self, _: Any) -> None:
        self._last(3)

    def _last(self, n: int) -> None:
        items = tuple(self.stack[-n:])
        if len(items) < n or _MARK in items:
            raise ValueError(f"its pickle is malformed: a tuple of {n} has fewer")
        self.stack[-n:] = [items]

    def op_append(self, _: Any) -> None:
        item = self.stack.pop()
        self._top(list).append(item)

    def op_appends(self, _: Any) -> None:
        items = self._since_mark()
        self._top(list).extend(items)

    def op_setitem(self, _: Any) -> None:
        value, key = self.stack.pop(), self.stack.pop()
        self._top(dict)[key] = value

    def op_setitems(self, _: Any) -> None:
        items = self._since_mark()
        self._top(dict).update(_pairs(items))

    def op_additems(self, _: Any) -> None:
        items = self._since_mark()
        self._top(set).update(items)

    # names and calls

    def op_global(self, name: str) -> None:
        self._name(*name.split(" ", 1))

    def op_stack_global(self, _: Any) -> None:
        name, module = self.stack.pop(), self.stack.pop()
        self._name(module, name)

    def _name(self, module: Any, name: Any) -> None:
        full = f"{'builtins' if module == '__builtin__' else module}.{name}"
        if full not in self.names:
            raise ValueError(f"it holds a {full!r}: only tensors, numbers, strings and plain containers are read, and nothing is executed; "
                             "of a model save its state_dict()")
        self.stack.append(self.names[full])

    def op_reduce(self, _: Any) -> None:
        arguments, function = self.stack.pop(), self.stack.pop()
        if not isinstance(function, Function) or type(arguments) is not tuple:
            raise ValueError(f"its pickle is malformed: it calls a {type(function).__name__}")
        self.stack.append(function.call(*arguments))

    def op_build(self, _: Any) -> None:
        state = self.stack.pop()  # a state_dict has the versions of its modules as an attribute, which is not kept
        if type(self.stack[-1]) is not dict or type(state) is not dict or set(state) != {"_metadata"}:
            raise ValueError(f"it gives attributes to a {type(self.stack[-1]).__name__}, which plain data does not have")

    def op_persid(self, _: Any) -> None:
        raise ValueError("its pickle uses the opcode PERSID, which PyTorch does not write")

    def op_binpersid(self, _: Any) -> None:
        self.stack.append(self.persistent(self.stack.pop()))


_PUSHES = {"INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "FLOAT", "BINFLOAT", "STRING", "BINSTRING", "SHORT_BINSTRING",
           "UNICODE", "SHORT_BINUNICODE", "BINUNICODE", "BINUNICODE8", "BINBYTES", "SHORT_BINBYTES", "BINBYTES8"}
_NOTHING = {"PROTO", "FRAME"}
_SCALARS = (type(None), bool, int, float, str, bytes)


def _pairs(items: list[Any]) -> dict:
    if len(items) % 2:
        raise ValueError("its pickle is malformed: a key has no value")
    return dict(zip(items[::2], items[1::2], strict=True))


def _ordered(items: Any = ()) -> dict:
    return dict(items)


def _set(items: Any = ()) -> set:
    if type(items) not in (list, tuple):
        raise ValueError(f"its pickle is malformed: a set is made of a {type(items).__name__}")
    return set(items)


def _encode(text: Any, encoding: Any) -> bytes:
    """How protocol 2 writes bytes."""
    if type(text) is not str or encoding != "latin1":
        raise ValueError(f"its pickle encodes a {type(text).__name__} as {encoding!r}; only bytes written as latin1 are read")
    return text.encode("latin1")


def _check(root: Any, leaves: tuple[type, ...]) -> None:
    """Refuse what is no data, an object that contains itself, and one that is enormous written out: containers may be shared, so that
    forty lines describe a list of 2^40 lists, on which whoever walks through it would hang."""
    sizes: dict[int, int | None] = {}  # None: on the way
    todo: list[tuple[Any, bool]] = [(root, False)]
    while todo:
        obj, entered = todo.pop()
        if type(obj) in leaves:
            continue
        if type(obj) not in (dict, list, tuple, set, frozenset):
            raise ValueError(f"its pickle is malformed: it has a {type(obj).__name__} where data should be")
        parts = [*obj, *obj.values()] if isinstance(obj, dict) else obj
        if entered:
            total = 1 + sum(sizes.get(id(p)) or 1 for p in parts)
            if total > LARGEST:
                raise ValueError(f"its containers have more than {LARGEST} elements written out, though the file is small")
            sizes[id(obj)] = total
        elif id(obj) not in sizes:
            sizes[id(obj)] = None
            todo.append((obj, True))
            todo.extend((p, False) for p in parts)
        elif sizes[id(obj)] is None:
            raise ValueError("it has a container that contains itself")
