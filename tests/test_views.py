"""Views: which results share memory, writes seen through them, versions, and what cannot be a view."""
from __future__ import annotations

import numpy as np
import pytest

import tensorgrad as tg


def grid(*shape):
    return tg.from_numpy(np.arange(float(np.prod(shape))).reshape(shape))


VIEWS = {
    "view": lambda x: x.view(4, 6),
    "view -1": lambda x: x.view(-1),
    "view_as": lambda x: x.view_as(tg.zeros(6, 4)),
    "view dtype": lambda x: x.view(tg.int64),
    "reshape": lambda x: x.reshape(3, 8),
    "transpose": lambda x: x.transpose(0, 2),
    "swapaxes": lambda x: x.swapaxes(-1, 0),
    "permute": lambda x: x.permute(2, 0, 1),
    "T": lambda x: x[0].T,
    "mT": lambda x: x.mT,
    "t": lambda x: x[1].t(),
    "movedim": lambda x: x.movedim(0, -1),
    "expand": lambda x: x[:1].expand(5, 3, 4),
    "expand_as": lambda x: x[:1].expand_as(x),
    "broadcast_to": lambda x: x[0].broadcast_to(2, 3, 4),
    "squeeze": lambda x: x[:1].squeeze(0),
    "unsqueeze": lambda x: x.unsqueeze(1),
    "flatten": lambda x: x.flatten(1),
    "ravel": lambda x: x.ravel(),
    "unflatten": lambda x: x.unflatten(2, (2, 2)),
    "narrow": lambda x: x.narrow(2, 1, 2),
    "select": lambda x: x.select(1, -1),
    "diagonal": lambda x: x.diagonal(0, 1, 2),
    "unfold": lambda x: x.unfold(2, 2, 1),
    "as_strided": lambda x: x.as_strided((2, 2), (12, 1), 3),
    "contiguous": lambda x: x.contiguous(),
    "detach": lambda x: x.detach(),
    "data": lambda x: x.data,
    "int": lambda x: x[1],
    "slices": lambda x: x[:, 1:, ::2],
    "None and ...": lambda x: x[None, ..., 0],
    "all ints": lambda x: x[1, 2, 3],
    "an int tensor": lambda x: x[tg.tensor(1)],
    "atleast_3d": lambda x: tg.atleast_3d(x[0]),
    "numpy": lambda x: tg.from_numpy(x.numpy()),
}


@pytest.mark.parametrize("name", VIEWS)
def test_views_share_memory(name):
    x = grid(2, 3, 4)
    v = VIEWS[name](x)
    assert np.shares_memory(v.array, x.array)
    x.fill_(7.0)
    assert np.all(v.view(tg.float64).array == 7.0 if name == "view dtype" else v.array == 7.0)


@pytest.mark.parametrize("split", [
    lambda x: x.split(2, 1), lambda x: x.split([1, 3], 2), lambda x: x.chunk(2), lambda x: x.unbind(1), lambda x: x.tensor_split(3, 2),
    lambda x: x.hsplit(3), lambda x: x.vsplit(2), lambda x: tg.broadcast_tensors(x, tg.zeros(3, 1)),
])
def test_several_views_share_memory(split):
    x = grid(2, 3, 4)
    parts = split(x)
    assert isinstance(parts, tuple)
    x.fill_(3.0)
    assert all(np.all(p.array == 3.0) for p in parts if p.requires_grad or np.shares_memory(p.array, x.array))
    assert np.shares_memory(parts[0].array, x.array)


@pytest.mark.parametrize("copy", [
    lambda x: x.clone(), lambda x: x[[0, 1]], lambda x: x[x > -1], lambda x: x.flip(0), lambda x: x.roll(1, 0), lambda x: x.repeat(1, 1, 1),
    lambda x: x.transpose(0, 1).reshape(-1), lambda x: x.mT.contiguous(), lambda x: x.to(tg.float32), lambda x: tg.cat([x]),
])
def test_copies_do_not(copy):
    x = grid(2, 3, 4)
    assert not np.shares_memory(copy(x).array, x.array)


def test_writes_go_both_ways_through_a_chain():
    x = grid(4, 6)
    v = x.t()[1:4].reshape(3, 2, 2)[:, 1]
    v[0] = -1.0
    assert x[2:, 1].tolist() == [-1.0, -1.0]
    x[3, 3] = 99.0
    assert v[2, 1].item() == 99.0
    assert v.data_ptr() == x[2:, 1:].data_ptr()


def test_view_says_when_it_would_copy():
    x = grid(3, 4)
    with pytest.raises(RuntimeError, match=r"view: shape \(4, 3\) with strides \(1, 4\).*use reshape"):
        x.t().view(12)
    assert x.t().reshape(12).tolist()[:4] == [0.0, 4.0, 8.0, 1.0]
    assert x[:, ::2].view(3, 2, 1).shape == (3, 2, 1)


def test_the_twins_that_change_the_shape_of_a_tensor_itself():
    x = grid(1, 3, 1)
    pointer = x.data_ptr()
    assert x.squeeze_(0) is x
    assert x.shape == (3, 1)
    assert x.t_() is x
    assert x.shape == (1, 3)
    assert x.unsqueeze_(-1).shape == (1, 3, 1)
    assert x.transpose_(0, 1).shape == (3, 1, 1)
    assert x.squeeze_().shape == (3,)
    assert x.data_ptr() == pointer


def test_shape_twins_and_gradients():
    w = tg.tensor([[1.0, 2.0, 3.0]], requires_grad=True)
    y = w * 2.0
    y.t_()
    y.unsqueeze_(0)
    (y * tg.tensor([[[1.0], [10.0], [100.0]]])).sum().backward()
    assert w.grad.tolist() == [[2.0, 20.0, 200.0]]
    with pytest.raises(RuntimeError, match="leaf"):
        w.squeeze_()
    with tg.no_grad():
        w.squeeze_()
    assert w.requires_grad
    assert w.shape == (3,)


def test_shape_twins_of_views():
    """A view whose own shape was changed in place is still a view of its base."""
    w = tg.tensor([[1.0, 2.0], [3.0, 4.0]], requires_grad=True)
    base = w * 1.0
    v = base[0]
    v.unsqueeze_(1)
    v.mul_(10.0)
    assert base.tolist() == [[10.0, 20.0], [3.0, 4.0]]
    base.sum().backward()
    assert w.grad.tolist() == [[10.0, 10.0], [1.0, 1.0]]


def test_a_base_reshaped_in_place_disowns_its_views():
    w = tg.ones(2, 2, requires_grad=True)
    base = w * 1.0
    v = base[0]
    base.t_()
    base.mul_(2.0)
    with pytest.raises(RuntimeError, match="take the view again"):
        (v * 1.0).sum()
    assert tg.zeros(2)[:1].add(1.0).tolist() == [1.0]


def test_versions():
    x = tg.zeros(3)
    v, d, data = x[:2], x.detach(), x.data
    assert x._version == v._version == d._version == 0
    v.add_(1.0)
    assert x._version == v._version == d._version == 1
    x[0] = 5.0
    d.fill_(2.0)
    assert v._version == 3
    data.fill_(9.0)
    assert x._version == 3
    assert x.tolist() == [9.0] * 3
    x.unsqueeze_(0)
    assert x._version == 4


def test_expanded_memory_is_not_written():
    x = tg.zeros(1, 3).expand(4, 3)
    for change in (lambda: x.add_(1.0), lambda: x.fill_(1.0), lambda: x.__setitem__(0, 1.0), lambda: x[1:].zero_()):
        with pytest.raises(RuntimeError, match=r"clone\(\)"):
            change()


def test_gradients_through_a_chain_of_views_are_dense_sums():
    x = grid(4, 6).requires_grad_()
    (x.t()[1:4].unfold(1, 2, 1) * 1.0).sum().backward()
    want = np.zeros((4, 6))
    want[:, 1:4] = np.array([1, 2, 2, 1])[:, None]
    assert np.array_equal(x.grad.numpy(), want)


def test_iteration_and_unpacking():
    x = grid(2, 3).requires_grad_()
    a, b = x
    (a * 2.0 + b * 3.0).sum().backward()
    assert x.grad.tolist() == [[2.0] * 3, [3.0] * 3]
    assert len(x) == 2


def test_long_chains_of_views():
    x = tg.ones(2, requires_grad=True)
    y = x
    for _ in range(20_000):
        y = y.view(2)
    y.sum().backward()
    assert x.grad.tolist() == [1.0, 1.0]
    del y
