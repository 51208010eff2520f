"""Small pieces of PyTorch's surface: constructors, inquiries, windows, memory formats, marks for compilers, settings."""
from __future__ import annotations

import numpy as np
import pytest

import tensorgrad as tg


def test_constructors_of_older_code():
    assert tg.FloatTensor(2, 3).shape == (2, 3)
    assert tg.FloatTensor(2, 3).dtype is tg.float32
    assert tg.LongTensor([1, 2]).tolist() == [1, 2]
    assert tg.DoubleTensor(np.array([1, 2])).dtype is tg.float64
    assert tg.ByteTensor(tg.Size((2, 2))).shape == (2, 2)
    assert tg.FloatTensor().shape == (0,)
    assert isinstance(tg.ones(2), tg.FloatTensor)
    assert not isinstance(tg.ones(2), tg.LongTensor)
    with pytest.raises(TypeError, match="LongTensor: expected a tensor of int64, got float32"):
        tg.LongTensor(tg.ones(2))


def test_the_type_of_a_tensor_by_name():
    assert tg.ones(2).type("torch.LongTensor").dtype is tg.int64
    assert tg.ones(2).type(tg.DoubleTensor).dtype is tg.float64
    assert tg.typename(tg.ones(2)) == "tensorgrad.FloatTensor"
    assert tg.typename(tg.nn.Linear(1, 1)) == "tensorgrad.nn.modules.linear.Linear"


def test_a_default_device():
    pytest.importorskip("tensorgrad.backends.emu", exc_type=ImportError)
    with tg.device("emu"):
        assert tg.zeros(2).device == "emu"
        assert tg.get_default_device() == "emu"
    assert tg.zeros(2).device == "cpu"
    tg.set_default_device("emu")
    try:
        assert tg.rand(2).device == "emu"
        with tg.device("cpu"):
            assert tg.ones(2).device == "cpu"
    finally:
        tg.set_default_device(None)
    assert tg.ones(2).device == "cpu"


def test_a_default_type():
    try:
        tg.set_default_tensor_type("torch.DoubleTensor")
        assert tg.ones(2).dtype is tg.float64
        tg.set_default_tensor_type(tg.FloatTensor)
        assert tg.ones(2).dtype is tg.float32
    finally:
        tg.set_default_dtype(tg.float32)
        tg.set_default_device(None)
    for wrong in ("FloatTensors", float, tg.LongTensor):
        with pytest.raises(TypeError, match=r"set_default_(tensor_type|dtype): expected a"):
            tg.set_default_tensor_type(wrong)


def test_inquiries():
    x = tg.ones(2, 3)
    assert x.is_cpu
    assert not x.is_sparse
    assert not x.is_quantized
    assert x.is_signed()
    assert not tg.ones(1, dtype=tg.uint8).is_signed()
    assert tg.is_nonzero(tg.tensor([2.0]))
    assert not tg.tensor(0).is_nonzero()
    assert x.is_same_size(tg.zeros(2, 3))
    assert not tg.is_same_size(x, tg.zeros(3, 2))
    assert x.is_set_to(x.view(2, 3))
    assert not x.is_set_to(x.clone())
    assert tg.broadcast_shapes((2, 1), (3,), 1) == (2, 3)
    with pytest.raises(RuntimeError, match="broadcast_shapes: the shapes"):
        tg.broadcast_shapes((2,), (3,))
    with pytest.raises(RuntimeError, match="is_nonzero: the tensor has shape"):
        tg.is_nonzero(x)


@pytest.mark.parametrize(("name", "numpys"), [("hann_window", np.hanning), ("hamming_window", np.hamming),
                                                      ("blackman_window", np.blackman), ("bartlett_window", np.bartlett),
                                                      ("kaiser_window", lambda n: np.kaiser(n, 12.0))])
@pytest.mark.parametrize("n", [1, 2, 7, 8])
def test_windows(name, numpys, n):
    window = getattr(tg, name)
    assert np.allclose(window(n, periodic=False, dtype=tg.float64).numpy(), numpys(n), atol=1e-12)
    assert np.allclose(window(n, dtype=tg.float64).numpy(), numpys(n + 1)[:n] if n > 1 else 1.0, atol=1e-12)
    assert window(n).dtype is tg.float32
    with pytest.raises(RuntimeError, match=f"{name}: needs a floating dtype, got int64"):
        window(n, dtype=tg.int64)


def test_memory_formats():
    x = tg.randn(2, 3, 4, 5)
    y = x.to(memory_format=tg.channels_last)
    assert y.stride() == (60, 1, 15, 3)
    assert tg.equal(x, y)
    assert y.is_contiguous(memory_format=tg.channels_last)
    assert not y.is_contiguous()
    assert y.contiguous().stride() == x.stride()
    assert y.contiguous(memory_format=tg.channels_last) is y
    assert y.clone(memory_format=tg.preserve_format).stride() == y.stride()
    assert y.double(memory_format=tg.contiguous_format).stride() == x.stride()
    assert x.layout is tg.strided
    with pytest.raises(TypeError, match="clone: memory_format must be one of tensorgrad's memory formats"):
        x.clone(memory_format="channels_last")


def test_methods_of_older_code():
    x = tg.arange(6.0)
    assert x.new(2, 3).shape == (2, 3)
    assert x.double().new([1, 2]).dtype is tg.float64
    assert x.to_dense() is x
    assert tg.arange(3.0).apply_(lambda v: v * 2).tolist() == [0, 2, 4]
    assert tg.arange(3.0).map_(tg.ones(3), lambda a, b: a + b).tolist() == [1, 2, 3]
    assert x.clone().resize_(2, 2).tolist() == [[0, 1], [2, 3]]
    assert x.clone().resize_as_(tg.empty(8))[:6].tolist() == x.tolist()
    with pytest.raises(RuntimeError, match="resize_: a tensor that requires grad"):
        x.clone().requires_grad_().resize_(2)
    with pytest.raises(RuntimeError, match="apply_: a tensor that requires grad"):
        x.clone().requires_grad_().apply_(abs)
    with pytest.raises(RuntimeError, match="map_: a tensor that requires grad"):
        x.clone().requires_grad_().map_(x, max)


def test_creation():
    assert tg.range(0, 3).tolist() == [0, 1, 2, 3]
    assert tg.range(1, 2, 0.5).tolist() == [1, 1.5, 2]
    assert tg.empty_strided((2, 3), (1, 2)).stride() == (1, 2)
    buffer = bytearray(np.arange(4, dtype=np.int32).tobytes())
    x = tg.frombuffer(buffer, dtype=tg.int32, offset=4)
    assert x.tolist() == [1, 2, 3]
    x[0] = 7
    assert np.frombuffer(buffer, np.int32)[1] == 7
    with pytest.raises(ValueError, match="frombuffer: the buffer must not be empty"):
        tg.frombuffer(b"", dtype=tg.int32)
    with pytest.raises(RuntimeError, match="range: from 0 to 3 in steps of -1"):
        tg.range(0, 3, -1)
    with pytest.raises(RuntimeError, match="empty_strided: size"):
        tg.empty_strided((2, 3), (1,))


def test_functions_that_change_their_argument():
    for name in ("relu_", "sigmoid_", "exp_", "sqrt_", "clamp_", "zero_", "fill_", "abs_", "tanh_", "round_"):
        assert callable(getattr(tg, name))
    x = tg.tensor([-1.0, 2.0])
    assert tg.relu_(x) is x
    assert x.tolist() == [0.0, 2.0]


def test_marks_for_compilers_leave_functions_alone():
    def f(x):
        return x + 1

    assert tg.compile(f) is f
    assert tg.compile(mode="reduce-overhead")(f) is f
    assert tg.jit.script(f) is f
    assert tg.jit.ignore(f) is f
    assert tg.jit.ignore(drop=True)(f) is f
    assert not tg.jit.is_scripting()
    with pytest.raises(RuntimeError, match="compile: mode 'fast' is none of"):
        tg.compile(f, mode="fast")
    with pytest.raises(NotImplementedError, match=r"jit\.trace: there is no tracing"):
        tg.jit.trace(f, (1,))
    with pytest.raises(TypeError, match=r"jit\.script: optimize"):
        tg.jit.script(f, optimize=True)


def test_settings_that_scripts_make():
    import tensorgrad.backends.cudnn as cudnn

    before = cudnn.benchmark
    tg.backends.cudnn.benchmark = True
    assert cudnn.benchmark
    cudnn.benchmark = before
    assert not tg.backends.mps.is_available()
    before = tg.backends.cuda.matmul.allow_tf32
    tg.backends.cuda.matmul.allow_tf32 = True
    assert tg.backends.cuda.matmul.allow_tf32
    tg.backends.cuda.matmul.allow_tf32 = before
    assert "permissions" not in tg.backends.NAMES
    assert "cudnn" not in tg.backends.NAMES
    tg.set_float32_matmul_precision("high")
    assert tg.get_float32_matmul_precision() == "high"
    tg.set_float32_matmul_precision("highest")
    with pytest.raises(RuntimeError, match="set_float32_matmul_precision: precision must be"):
        tg.set_float32_matmul_precision("low")


@pytest.mark.parametrize("function", [tg.add, tg.exp, tg.matmul, tg.cat, tg.zeros, tg.arange, tg.sum])
def test_out_is_refused_by_name(function):
    with pytest.raises(TypeError, match="out"):
        function(tg.ones(2, 2), tg.ones(2, 2), out=tg.ones(2, 2))
