"""Every public name says what it is: a docstring, and a signature that `help()` can show."""
from __future__ import annotations

import ast
import inspect
import textwrap

import pytest

import tensorgrad as tg
from tensorgrad import dispatch

PLACES = ("", "nn", "nn.functional", "nn.init", "nn.utils", "optim", "optim.lr_scheduler", "linalg", "special", "distributions", "autograd",
          "jit", "data", "utils.data")


def public(place):
    """The functions and classes of a namespace, by name."""
    where = tg
    for part in place.split(".") if place else []:
        where = getattr(where, part)
    return {n: v for n, v in vars(where).items() if not n.startswith("_") and (inspect.isroutine(v) or isinstance(v, type))
            and (getattr(v, "__module__", None) or "").startswith("tensorgrad")}


def methods():
    """What a tensor has, by name."""
    return {n: getattr(tg.Tensor, n) for n in dir(tg.Tensor) if not n.startswith("_")}


@pytest.mark.parametrize("place", PLACES, ids=lambda p: p or "top")
def test_public_names_have_docstrings(place):
    names = public(place)
    assert len(names) > 3
    assert not [n for n, v in names.items() if not (inspect.getdoc(v) or "").strip()]


@pytest.mark.parametrize("place", PLACES, ids=lambda p: p or "top")
def test_help_shows_a_signature(place):
    for name, value in public(place).items():
        if isinstance(value, type) and issubclass(value, Exception):
            continue
        signature = inspect.signature(value)
        anything = [p.kind for p in signature.parameters.values()] == [inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD]
        assert not anything or isinstance(value, type), f"{place}.{name} shows (*args, **kwargs)"


def test_methods_have_docstrings_and_signatures():
    assert len(methods()) > 400
    for name, value in methods().items():
        if callable(value):
            assert (inspect.getdoc(value) or "").strip(), name
            inspect.signature(value)


@pytest.mark.parametrize("op", dispatch._ops.values(), ids=lambda op: op.name)
def test_no_argument_is_accepted_and_ignored(op):
    """What `forward` takes it uses, or the docstring says by name why it need not."""
    tree = ast.parse(textwrap.dedent(inspect.getsource(type(op).forward)))
    used = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    for name in inspect.signature(op.forward).parameters:
        assert name in used | {"ctx"} or name in (type(op).__doc__ or ""), name
