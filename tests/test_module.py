"""The semantics of Module: registration, traversal, state, modes, hooks, printing."""
from __future__ import annotations

import copy
from collections import OrderedDict

import numpy as np
import pytest

import tensorgrad as tg
from tensorgrad import nn


def parameter(*shape):
    return nn.Parameter(tg.ones(*shape))


class Scale(nn.Module):
    def __init__(self, n=3, start=1.0):
        super().__init__()
        self.weight = nn.Parameter(tg.full((n,), start))
        self.register_buffer("calls", tg.zeros(1))
        self.register_buffer("scratch", tg.zeros(1), persistent=False)

    def forward(self, x):
        return x * self.weight

    def extra_repr(self):
        return f"n={self.weight.shape[0]}"


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.first = Scale()
        self.inner = nn.Sequential(Scale(), nn.Identity())

    def forward(self, x):
        return self.inner(self.first(x))


def test_assignment_registers_and_moves_between_registries():
    m = Net()
    assert list(m._modules) == ["first", "inner"]
    m.extra = parameter(2)
    assert "extra" in m._parameters
    assert "extra" not in m.__dict__
    m.extra = None
    assert m.extra is None
    assert "extra" in m._parameters
    m.extra = Scale()
    assert "extra" in m._modules
    assert "extra" not in m._parameters
    del m.extra
    assert not hasattr(m, "extra")
    m.plain = tg.ones(2)
    assert "plain" in m.__dict__
    m.first.calls = tg.ones(1)
    assert m.first._buffers["calls"].item() == 1


def test_wrong_registrations_are_refused():
    m = Scale()
    with pytest.raises(TypeError, match="weight must be a Parameter or None, not a Tensor"):
        m.weight = tg.ones(3)
    with pytest.raises(TypeError, match="calls must be a Tensor or None"):
        m.calls = 3
    with pytest.raises(KeyError, match="already has an attribute 'forward'"):
        m.register_buffer("forward", tg.ones(1))
    with pytest.raises(KeyError, match="dot"):
        m.register_parameter("a.b", parameter(1))
    with pytest.raises(ValueError, match="must be a leaf"):
        m.register_parameter("y", _non_leaf())
    with pytest.raises(TypeError, match="must be a Module"):
        m.add_module("child", 3)

    class Early(nn.Module):
        def __init__(self):
            self.weight = parameter(1)

    with pytest.raises(AttributeError, match=r"before super\(\).__init__\(\)"):
        Early()
    with pytest.raises(AttributeError, match="'Scale' object has no attribute 'missing'"):
        _ = m.missing
    with pytest.raises(NotImplementedError, match="defines no forward"):
        nn.Module()(1)
    with pytest.raises(TypeError, match="must be a Tensor, not a list"):
        nn.Parameter([1.0])


def _non_leaf():
    p = parameter(1)
    y = nn.Parameter(p * 2)
    y.edge = (p * 2).edge
    return y


def test_traversal_names_order_and_sharing():
    m = Net()
    m.again = m.first
    assert [n for n, _ in m.named_parameters()] == ["first.weight", "inner.0.weight"]
    assert [n for n, _ in m.named_parameters(remove_duplicate=False)] == ["first.weight", "inner.0.weight", "again.weight"]
    assert [n for n, _ in m.named_parameters("net")] == ["net.first.weight", "net.inner.0.weight"]
    assert [n for n, _ in m.named_parameters(recurse=False)] == []
    assert [n for n, _ in m.named_buffers()] == ["first.calls", "first.scratch", "inner.0.calls", "inner.0.scratch"]
    assert [n for n, _ in m.named_modules()] == ["", "first", "inner", "inner.0", "inner.1"]
    assert [n for n, _ in m.named_children()] == ["first", "inner"]
    assert len(list(m.children())) == 2
    assert len(list(m.modules())) == 5
    tied = Scale()
    tied.also = tied.weight
    assert len(list(tied.parameters())) == 1
    assert list(tied.state_dict()) == ["weight", "also", "calls"]


def test_access_by_path():
    m = Net()
    assert m.get_submodule("inner.0") is m.inner[0]
    assert m.get_submodule("") is m
    assert m.get_parameter("inner.0.weight") is m.inner[0].weight
    assert m.get_buffer("first.calls") is m.first.calls
    m.set_submodule("inner.1", Scale(2))
    assert m.inner[1].weight.shape == (2,)
    with pytest.raises(AttributeError, match="Sequential has no submodule '7'"):
        m.get_submodule("inner.7")
    with pytest.raises(AttributeError, match="Scale has no parameter 'bias'"):
        m.get_parameter("first.bias")


def test_state_dict_holds_references_without_the_scratch():
    m = Net()
    state = m.state_dict()
    assert list(state) == ["first.weight", "first.calls", "inner.0.weight", "inner.0.calls"]
    assert state["first.weight"].array is m.first.weight.array
    assert not state["first.weight"].requires_grad
    assert m.state_dict(keep_vars=True)["first.weight"] is m.first.weight
    assert next(iter(m.state_dict(prefix="net."))) == "net.first.weight"
    assert isinstance(state, OrderedDict)


def test_load_state_dict_copies_in_place():
    m, other = Net(), Net()
    with tg.no_grad():
        other.first.weight.fill_(5)
    before = m.first.weight
    array = before.array
    assert str(m.load_state_dict(other.state_dict())) == "<All keys matched successfully>"
    assert m.first.weight is before
    assert before.array is array
    assert m.first.weight.tolist() == [5, 5, 5]
    m.load_state_dict({k: np.full(t.shape, 2, np.float64) for k, t in other.state_dict().items()})
    assert m.inner[0].weight.tolist() == [2, 2, 2]
    assert m.inner[0].weight.dtype is tg.float32


def test_load_state_dict_lists_everything_wrong_and_changes_nothing():
    m = Net()
    state = m.state_dict()
    wrong = OrderedDict({"first.weight": tg.zeros(3), "first.calls": tg.zeros(4), "odd": tg.zeros(1), "inner.0.bias": tg.zeros(1),
                         "inner.0.calls": "text"})
    with pytest.raises(RuntimeError) as caught:
        m.load_state_dict(wrong)
    text = str(caught.value)
    assert "missing: inner.0.weight" in text
    assert "unexpected: odd, inner.0.bias" in text
    assert "first.calls: has shape (4,) but the module's is (1,)" in text
    assert "inner.0.calls: expected a tensor, got a str" in text
    assert state["first.weight"].tolist() == [1, 1, 1]
    result = m.load_state_dict({"first.weight": tg.zeros(3), "odd": tg.zeros(1)}, strict=False)
    assert result.missing_keys == ["first.calls", "inner.0.weight", "inner.0.calls"]
    assert result.unexpected_keys == ["odd"]
    with pytest.raises(RuntimeError, match="has shape"):
        m.load_state_dict({"first.weight": tg.zeros(2)}, strict=False)
    with pytest.raises(TypeError, match="expected a dict"):
        m.load_state_dict([1])


def test_load_state_dict_assign_takes_the_tensors():
    m = Scale()
    given = tg.zeros(3, dtype=tg.float64)
    m.load_state_dict({"weight": given, "calls": tg.ones(1)}, assign=True)
    assert isinstance(m.weight, nn.Parameter)
    assert m.weight.array is given.array
    assert m.weight.requires_grad


def test_extra_state_and_state_hooks():
    class Counter(nn.Module):
        n = 0

        def get_extra_state(self):
            return {"n": self.n}

        def set_extra_state(self, state):
            self.n = state["n"]

    m = nn.Sequential(Counter())
    m[0].n = 7
    state = m.state_dict()
    assert state == {"0._extra_state": {"n": 7}}
    fresh = nn.Sequential(Counter())
    fresh.load_state_dict(state)
    assert fresh[0].n == 7
    with pytest.raises(RuntimeError, match=r"missing: 0\._extra_state"):
        fresh.load_state_dict({})
    s = Scale()
    s.register_state_dict_post_hook(lambda module, d, prefix, meta: d.pop(prefix + "calls"))
    s.register_load_state_dict_pre_hook(lambda module, d, prefix, *rest: d.setdefault(prefix + "calls", tg.ones(1)))
    seen = []
    s.register_load_state_dict_post_hook(lambda module, keys: seen.append(keys.missing_keys))
    assert list(s.state_dict()) == ["weight"]
    s.load_state_dict(s.state_dict())
    assert s.calls.item() == 1
    assert seen == [[]]


def test_train_eval_and_requires_grad():
    m = Net()
    assert m.eval() is m
    assert not any(x.training for x in m.modules())
    m.inner.train()
    assert not m.training
    assert m.inner[0].training
    with pytest.raises(ValueError, match="must be a bool"):
        m.train(1)
    m.requires_grad_(False)
    assert not any(p.requires_grad for p in m.parameters())


def test_zero_grad():
    m = Scale()
    m(tg.ones(3)).sum().backward()
    g = m.weight.grad
    m.zero_grad(set_to_none=False)
    assert m.weight.grad.tolist() == [0, 0, 0]
    assert m.weight.grad.array is g.array
    m.zero_grad()
    assert m.weight.grad is None


def test_apply_visits_children_first():
    seen = []
    Net().apply(lambda m: seen.append(type(m).__name__))
    assert seen == ["Scale", "Scale", "Identity", "Sequential", "Net"]


def test_conversions_keep_identity_and_integers():
    m = Scale()
    m.register_buffer("count", tg.zeros(1, dtype=tg.int64))
    m(tg.ones(3)).sum().backward()
    p = m.weight
    assert m.double() is m
    assert m.weight is p
    assert p.dtype is tg.float64
    assert p.grad.dtype is tg.float64
    assert m.calls.dtype is tg.float64
    assert m.count.dtype is tg.int64
    assert m.half().weight.dtype is tg.float16
    assert m.to(tg.bfloat16).weight.dtype is tg.bfloat16
    assert m.to("cpu", tg.float32).weight.dtype is tg.float32
    assert m.to(tg.zeros(1, dtype=tg.float64)).weight.dtype is tg.float64
    assert m.float().weight.dtype is tg.float32
    assert p.requires_grad
    assert p.is_leaf
    with pytest.raises(TypeError, match="floating dtype"):
        m.to(tg.int64)
    with pytest.raises(TypeError, match="unknown argument"):
        m.to(colour="red")


def test_deepcopy_is_independent_and_keeps_ties():
    m = Net()
    m.tied = m.first.weight
    twin = copy.deepcopy(m)
    assert twin.tied is twin.first.weight
    assert isinstance(twin.tied, nn.Parameter)
    with tg.no_grad():
        twin.tied.fill_(9)
    assert m.first.weight.tolist() == [1, 1, 1]


def test_forward_hooks():
    m, log = Scale(start=2.0), []
    pre = m.register_forward_pre_hook(lambda mod, args: (args[0] * 10,))
    post = m.register_forward_hook(lambda mod, args, out: log.append(args[0].tolist()) or out * 3)
    assert m(tg.ones(3)).tolist() == [60, 60, 60]
    assert log == [[10, 10, 10]]
    pre.remove()
    post.remove()
    assert m(tg.ones(3)).tolist() == [2, 2, 2]
    order = []
    m.register_forward_hook(lambda *a: order.append("second"))
    m.register_forward_hook(lambda *a: order.append("first"), prepend=True)
    m(tg.ones(3))
    assert order == ["first", "second"]


def test_forward_hooks_with_kwargs_and_always_call():
    class Times(nn.Module):
        def forward(self, x, *, by):
            if by == 0:
                raise ZeroDivisionError
            return x * by

    m, seen = Times(), []
    m.register_forward_pre_hook(lambda mod, args, kwargs: (args, {"by": kwargs["by"] - 1}), with_kwargs=True)
    m.register_forward_hook(lambda mod, args, kwargs, out: seen.append((kwargs["by"], out)), with_kwargs=True, always_call=True)
    m(tg.ones(1), by=3)
    assert seen[0][0] == 2
    with pytest.raises(ZeroDivisionError):
        m(tg.ones(1), by=1)
    assert seen[1] == (0, None)


def test_full_backward_hooks():
    m, seen = Scale(start=2.0), []
    m.register_full_backward_pre_hook(lambda mod, out: seen.append(("pre", out[0].tolist())))
    m.register_full_backward_hook(lambda mod, gin, gout: seen.append((gin[0].tolist(), gout[0].tolist())) or (gin[0] * 100,))
    x = tg.ones(3, requires_grad=True)
    (m(x) * 3).sum().backward()
    assert seen == [("pre", [3, 3, 3]), ([6, 6, 6], [3, 3, 3])]
    assert x.grad.tolist() == [600, 600, 600]
    assert m.weight.grad.tolist() == [3, 3, 3]


def test_full_backward_hook_without_tracked_input():
    m, seen = Scale(), []
    m.register_full_backward_hook(lambda mod, gin, gout: seen.append((gin, gout[0].tolist())))
    m(tg.ones(3)).sum().backward()
    assert seen == [((None,), [1, 1, 1])]


def test_hooked_modules_work_with_in_place_neighbours():
    a, b = Scale(start=2.0), Scale(start=3.0)
    a.register_full_backward_hook(lambda mod, gin, gout: None)
    x = tg.ones(3, requires_grad=True)
    y = a(x)
    y *= 4
    b(y).sum().backward()
    assert x.grad.tolist() == [24, 24, 24]


def test_sequential():
    a, b, c = Scale(), nn.Identity(), Scale(2)
    s = nn.Sequential(a, b)
    assert len(s) == 2
    assert s[-1] is b
    assert list(s[:1].state_dict()) == ["0.weight", "0.calls"]
    s.append(c)
    s.insert(0, c)
    assert [*s] == [c, a, b, c]
    del s[1]
    assert list(s._modules) == ["0", "1", "2"]
    assert s.pop(-1) is c
    assert len(s + nn.Sequential(a)) == 3
    assert len(nn.Sequential(a) * 3) == 3
    named = nn.Sequential(OrderedDict(one=a, two=b))
    assert named.one is a
    named[1] = c
    assert named.two is c
    with pytest.raises(IndexError, match="out of range for 2"):
        named[2]
    with pytest.raises(TypeError, match="must be a Module"):
        nn.Sequential(3)


def test_module_list_and_dict():
    a, b, c = Scale(), nn.Identity(), Scale(2)
    items = nn.ModuleList([a])
    items += [b]
    items.extend([c])
    items.insert(1, c)
    assert [*items] == [a, c, b, c]
    assert isinstance(items[1:], nn.ModuleList)
    items[0] = b
    del items[1]
    assert [*items] == [b, b, c]
    assert items.pop(2) is c
    assert b in items
    assert len(items + nn.ModuleList([a])) == 3
    d = nn.ModuleDict({"x": a})
    d["y"] = b
    d.update([("z", c)])
    assert list(d) == ["x", "y", "z"]
    assert d.pop("z") is c
    assert "z" not in d
    assert dict(d.items()) == {"x": a, "y": b}
    assert "x.weight" in d.state_dict()


def test_parameter_list_and_dict():
    items = nn.ParameterList([parameter(2), tg.zeros(3)])
    items.append(parameter(1))
    assert isinstance(items[1], nn.Parameter)
    assert list(items.state_dict()) == ["0", "1", "2"]
    assert len(items[1:]) == 2
    items[0] = parameter(5)
    assert items[0].shape == (5,)
    d = nn.ParameterDict({"a": parameter(2)})
    d["b"] = tg.zeros(1)
    assert list(d.keys()) == ["a", "b"]
    assert isinstance(d["b"], nn.Parameter)
    assert d.pop("a").shape == (2,)
    assert list(d.state_dict()) == ["b"]
    assert d.get("a") is None


def test_printing():
    m = Net()
    assert repr(m) == (
        "Net(\n  (first): Scale(n=3)\n  (inner): Sequential(\n    (0): Scale(n=3)\n    (1): Identity()\n  )\n)"
    )
    assert repr(nn.ModuleList([Scale(), Scale(), nn.Identity()])) == "ModuleList(\n  (0-1): 2 x Scale(n=3)\n  (2): Identity()\n)"


def test_dir_lists_what_is_registered():
    assert {"weight", "calls", "forward"} <= set(dir(Scale()))


def test_buffer_class():
    m = nn.Module()
    m.kept, m.not_kept = nn.Buffer(tg.ones(2)), nn.Buffer(tg.ones(1), persistent=False)
    assert list(m.state_dict()) == ["kept"]
    assert len(list(m.buffers())) == 2


def test_to_empty_share_memory_compile():
    m = Net()
    p = m.first.weight
    assert m.to_empty(device="cpu") is m
    assert m.first.weight is p
    assert p.shape == (3,)
    with pytest.raises(NotImplementedError, match="share no memory between processes"):
        m.share_memory()
    m.compile()
    assert m(tg.ones(3)).shape == (3,)
