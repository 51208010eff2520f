"""Autocast: each op's dtypes against PyTorch's on the cpu and on CUDA tensors, blocks in each other, threads, training; GradScaler.

PyTorch decides what a CUDA tensor becomes before it looks for a kernel: its fake tensors ask it without a GPU.
"""
from __future__ import annotations

import threading
import warnings

import numpy as np
import pytest
from sampling import CASES, OPS, call, leaf, outputs, realise, rng_for

import tensorgrad as tg
from tensorgrad import amp, nn, optim, precision
from tensorgrad.autograd import Function

LOWER = {"cpu": "bfloat16", "cuda": "float16"}
OTHERS = {  # where PyTorch's answer depends on more than the op
    "affine_grid": "is a product of matrices for some sizes only",
    "local_response_norm": "goes by way of avg_pool3d for some shapes only",
    "max_pool3d": "is in the cpu's list without indices only",
    "inner": "is a product of matrices for some shapes only",
    "sum_to_size": "is a sum for some shapes only",
    "ldexp": "multiplies by a float32 power of two here, whatever it is given",
}


@pytest.fixture(autouse=True)
def nothing_stays_on():
    yield
    assert precision.ACTIVE == []
    assert precision.STATE.casts == {}


def mapped(change, a, kind):
    if isinstance(a, kind):
        return change(a)
    return [mapped(change, x, kind) for x in a] if isinstance(a, list) else a


@pytest.mark.parametrize("device", LOWER)
@pytest.mark.parametrize("name", [n for n in OPS if n not in OTHERS])
def test_dtypes_are_those_of_pytorch(name, device):
    torch = pytest.importorskip("torch", reason="PyTorch, the optional oracle, is not installed")
    from test_torch_parity import run_torch, to_torch, twin
    from torch._subclasses.fake_tensor import FakeTensorMode

    cases = [c for op, c in CASES if op.name == name and c.error is None and c.torch][:2]
    if twin(OPS[name]) is None or OPS[name].mutates or not cases:
        return
    for case in cases:
        for kind in ("float32", LOWER[device]):
            args, kwargs = realise(case, rng_for(OPS[name], case), leaf("float32"))
            theirs = [to_torch(a) for a in args], {k: to_torch(v) for k, v in kwargs.items()}

            def ours_as(t, kind=kind):
                t = t.detach().to("cpu" if device == "cpu" else "emu")
                return t.to(getattr(tg, kind)) if t.is_floating_point() else t

            def theirs_as(t, kind=kind):
                kind = getattr(torch, kind) if t.is_floating_point() else t.dtype
                return t.detach().to(kind) if device == "cpu" else torch.empty(t.shape, dtype=kind, device="cuda")

            def want(targs, tkwargs):
                got = run_torch(OPS[name], mapped(theirs_as, targs, torch.Tensor),
                                {k: mapped(theirs_as, v, torch.Tensor) for k, v in tkwargs.items()})
                return [str(t.dtype)[6:] for t in (got if isinstance(got, (tuple, list)) else [got]) if isinstance(t, torch.Tensor)]

            def got(args=args, kwargs=kwargs):
                with tg.autocast("cpu" if device == "cpu" else "emu", getattr(tg, LOWER[device])):
                    out = call(OPS[name], mapped(ours_as, args, tg.Tensor), {k: mapped(ours_as, v, tg.Tensor) for k, v in kwargs.items()})
                    return [t.dtype.name for t in outputs(out)]

            try:
                if device == "cpu":
                    with torch.autocast("cpu", torch.bfloat16):
                        expected = want(*theirs)
                else:
                    with FakeTensorMode():
                        torch.set_autocast_enabled("cuda", True)
                        torch.set_autocast_dtype("cuda", torch.float16)
                        expected = want(*theirs)
            except Exception as e:
                if "unsafe to autocast" in str(e):
                    with pytest.raises(RuntimeError, match="unsafe under autocast"):
                        got()
                continue  # PyTorch has no kernel for this precision, or a fake tensor no answer
            finally:
                torch.set_autocast_enabled("cuda", False)
            try:
                found = got()
            except RuntimeError as e:
                if kind == "float32" or not any(words in str(e) for words in ("needs float32 or float64", "does not compute")):
                    raise
                continue  # there is no kernel for half precision here
            assert found == expected, f"{case!r} of {kind}"


def test_mixed_arguments():
    half, full, double = tg.ones(2, 2, dtype=tg.float16), tg.ones(2, 2), tg.ones(2, 2, dtype=tg.float64)
    with tg.autocast("cpu", tg.float16):
        assert (half @ full).dtype is tg.float16
        assert (double @ double).dtype is tg.float64
        assert tg.cat([half, full]).dtype is tg.float32
        assert nn.functional.mse_loss(half, full).dtype is tg.float32
        assert (full @ full).softmax(0).dtype is tg.float16  # in no list of the cpu's
        assert full.sum().dtype is tg.float32
        assert nn.functional.binary_cross_entropy(half * 0.5, half).dtype is tg.float32
        np.testing.assert_array_equal((tg.ones(2, 2, dtype=tg.int64) @ tg.ones(2, 2, dtype=tg.int64)).numpy(), 2)
    emu = tg.ones(2, 2, device="emu")
    with tg.autocast("emu"):
        assert (full @ full).dtype is tg.float32  # another device's
        assert (emu @ emu).dtype is tg.float16
        assert (emu @ emu).softmax(0).dtype is tg.float32
        with pytest.raises(RuntimeError, match=r"binary_cross_entropy is unsafe under autocast.*binary_cross_entropy_with_logits"):
            nn.functional.binary_cross_entropy(emu, emu)
        assert (emu @ emu).dtype is tg.float16  # also after an error
    assert (emu @ emu).dtype is tg.float32


def test_what_is_overwritten_keeps_its_dtype():
    x = tg.ones(3, dtype=tg.float16, device="emu")
    with tg.autocast("emu"):
        assert x.exp_().dtype is tg.float16
        assert x.pow(2).dtype is tg.float32


def kind_of_product():
    x = tg.ones(2, 2)
    return (x @ x).dtype


def test_blocks_in_each_other():
    assert not tg.is_autocast_enabled("cpu")
    with tg.autocast("cpu"):
        assert kind_of_product() is tg.bfloat16
        assert tg.is_autocast_enabled("cpu")
        with tg.autocast("cpu", enabled=False):
            assert kind_of_product() is tg.float32
            with tg.amp.autocast(device_type="cpu", dtype=tg.float16):
                assert kind_of_product() is tg.float16
                assert tg.get_autocast_dtype("cpu") is tg.float16
            assert kind_of_product() is tg.float32
        assert kind_of_product() is tg.bfloat16
        with pytest.raises(KeyError), tg.autocast("cpu", enabled=False):
            raise KeyError
        assert kind_of_product() is tg.bfloat16
    assert kind_of_product() is tg.float32
    assert tg.get_autocast_dtype("cpu") is tg.bfloat16


def test_as_a_decorator():
    assert tg.autocast("cpu")(kind_of_product)() is tg.bfloat16
    assert kind_of_product() is tg.float32
    with tg.autocast("cpu"):
        assert tg.autocast("cpu", enabled=False)(kind_of_product)() is tg.float32
    with pytest.raises(TypeError, match="decorates functions, not a int"):
        tg.autocast("cpu")(3)


def test_what_is_too_large_for_float16_is_infinite_without_a_word():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        x = tg.full((2, 2), 60000.0)
        with tg.autocast("cpu", tg.float16):
            assert tg.isinf(x @ x).all()
        assert tg.isinf((x * 2).to(tg.float16)).all()


def test_other_threads_are_not_concerned():
    found = []
    with tg.autocast("cpu"):
        for on in (False, True):
            def work(on=on):
                with tg.autocast("cpu", tg.float16, enabled=on):
                    found.append(kind_of_product())
                found.append(kind_of_product())
            t = threading.Thread(target=work)
            t.start()
            t.join()
        assert kind_of_product() is tg.bfloat16
    assert found == [tg.float32, tg.float32, tg.float16, tg.float32]


def test_switches_without_a_block():
    tg.set_autocast_enabled("cpu", True)
    tg.set_autocast_dtype("cpu", tg.float16)
    try:
        assert kind_of_product() is tg.float16
    finally:
        tg.set_autocast_enabled("cpu", False)
        tg.set_autocast_dtype("cpu", tg.bfloat16)
    assert kind_of_product() is tg.float32
    with pytest.raises(RuntimeError, match="device_type must be one of cpu, cuda, emu, not 'tpu'"):
        tg.autocast("tpu")
    with pytest.raises(ValueError, match="device_type must be a str"):
        tg.autocast(3)
    with pytest.warns(UserWarning, match="must be bfloat16 or float16"), tg.autocast("cpu", tg.float32):
        assert kind_of_product() is tg.float32
    if not tg.cuda.is_available():
        with pytest.warns(UserWarning, match="there is no GPU"):
            assert not tg.cuda.amp.autocast()._enabled
    with tg.cpu.amp.autocast():
        assert kind_of_product() is tg.bfloat16


def test_a_weight_is_cast_once_in_a_block(monkeypatch):
    w, x, seen = tg.ones(2, 2, requires_grad=True), tg.ones(2, 2), []
    to = tg.Tensor.to
    monkeypatch.setattr(tg.Tensor, "to", lambda t, *a, **k: (seen.append(t), to(t, *a, **k))[1])
    with tg.autocast("cpu"):
        loss = sum((x @ w).sum() for _ in range(3))
        assert sum(t is w for t in seen) == 1
        loss.backward()
        np.testing.assert_array_equal(w.grad.numpy(), 6)
        assert w.grad.dtype is tg.float32
        with tg.no_grad():
            assert not (x @ w).requires_grad
            w.mul_(2)
        assert (x @ w).requires_grad
        assert (x @ w)[0, 0].item() == 4.0  # not the old one
    with tg.autocast("cpu", cache_enabled=False):
        del seen[:]
        x @ w, x @ w
        assert sum(t is w for t in seen) == 2


class Product(Function):
    """Whose backward is a product too."""

    kinds: list = []

    @staticmethod
    @amp.custom_fwd(device_type="cpu")
    def forward(ctx, x, w):
        ctx.save_for_backward(x, w)
        return x @ w

    @staticmethod
    @amp.custom_bwd(device_type="cpu")
    def backward(ctx, g):
        x, w = ctx.saved_tensors
        gx = g @ w.t()
        Product.kinds.append(gx.dtype)
        return gx, x.t() @ g


class Exact(Product):
    """In float32 whatever is around it."""

    @staticmethod
    @amp.custom_fwd(device_type="cpu", cast_inputs=tg.float32)
    def forward(ctx, x, w):
        ctx.save_for_backward(x, w)
        return x @ w


def test_functions_of_the_users_own():
    x, w = tg.ones(2, 3, requires_grad=True), tg.ones(3, 2, requires_grad=True)
    with tg.autocast("cpu"):
        y, z = Product.apply(x, w), Exact.apply(x.to(tg.bfloat16), w)
    assert (y.dtype, z.dtype) == (tg.bfloat16, tg.float32)
    y.sum().backward()
    z.sum().backward()
    assert Product.kinds == [tg.bfloat16, tg.float32]
    assert x.grad.dtype is tg.float32
    assert Product.apply(x, w).dtype is tg.float32


def test_a_checkpointed_function_is_computed_again_in_the_same_precision():
    from tensorgrad.utils.checkpoint import checkpoint

    w, x = tg.ones(3, 3, requires_grad=True), tg.ones(2, 3, requires_grad=True)
    with tg.autocast("cpu"):
        y = checkpoint(lambda t: (t @ w).relu() @ w, x, use_reentrant=False)
    assert y.dtype is tg.bfloat16
    y.sum().backward()
    np.testing.assert_array_equal(w.grad.numpy(), 12)


def networks(lib):
    """The same network in either library: the layers that mixed precision meets."""
    rng = np.random.default_rng(0)
    model = lib.nn.Sequential(
        lib.nn.Conv2d(1, 4, 3, padding=1), lib.nn.BatchNorm2d(4), lib.nn.ReLU(), lib.nn.MaxPool2d(2), lib.nn.Flatten(),
        lib.nn.Linear(64, 16), lib.nn.LayerNorm(16), lib.nn.GELU(), lib.nn.Linear(16, 3))
    with lib.no_grad():
        for p in model.parameters():
            p.add_(lib.tensor((0.1 * rng.standard_normal(tuple(p.shape))).astype(np.float32)))
    return model


def train(lib, kind, steps=40, state=None):
    """The losses of a small classifier, scaled as for float16."""
    rng = np.random.default_rng(1)
    y = rng.integers(0, 3, 32)
    x = (rng.standard_normal((32, 1, 8, 8)) + y[:, None, None, None]).astype(np.float32)
    x, y, model = lib.tensor(x), lib.tensor(y), networks(lib)
    if state is not None:
        model.load_state_dict({k: lib.tensor(v) for k, v in state.items()})
    opt, losses = lib.optim.SGD(model.parameters(), lr=0.05, momentum=0.9), []
    scaler = lib.amp.GradScaler("cpu", init_scale=2.0**10)
    for _ in range(steps):
        opt.zero_grad()
        with lib.autocast("cpu", getattr(lib, kind), enabled=kind != "float32"):
            out = model(x)
            loss = lib.nn.functional.cross_entropy(out, y)
        assert kind == "float32" or str(out.dtype).endswith(kind)
        scaler.scale(loss).backward()
        scaler.step(opt)
        scaler.update()
        losses.append(float(loss.detach()))
    assert all(p.grad.dtype is p.dtype is lib.float32 for p in model.parameters())
    return np.array(losses)


@pytest.mark.parametrize("kind", ["bfloat16", "float16"])
def test_training_is_pytorchs_within_the_precision(kind):
    torch = pytest.importorskip("torch", reason="PyTorch, the optional oracle, is not installed")
    state = {k: v.numpy().copy() for k, v in networks(tg).state_dict().items()}
    full, ours, theirs = train(tg, "float32", state=state), train(tg, kind, state=state), train(torch, kind, state=state)
    assert ours[-1] < 0.2 * ours[0]
    assert np.abs(ours - full).max() <= 2 * np.abs(theirs - full).max() + 0.01


# ---------------------------------------------------------------- GradScaler


def scales(lib, bad=(2, 3, 9), steps=14, **options):
    """Scale, good steps and parameter after each of some steps, a few of them with an infinite or wrong gradient."""
    p = lib.tensor([1.0, 2.0], requires_grad=True)
    opt, scaler, seen = lib.optim.SGD([p], lr=0.1), lib.amp.GradScaler("cpu", init_scale=4.0, growth_interval=3, **options), []
    for step in range(steps):
        opt.zero_grad()
        x = lib.tensor([1.0, float("inf") if step in bad[:2] else float("nan") if step in bad else 2.0])
        scaler.scale((p * x).sum()).backward()
        if step % 2:
            scaler.unscale_(opt)
        scaler.step(opt)
        scaler.update()
        seen.append([scaler.get_scale(), scaler.state_dict()["_growth_tracker"], *p.detach().tolist()])
    return np.array(seen), scaler


@pytest.mark.parametrize("options", [{}, {"growth_factor": 4.0, "backoff_factor": 0.25}], ids=str)
def test_the_scale_against_pytorch(options):
    torch = pytest.importorskip("torch", reason="PyTorch, the optional oracle, is not installed")
    (ours, mine), (theirs, other) = scales(tg, **options), scales(torch, **options)
    np.testing.assert_allclose(ours, theirs, rtol=1e-6)
    assert mine.state_dict() == other.state_dict()
    again = amp.GradScaler("cpu")
    again.load_state_dict(mine.state_dict())
    assert again.state_dict() == mine.state_dict()


@pytest.mark.parametrize("device", ["cpu", "emu"])
def test_a_scaler_on_each_device(device):
    p, q = tg.ones(3, device=device, requires_grad=True), tg.ones(2, dtype=tg.float64, device=device, requires_grad=True)
    opt, scaler = optim.SGD([p, q], lr=1.0), amp.GradScaler(device, init_scale=8.0)
    loss, other = scaler.scale([(p * 2).sum(), q.sum()])
    (loss.to(tg.float64) + other).backward()
    np.testing.assert_array_equal(p.grad.numpy(), 16)
    scaler.unscale_(opt)
    np.testing.assert_array_equal(p.grad.numpy(), 2)
    scaler.step(opt)
    scaler.update(2.0)
    np.testing.assert_array_equal(p.detach().numpy(), -1)
    assert scaler.get_scale() == 2.0


def test_a_scaler_that_is_off():
    p = tg.ones(2, requires_grad=True)
    opt, scaler = optim.SGD([p], lr=1.0), amp.GradScaler("cpu", enabled=False)
    loss = p.sum()
    assert scaler.scale(loss) is loss
    loss.backward()
    scaler.unscale_(opt)
    scaler.step(opt)
    scaler.update()
    assert (p.tolist(), scaler.get_scale(), scaler.state_dict(), scaler.is_enabled()) == ([0.0, 0.0], 1.0, {}, False)


def test_calls_out_of_order_are_refused():
    p = tg.ones(2, requires_grad=True)
    opt, scaler = optim.SGD([p], lr=1.0), amp.GradScaler("cpu")
    for f in (lambda: scaler.step(opt), lambda: scaler.unscale_(opt), scaler.update):
        with pytest.raises(RuntimeError, match="nothing has been scaled yet"):
            f()
    scaler.scale(p.sum())
    with pytest.raises(RuntimeError, match="none of the optimizer's parameters has a gradient"):
        scaler.step(opt)
    with pytest.raises(RuntimeError, match="no gradients have been seen"):
        scaler.update()
    scaler = amp.GradScaler("cpu")
    scaler.scale(p.sum()).backward()
    scaler.unscale_(opt)
    with pytest.raises(RuntimeError, match="unscale_ has been called"):
        scaler.unscale_(opt)
    scaler.step(opt)
    with pytest.raises(RuntimeError, match="since the last update"):
        scaler.step(opt)
    with pytest.raises(RuntimeError, match="takes no closure"):
        scaler.step(opt, closure=lambda: 0)
    with pytest.raises(ValueError, match=r"growth_factor must be above 1, got 1\.0"):
        amp.GradScaler("cpu", growth_factor=1.0)
    with pytest.raises(ValueError, match="backoff_factor must be below 1"):
        amp.GradScaler("cpu", backoff_factor=1.0)
    with pytest.raises(RuntimeError, match="the state is empty"):
        amp.GradScaler("cpu").load_state_dict({})
    half = tg.ones(2, dtype=tg.float16, requires_grad=True)
    scaler, opt = amp.GradScaler("cpu", init_scale=2.0), optim.SGD([half], lr=1.0)
    scaler.scale(half.sum()).backward()
    with pytest.raises(ValueError, match="a gradient is float16"):
        scaler.unscale_(opt)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert tg.cuda.amp.GradScaler().is_enabled() == tg.cuda.is_available()
