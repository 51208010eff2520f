"""What an operation is, and how its public function is made.

An op is one file in `ops/` with a subclass of `Op`: `forward` (check, allocate, pick a kernel, run), `backward` in Tensor
operations, `reference` in float64 NumPy, `cases()` and `cost()`. Defining the class registers it: `tg.<name>`, the Tensor
method, its in-place twin, the operators, its tests and its benchmark follow.

The public function has the signature of `forward` without `ctx`. The annotations of `forward` say what each argument is:
`Tensor`, `Tensor | None`, `Operand` (Tensor or number), `Sequence[Tensor]`, `Sizes` (ints or one tuple of them); anything else
is passed on. `backward` returns one gradient for each tensor argument, in order (None where there is none).
"""
from __future__ import annotations

import functools
import inspect
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import numpy as np

from . import backends, dispatch, dtypes, precision
from .arguments import TENSOR_KINDS, explain, kind_of, sizes
from .cases import Case
from .dispatch import Kernel
from .grad_mode import set_grad_enabled
from .graph import MODE, Node, edge_of, link_view, record, version_cell
from .inplace import check_inplace, rebase
from .tensor import Tensor, wrap

Operand = Tensor | float
Sizes = Sequence[int]
_COMPARABLE = (Tensor, int, float, np.generic, np.ndarray, list)

OBSERVERS: list[Callable[[Node, Any, tuple], None]] = []  # called with (ctx, output, arguments) after each op: anomaly mode, profiler


class Functions:
    """All public op functions by name: `fn.softmax(x, dim=1)`. Ops call each other through it."""

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(f"there is no op {name!r}")


fn = Functions()


def rung(path: str, types: str = "float32 float64", device: str = "cpu", writes: tuple[int, ...] = (0,)) -> Callable:
    """Mark a method of an op as the kernel `path` written in Python.

    One whose first parameter is `xp` is written over any array module: it serves the devices whose storage has one, in that family.
    """

    def mark(f: Callable) -> Callable:
        code = f.__code__
        over_any_array = "xp" in code.co_varnames[:min(code.co_argcount, 2)]
        f.rung_of_op = (path, types, device, writes, over_any_array)  # type: ignore[attr-defined]
        return f

    return mark


class Op:
    """Base of all operations. Class attributes say how the op is offered."""

    name = ""
    aliases: tuple[str, ...] = ()
    function = True  # offered as tg.<name>
    method = True  # offered as Tensor.<name>
    functional = False  # offered as nn.functional.<name>
    places: tuple[str, ...] = ()  # offered under these dotted names too: "linalg.det"
    attribute = False  # offered as the property Tensor.<name>
    inplace = False  # offered as Tensor.<name>_ too
    reshapes = False  # the in-place twin gives the tensor itself another shape, not other values
    mutates = False  # overwrites its first argument, or each tensor of it where that is a list
    may_view = False  # the result may share memory with the first argument: forward sets ctx.view
    copies = True  # false: refuses memory layouts that would need a copy
    differentiable = True
    composite = False  # written in other ops only: forward takes no ctx, there is no backward
    operators: tuple[str, ...] = ()
    autocast: tuple[str, str] = ("", "")  # its precision under autocast, on the cpu and elsewhere (precision.py)
    group: str | None = None  # the op whose kernel choice this op follows; of a composite one the op whose kernels do its work
    defaults: tuple[str, ...] = ()  # kernel paths, best first
    torch_name: str | None = None  # dotted name in PyTorch when it is not torch.<name> or nn.functional.<name>
    smooth = True  # has second derivatives worth checking

    forward: Callable[..., Any]
    backward: Callable[..., Any]

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if "name" in cls.__dict__:
            register(cls())

    def __init__(self) -> None:
        self.picked: dict[Any, Any] = {}
        self.source = sys.modules[type(self).__module__].__file__ or ""
        self.call: Callable[..., Any]

    def __repr__(self) -> str:
        return f"<op {self.name}>"

    def python_kernels(self, device: str) -> Iterator[Kernel]:
        """The kernels of this op written in Python: its methods marked with `@rung`."""
        for attribute in dir(type(self)):
            mark = getattr(getattr(type(self), attribute), "rung_of_op", None)
            if mark is None:
                continue
            path, types, made_for, writes, over_any_array = mark
            call, backend = getattr(self, attribute), backends.load(device)
            family = getattr(backend, "arrays", None) if over_any_array else made_for if made_for == device else None
            if family:
                call = functools.partial(call, backend.xp) if over_any_array else call
                path = f"{family}/{path.partition('/')[2]}" if over_any_array else path
                yield Kernel(self.name, path, device, frozenset(types.split()), self.source, call, writes)

    def kernel(self, device: Any, array: Any, *info: Any) -> Callable[..., Any]:
        """The kernel for this device and this array's dtype; remembered until a choice changes.

        `info`, which `supports` and `suits` are told, is what else the choice depends on: a few kinds of calls, not every shape.
        """
        key = (device, array.dtype, *info)
        picked = self.picked.get(key)
        if picked is None:
            name = dtypes.BY_NUMPY[array.dtype].name
            picked = self.picked[key] = dispatch.choose(self, device, name, *info).for_dtype(name)
        return picked

    def chosen(self, device: Any, array: Any, *info: Any) -> Kernel:
        """The same for a call that `info` describes, as `supports` understands it: the kernel itself, whose path the caller may need."""
        key = (device, array.dtype, "chosen", *info)
        picked = self.picked.get(key)
        if picked is None:
            picked = self.picked[key] = dispatch.choose(self, device, dtypes.BY_NUMPY[array.dtype].name, *info)
        return picked

    def bind(self, path: str, call: Callable[..., Any], xp: Any) -> Callable[..., Any]:
        """What dispatch calls for a compiled kernel: itself, unless it takes more than the others, such as memory to work in."""
        return call

    def twins(self) -> list[str]:
        """The names of the functions that change their first argument in place: `relu_` of `relu`, `zero_` itself."""
        if self.mutates:
            return [self.name] if self.method else []
        return [name + "_" for name in (self.name, *self.aliases) if (self.inplace or self.reshapes) and (self.function or self.functional)]

    def supports(self, kernel: Kernel, *info: Any) -> str | None:
        """Why a kernel cannot do this call ("needs ..."), or None when it can."""
        return None

    def suits(self, kernel: Kernel, *info: Any) -> bool:
        """Whether a kernel that can do this call is good at it; one that is not is passed over unless it is asked for by its path."""
        return True

    def reference(self, *args: Any, **kwargs: Any) -> Any:
        """The op on float64 NumPy arrays, written for clarity."""
        raise NotImplementedError(f"{self.name} has no reference")

    def cases(self) -> Iterable[Case]:
        """Sample calls."""
        return ()

    def cost(self, *args: Any, **kwargs: Any) -> tuple[float, float]:
        """(FLOPs, least bytes moved) of a call; element-wise by default: one FLOP an element, each array once."""
        arrays = [a for a in args if isinstance(a, (Tensor, np.ndarray))]
        largest = max((a.size if isinstance(a, np.ndarray) else a.array.size for a in arrays), default=0)
        moved = sum(a.nbytes for a in arrays)
        return float(largest), float(moved + largest * (arrays[0].dtype.itemsize if arrays else 0))


# ---------------------------------------------------------------- registration


def register(op: Op) -> None:
    """Make the op's public function and put it where users look for it."""
    if op.name in dispatch._ops:
        raise RuntimeError(f"two ops are named {op.name}: {dispatch._ops[op.name].source} and {op.source}")
    dispatch._ops[op.name] = op
    entry = _entry(op)
    op.call = entry
    for name in (op.name, *op.aliases):
        setattr(fn, name, entry)
        if op.method or op.attribute:
            setattr(Tensor, name, property(entry) if op.attribute else entry)
        if op.inplace or op.reshapes:
            setattr(Tensor, name + "_", (_reshaping if op.reshapes else _inplace)(op, name + "_"))
    for dunder in op.operators:
        if dunder.startswith("__r") and dunder != "__rshift__":
            setattr(Tensor, dunder, lambda self, other: entry(other, self))
        elif dunder in ("__eq__", "__ne__"):  # anything may be compared; what is neither tensor nor number is never equal
            setattr(Tensor, dunder, lambda self, other: entry(self, other) if isinstance(other, _COMPARABLE) else NotImplemented)
        elif dunder.startswith("__i") and dunder != "__invert__":
            setattr(Tensor, dunder, _inplace(op, op.name + "_"))
        else:
            setattr(Tensor, dunder, entry)


def _entry(op: Op) -> Callable[..., Any]:
    """The public function: gather edges, run `forward`, record. Generated, so that it has a real signature and is fast."""
    signature = inspect.signature(op.forward)
    params = [p for p in signature.parameters.values() if p.name != "ctx"]
    tensors = [p for p in params if kind_of(p) in TENSOR_KINDS]
    env: dict[str, Any] = {"OP": op, "FORWARD": op.forward, "Node": Node, "MODE": MODE, "edge_of": edge_of, "record": record,
                           "link_view": link_view, "check_inplace": check_inplace, "rebase": rebase, "Tensor": Tensor,
                           "OBSERVERS": OBSERVERS, "observe": observe, "explain": explain, "sizes": sizes, "partial": functools.partial,
                           "nth": _nth, "WRONG": (AttributeError, TypeError, ValueError),
                           "AUTOCAST": precision.ACTIVE, "arranged": precision.arranged, "resume": precision.resume}
    head, call, body, tail = [], [], [], []
    for p in params:
        if kind_of(p) == "Sizes":
            head.append(f"*{p.name}_")
            tail.append(f"{p.name}=None")
            body.append(f"if {p.name} is None: {p.name} = sizes(OP, {p.name!r}, {p.name}_)")
        elif p.kind is p.VAR_POSITIONAL:
            head.append(f"*{p.name}")
        elif p.kind is p.KEYWORD_ONLY or tail:
            default = "" if p.default is p.empty else f"=DEFAULT_{p.name}"
            tail.append(p.name + default)
        else:
            head.append(p.name + ("" if p.default is p.empty else f"=DEFAULT_{p.name}"))
        env[f"DEFAULT_{p.name}"] = p.default
        call.append(f"*{p.name}" if p.kind is p.VAR_POSITIONAL else f"{p.name}={p.name}" if p.kind is p.KEYWORD_ONLY else p.name)
    for name, numpys in (("dim", "axis"), ("keepdim", "keepdims")):  # PyTorch takes NumPy's names too
        if any(p.name == name and p.default is not p.empty for p in params):
            tail.append(f"{numpys}=None")
            body.append(f"if {numpys} is not None: {name} = {numpys}")
    star = ["*"] if tail and not any(h.startswith("*") for h in head) else []
    lines = [f"def entry({', '.join(head + star + tail)}):", *("    " + b for b in body)]
    names = ", ".join(p.name for p in params)
    arguments = f"({names},)" if names else "()"
    if any(op.autocast) and tensors:  # called again, with the tensors cast
        given = ", ".join(p.name for p in tensors)
        same = [f"{p.name}={p.name}" if p.kind is p.KEYWORD_ONLY or kind_of(p) == "Sizes" else f"*{p.name}" if p.kind is p.VAR_POSITIONAL
                 else p.name for p in params]
        lines += ["    if AUTOCAST:", f"        _cast = arranged(OP, ({given},))", "        if _cast is not None:", "            try:",
                  f"                {given}, = _cast", f"                return ENTRY({', '.join(same)})", "            finally: resume()"]
    if op.composite:
        lines += ["    try:", f"        return FORWARD({', '.join(call)})", "    except WRONG as e:",
                  f"        raise explain(OP, {arguments}, e)"]
    else:
        lines += ["    try:", "        ctx = Node(OP)"]
        if op.differentiable and tensors:
            lines += [f"        if MODE.enabled and ({' or '.join(map(_tracked, tensors))}):",
                      f"            ctx.edges = {_edges(tensors)}"]
        if op.mutates:
            first = params[0].name
            each = f"for _t in {first}: " if kind_of(params[0]) == "Sequence[Tensor]" else f"_t = {first}; "
            lines += [f"        {each}check_inplace(_t, ctx.edges is not None, OP.name)"]
        lines += [f"        out = FORWARD(ctx, {', '.join(call)})", "    except WRONG as e:",
                  f"        raise explain(OP, {arguments}, e)", "    if ctx.edges is not None: record(ctx, out)"]
        if op.mutates:
            lines[-1] = "    if ctx.edges is not None: record(ctx, ())"
            lines += [f"    {each}rebase(_t, (ctx, 0) if ctx.edges is not None else None)", f"    out = {first}"]
        if op.may_view:
            again = ", ".join(["ENTRY", *[f"{p.name}={p.name}" for p in params[1:]]])
            lines += ["    if ctx.view:", "        if out.__class__ is tuple:",
                      f"            for i, o in enumerate(out): link_view(o, {params[0].name}, nth(i, partial({again})))",
                      f"        else: link_view(out, {params[0].name}, partial({again}))"]
        lines += [f"    if OBSERVERS: observe(ctx, out, {arguments})", "    return out"]
    exec(_compiled("\n".join(lines)), env)
    entry = env["ENTRY"] = env["entry"]
    entry.__code__ = entry.__code__.replace(co_name=op.name, co_filename=f"<entry of {op.name}>")
    entry.__doc__ = type(op).__doc__
    entry.__module__ = type(op).__module__
    entry.__name__ = entry.__qualname__ = op.name
    entry.op = op
    return entry


@functools.cache
def _compiled(source: str) -> Any:
    """The code of an entry. Most ops share theirs with others of the same signature, and compiling is half the import."""
    return compile(source, "<entry>", "exec")


def _tracked(p: inspect.Parameter) -> str:
    # A view that is not tracked may have become so, when its base was changed in place: edge_of finds out.
    one = "({0}.tracked or ({0}._view is not None and edge_of({0}) is not None))"
    return {
        "Tensor": one,
        "Tensor | None": "({0} is not None and " + one + ")",
        "Operand": "(isinstance({0}, Tensor) and " + one + ")",
        "Sequence[Tensor]": "any([" + one.format("t") + " for t in {0}])",
    }[kind_of(p)].format(p.name)


def _edges(tensors: list[inspect.Parameter]) -> str:
    one = {
        "Tensor": "edge_of({0}),",
        "Tensor | None": "edge_of({0}) if {0} is not None else None,",
        "Operand": "edge_of({0}) if isinstance({0}, Tensor) else None,",
        "Sequence[Tensor]": "*[edge_of(t) for t in {0}],",
    }
    return "(" + " ".join(one[kind_of(p)].format(p.name) for p in tensors) + ")"


def _nth(i: int, views: Callable[[Tensor], tuple[Tensor, ...]]) -> Callable[[Tensor], Tensor]:
    """One of several views, made again of another tensor."""
    return lambda base: views(base)[i]


def _inplace(op: Op, name: str) -> Callable[..., Tensor]:
    """The in-place twin `name` of an op: compute, check that the result fits, overwrite."""

    @functools.wraps(op.call)
    def inplace(input: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        if not isinstance(input, Tensor):
            raise TypeError(f"{name}: expected a Tensor, got {type(input).__name__}")
        check_inplace(input, False, name)
        call = functools.partial(precision.plainly, op.call) if precision.ACTIVE else op.call  # what is overwritten has its precision
        return assign(input, call(input, *args, **kwargs), name)

    inplace.__name__ = inplace.__qualname__ = name
    inplace.__doc__ = f"In-place version of `{op.name}`: overwrites this tensor and returns it."
    return inplace


def _reshaping(op: Op, name: str) -> Callable[..., Tensor]:
    """The in-place twin of a view: the tensor itself takes the new shape, the memory stays."""

    @functools.wraps(op.call)
    def reshaping(input: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        if not isinstance(input, Tensor):
            raise TypeError(f"{name}: expected a Tensor, got {type(input).__name__}")
        check_inplace(input, False, name)
        before = wrap(input.array, input.device)  # what the new shape is a view of; nobody else sees it
        before.__dict__.update(input.__dict__)
        with set_grad_enabled(MODE.enabled or input.edge is not None):
            after = op.call(before, *args, **kwargs)
        version_cell(input)[0] += 1
        input.array = after.array
        if input.edge is not None or input._view is not None:
            input.edge, input.tracked = after.edge, after.tracked
        if input._view is not None:
            before._view_at = version_cell(input)[0]
            input._view = after._view
            link_view(input, before, after._view[1])
        return input

    reshaping.__name__ = reshaping.__qualname__ = name
    reshaping.__doc__ = f"In-place version of `{op.name}`: this tensor itself takes the new shape; its memory stays."
    return reshaping


def assign(target: Tensor, result: Tensor, name: str) -> Tensor:
    """Overwrite `target` with `result`, values and history."""
    check_inplace(target, result.tracked, name)
    if result.array.shape != target.array.shape:
        raise RuntimeError(f"{name}: the result has shape {tuple(result.shape)}, which does not fit in place into {tuple(target.shape)}")
    if not dtypes.can_cast(result.dtype, target.dtype):
        raise RuntimeError(f"{name}: the result is {result.dtype.name}, which cannot be stored in place in {target.dtype.name}")
    if result.tracked and MODE.enabled:
        _keep_old_values(target, result)
    if target.device.index is None:
        target.array[...] = result.array
    else:
        with target.device.active():
            target.array[...] = result.array
    rebase(target, edge_of(result) if MODE.enabled else None)
    return target


def _keep_old_values(target: Tensor, result: Tensor) -> None:
    """Where the operation that made `result` saved `target` itself, save a copy of it instead: it is about to be overwritten."""
    node = result.grad_fn
    if node is not None and node._saved and any(t is target for t in node._saved):
        old = wrap(target.array.copy(), target.device)
        old.edge, old.tracked = target.edge, target.tracked
        node._saved = tuple([old if t is target else t for t in node._saved])


def offered(namespace: str) -> dict[str, Callable[..., Any]]:
    """The public functions of the ops that have their place in a namespace, by their names there."""
    names = ((place.rpartition("."), op) for op in dispatch._ops.values() for place in op.places)
    return {name: op.call for (where, _, name), op in names if where == namespace}


Around = Callable[["Op", Callable[..., Any]], Callable[..., Any]]
_SURROUNDINGS: list[tuple[Around, bool]] = []


def surround(wrapper: Around | None, on: bool = True, everything: bool = False) -> None:
    """Have each op's `forward` run through `wrapper(op, forward)` from here on, around those that were set before; not on: no longer.

    With `everything` composite ops and `backward` too. None takes all of them out. A device asks for it where it has something to do about
    every op; others pay nothing.
    """
    if wrapper is None:
        _SURROUNDINGS.clear()
    elif on:
        _SURROUNDINGS.append((wrapper, everything))
    else:
        _SURROUNDINGS.remove((wrapper, everything))
    for op in dispatch._ops.values():
        vars(op).pop("backward", None)
        forward = op.forward
        for around, all_of_it in _SURROUNDINGS:
            if all_of_it or not op.composite:
                forward = around(op, forward)
            if all_of_it and hasattr(op, "backward"):
                op.backward = around(op, op.backward)
        op.call.__globals__["FORWARD"] = forward


def observe(ctx: Node, out: Any, args: tuple) -> None:
    """Show an op's result to whoever watches."""
    for observer in list(OBSERVERS):
        observer(ctx, out, args)
