"""Memory shared with NumPy and, where it is installed, PyTorch: both ways, seen through from both sides."""
from __future__ import annotations

import numpy as np
import pytest

import tensorgrad as tg

TYPES = [d.name for d in tg.dtypes.ALL]
PLAIN = [n for n in TYPES if n != "bfloat16"]


def numbers(dtype, shape=(3, 4)):
    return (np.arange(np.prod(shape)) % 2 if dtype == "bool" else np.arange(np.prod(shape))).reshape(shape).astype(getattr(tg, dtype).np)


@pytest.mark.parametrize("dtype", TYPES)
def test_from_numpy_and_numpy_share_memory(dtype):
    a = numbers(dtype)
    t = tg.from_numpy(a)
    assert t.dtype is getattr(tg, dtype)
    assert np.shares_memory(t.numpy(), a)
    a[1, 2] = 1
    assert t[1, 2].item() == 1
    t[0, 0] = 1
    assert a[0, 0] == 1


def test_layouts_survive():
    a = np.arange(24.0).reshape(2, 3, 4)
    for view in (a.T, a[::2, ::-1], a[:, 1:2], a[..., 0]):
        t = tg.from_numpy(view)
        assert t.stride() == tuple(s // 8 for s in view.strides)
        assert np.shares_memory(t.numpy(), a)
        assert np.shares_memory(np.from_dlpack(t), a)


@pytest.mark.parametrize("dtype", PLAIN)
def test_dlpack_with_numpy(dtype):
    t = tg.from_numpy(numbers(dtype))
    a = np.from_dlpack(t)
    assert a.dtype == t.dtype.np
    assert np.shares_memory(a, t.numpy())
    back = tg.from_dlpack(a)
    assert back.data_ptr() == t.data_ptr()
    back[0, 0] = 1
    assert a[0, 0] == 1


def test_dlpack_with_ourselves_and_copies():
    t = tg.ones(3, dtype=tg.bfloat16)
    assert tg.from_dlpack(t).data_ptr() == t.data_ptr()
    assert tg.from_dlpack(t.__dlpack__()).data_ptr() == t.data_ptr()
    assert tg.from_dlpack(t, copy=True).data_ptr() != t.data_ptr()
    assert t.__dlpack_device__() == (1, 0)
    capsule = t.__dlpack__()
    tg.from_dlpack(capsule)
    with pytest.raises(ValueError, match="used already"):
        tg.from_dlpack(capsule)


def test_dlpack_refusals():
    x = tg.ones(2, requires_grad=True)
    with pytest.raises(BufferError, match="detach"):
        np.from_dlpack(x)
    with pytest.raises(BufferError, match="detach"):
        tg.from_dlpack(x)
    with pytest.raises(TypeError, match="list"):
        tg.from_dlpack([1, 2])
    with pytest.raises(TypeError, match="complex"):
        tg.from_dlpack(np.ones(2, np.complex64))


def test_empty_and_scalar_tensors_travel():
    for shape in ((), (0, 3)):
        t = tg.from_dlpack(np.zeros(shape))
        assert tuple(t.shape) == shape
        assert np.from_dlpack(tg.zeros(shape)).shape == shape


def test_memory_outlives_its_owner():
    t = tg.from_dlpack(np.arange(5.0))
    a = np.from_dlpack(tg.arange(1000).mul(2))
    assert t.tolist() == [0.0, 1.0, 2.0, 3.0, 4.0]
    assert a[999] == 1998


def test_read_only_arrays():
    a = np.arange(3.0)
    a.flags.writeable = False
    for t in (tg.from_numpy(a), tg.from_dlpack(a)):
        assert (t * 2).tolist() == [0.0, 2.0, 4.0]
        for change in (lambda t=t: t.add_(1.0), lambda t=t: t.fill_(1.0), lambda t=t: t[1:].mul_(2.0), lambda t=t: t.__setitem__(0, 5.0)):
            with pytest.raises(RuntimeError, match="read-only"):
                change()
        c = t.clone()
        c[0] = 5.0
    assert a.tolist() == [0.0, 1.0, 2.0]
    with pytest.raises(RuntimeError, match="read-only"), tg.no_grad():
        tg.from_numpy(a).zero_()


def test_numpy_takes_tensors():
    t = tg.arange(6.0).reshape(2, 3)
    assert np.asarray(t).base is t.array or np.shares_memory(np.asarray(t), t.array)
    assert np.asarray(t, dtype=np.float64).dtype == np.float64
    assert not np.shares_memory(np.array(t), t.array)
    assert np.sum(np.asarray(t)) == 15.0
    with pytest.raises(RuntimeError, match="detach"):
        np.asarray(tg.ones(2, requires_grad=True))
    assert tg.ones(2, requires_grad=True).numpy(force=True).tolist() == [1.0, 1.0]


def test_wrong_arrays_are_refused():
    with pytest.raises(TypeError, match="complex128"):
        tg.from_numpy(np.ones(2, complex))
    with pytest.raises(TypeError, match="byte order"):
        tg.from_numpy(np.ones(2, ">f4"))
    with pytest.raises(TypeError, match="list"):
        tg.from_numpy([1.0])


@pytest.mark.parametrize("dtype", TYPES)
def test_dlpack_with_torch(dtype):
    torch = pytest.importorskip("torch")
    t = tg.from_numpy(numbers(dtype))
    u = torch.from_dlpack(t)
    assert str(u.dtype) == f"torch.{dtype}"
    assert u.data_ptr() == t.data_ptr()
    assert u.float().tolist() == t.to(tg.float32).tolist()
    u[0, 0] = 1
    assert t[0, 0].item() == 1
    back = tg.from_dlpack(torch.ones(2, 3).to(u.dtype).t())
    assert back.dtype is t.dtype
    assert tuple(back.shape) == (3, 2)
    assert back.to(tg.float32).tolist() == [[1.0, 1.0]] * 3
    source = torch.zeros(4, dtype=u.dtype)
    shared = tg.from_dlpack(source)
    shared[2] = 1
    assert source[2].item() == 1


def test_torch_tensor_that_requires_grad():
    torch = pytest.importorskip("torch")
    with pytest.raises((BufferError, RuntimeError), match="grad"):
        tg.from_dlpack(torch.ones(2, requires_grad=True))
    with pytest.raises(BufferError, match="detach"):
        torch.from_dlpack(tg.ones(2, requires_grad=True))
