"""Every layer against PyTorch's: printing, state_dict, values and gradients with the same weights."""
from __future__ import annotations

import inspect
import math
import typing

import numpy as np
import pytest

import tensorgrad as tg
from tensorgrad import nn

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")  # of PyTorch about its own arguments


def F(*shape):
    """Normal numbers."""
    return lambda rng: rng.normal(size=shape)


def P(*shape):
    """Numbers in (0, 1)."""
    return lambda rng: rng.uniform(0.05, 0.95, size=shape)


def Z(n, *shape):
    """Integers below n."""
    return lambda rng: rng.integers(0, n, size=shape)


def S(*shape):
    """-1 and 1."""
    return lambda rng: rng.choice([-1.0, 1.0], size=shape)


IMAGE, SIGNAL, VECTOR, VOLUME = (F(2, 4, 6, 7),), (F(2, 4, 9),), (F(3, 4),), (F(2, 4, 3, 4, 5),)

# (constructor, inputs, or None for what PyTorch cannot call). The constructor is evaluated in both packages.
LAYERS = [
    ("Identity()", VECTOR), ("Linear(4, 3)", VECTOR), ("Linear(4, 3, bias=False)", (F(2, 5, 4),)),
    ("Bilinear(4, 3, 5)", (F(2, 4), F(2, 3))), ("Bilinear(4, 3, 5, bias=False)", (F(2, 4), F(2, 3))),
    ("Conv1d(4, 6, 3)", SIGNAL), ("Conv1d(4, 6, 3, 2, 1, 2, 2, False)", SIGNAL), ("Conv1d(4, 6, 4, padding='same')", SIGNAL),
    ("Conv2d(4, 6, 3)", IMAGE), ("Conv2d(4, 6, (3, 2), stride=(2, 1), padding=1, dilation=2, groups=2, bias=False)", IMAGE),
    ("Conv2d(4, 4, 3, groups=4, padding='same')", IMAGE), ("Conv2d(4, 6, 3, padding='valid')", IMAGE),
    ("Conv2d(4, 6, 3, padding=1, padding_mode='reflect')", IMAGE), ("Conv2d(4, 6, 3, padding=2, padding_mode='replicate')", IMAGE),
    ("Conv2d(4, 6, (3, 4), padding='same', padding_mode='circular')", IMAGE), ("Conv2d(4, 6, 3)", (F(4, 6, 7),)),
    ("Conv3d(4, 2, 2)", VOLUME), ("Conv3d(4, 6, (1, 2, 3), padding=1, groups=2)", VOLUME),
    ("ConvTranspose1d(4, 6, 3, stride=2, output_padding=1)", SIGNAL),
    ("ConvTranspose2d(4, 6, 3)", IMAGE), ("ConvTranspose2d(4, 6, 4, 2, 1, bias=False)", IMAGE),
    ("ConvTranspose2d(4, 6, (3, 2), stride=2, padding=1, output_padding=1, groups=2, dilation=2)", IMAGE),
    ("ConvTranspose3d(4, 6, 2)", VOLUME), ("ConvTranspose3d(4, 6, (1, 2, 3), 2, 1, 1, 2, False, (2, 1, 1))", VOLUME),
    ("FractionalMaxPool2d(2, 3)", None), ("FractionalMaxPool3d((1, 2, 2), output_ratio=0.5)", None),
    ("AdaptiveLogSoftmaxWithLoss(16, 20, [4, 10])", (F(6, 16), lambda rng: np.array([0, 3, 4, 9, 10, 19]))),
    ("AdaptiveLogSoftmaxWithLoss(9, 12, [2, 5, 7], 2.0, True)", (F(5, 9), lambda rng: np.array([1, 6, 11, 6, 3]))),
    ("MaxPool3d(2)", VOLUME), ("MaxPool3d((1, 2, 3), stride=2, padding=(0, 1, 1), ceil_mode=True)", VOLUME), ("AvgPool3d(2)", VOLUME),
    ("AvgPool3d((1, 2, 3), 2, (0, 1, 1), True, False)", VOLUME), ("LPPool3d(2, 2, stride=1)", VOLUME),
    ("AdaptiveAvgPool3d((2, None, 3))", VOLUME), ("AdaptiveMaxPool3d(2)", VOLUME),
    ("MaxPool1d(2)", SIGNAL), ("MaxPool2d(2)", IMAGE), ("MaxPool2d((3, 2), stride=2, padding=1, ceil_mode=True)", IMAGE),
    ("MaxPool2d(3, 1, dilation=2)", IMAGE), ("AvgPool1d(2)", SIGNAL), ("AvgPool1d(3, 2, 1, count_include_pad=False)", SIGNAL),
    ("AvgPool2d(2)", IMAGE), ("AvgPool2d((3, 2), 2, 1, True, False)", IMAGE), ("AvgPool2d(2, divisor_override=3)", IMAGE),
    ("AdaptiveAvgPool1d(4)", SIGNAL), ("AdaptiveAvgPool2d(1)", IMAGE), ("AdaptiveAvgPool2d((None, 3))", IMAGE),
    ("AdaptiveMaxPool1d(4)", SIGNAL), ("AdaptiveMaxPool2d((5, 3))", IMAGE), ("LPPool2d(2, 3, stride=2)", IMAGE), ("LPPool1d(2, 3)", SIGNAL),
    ("BatchNorm1d(4)", VECTOR), ("BatchNorm1d(4)", SIGNAL), ("BatchNorm2d(4)", IMAGE), ("BatchNorm3d(4)", VOLUME),
    ("BatchNorm2d(4, eps=1e-3, momentum=0.3, affine=False)", IMAGE), ("SyncBatchNorm(4)", IMAGE), ("BatchNorm2d(4, momentum=None)", IMAGE),
    ("BatchNorm2d(4, track_running_stats=False)", IMAGE),
    ("LayerNorm(7)", IMAGE), ("LayerNorm((6, 7), eps=1e-3)", IMAGE), ("LayerNorm([7], elementwise_affine=False)", IMAGE),
    ("LayerNorm(7, bias=False)", IMAGE), ("RMSNorm(7)", IMAGE), ("RMSNorm((6, 7), eps=1e-3)", IMAGE),
    ("RMSNorm(7, elementwise_affine=False)", IMAGE), ("GroupNorm(2, 4)", IMAGE), ("GroupNorm(4, 4, affine=False)", SIGNAL),
    ("GroupNorm(2, 4, bias=False)", IMAGE), ("BatchNorm2d(4, bias=False)", IMAGE), ("InstanceNorm2d(4, affine=True, bias=False)", IMAGE),
    ("InstanceNorm1d(4)", SIGNAL), ("InstanceNorm2d(4, affine=True)", IMAGE), ("InstanceNorm2d(4, track_running_stats=True)", IMAGE),
    ("InstanceNorm2d(4)", (F(4, 6, 7),)), ("InstanceNorm3d(4)", VOLUME), ("LocalResponseNorm(3)", IMAGE),
    ("LocalResponseNorm(2, alpha=0.1, beta=0.5, k=2.0)", IMAGE),
    ("Embedding(10, 3)", (Z(10, 4, 5),)), ("Embedding(10, 3, padding_idx=2)", (Z(10, 4, 5),)), ("Embedding(10, 3, -1)", (Z(10, 7),)),
    ("Embedding(10, 3, scale_grad_by_freq=True)", (Z(10, 4, 5),)), ("Embedding(10, 3, max_norm=1.0)", (Z(10, 4, 5),)),
    ("EmbeddingBag(10, 3)", (Z(10, 4, 5),)), ("EmbeddingBag(10, 3, mode='sum', padding_idx=1)", (Z(10, 4, 5),)),
    *((f"{name}(p=0.3)", IMAGE) for name in ("Dropout", "Dropout2d", "AlphaDropout", "FeatureAlphaDropout")),
    ("Dropout1d()", SIGNAL), ("Dropout3d()", VOLUME), ("Dropout(0.2, True)", VECTOR),
    *((f"{name}()", IMAGE) for name in (
        "ReLU", "ReLU6", "LeakyReLU", "PReLU", "ELU", "SELU", "CELU", "GELU", "SiLU", "Mish", "Sigmoid", "Tanh", "Softplus", "Softsign",
        "Hardtanh", "Hardswish", "Hardsigmoid", "LogSigmoid", "Tanhshrink", "Softshrink", "Hardshrink", "Softmax2d", "RReLU")),
    *((f"{name}(inplace=True)", VECTOR) for name in (
        "ReLU", "ReLU6", "LeakyReLU", "ELU", "SELU", "CELU", "SiLU", "Mish", "Hardtanh", "Hardswish", "Hardsigmoid")),
    ("LeakyReLU(0.2)", IMAGE), ("PReLU(4)", IMAGE), ("PReLU(4, init=0.1)", VECTOR), ("ELU(0.5)", IMAGE), ("CELU(2.0)", IMAGE),
    ("GELU('tanh')", IMAGE), ("Hardtanh(-0.5, 2.0)", IMAGE), ("Softplus(2.0, 1.0)", IMAGE), ("Threshold(0.1, 20.0)", IMAGE),
    ("Softshrink(0.2)", IMAGE), ("Hardshrink(0.2)", IMAGE), ("RReLU(0.1, 0.2)", IMAGE), ("GLU()", (F(3, 6),)), ("GLU(dim=1)", IMAGE),
    *((f"{name}(dim={dim})", IMAGE) for name in ("Softmax", "LogSoftmax", "Softmin") for dim in (1, -1)),
    ("Flatten()", IMAGE), ("Flatten(0, 2)", IMAGE), ("Unflatten(1, (2, 2))", IMAGE),
    *((f"{kind}Pad{n}d(2)", x) for n, x in ((1, SIGNAL), (2, IMAGE), (3, VOLUME))
      for kind in ("Zero", "Reflection", "Replication", "Circular")),
    ("ZeroPad2d((1, 2, 0, 3))", IMAGE), ("ZeroPad2d((-1, 0, 1, 0))", IMAGE), ("ConstantPad1d(2, 3.5)", SIGNAL),
    ("ConstantPad2d((1, 0, 0, 2), -1.0)", IMAGE), ("ConstantPad3d(1, 2.0)", VOLUME),
    ("Upsample(scale_factor=2)", IMAGE), ("Upsample(size=(5, 9))", IMAGE), ("Upsample(scale_factor=2, mode='bilinear')", IMAGE),
    ("Upsample(scale_factor=(2, 1.5), mode='bilinear', align_corners=True)", IMAGE), ("Upsample(scale_factor=2, mode='linear')", SIGNAL),
    ("Upsample(size=5)", SIGNAL), ("UpsamplingNearest2d(scale_factor=2)", IMAGE), ("UpsamplingBilinear2d(size=(9, 9))", IMAGE),
    ("PixelShuffle(2)", IMAGE), ("PixelUnshuffle(2)", (F(2, 3, 4, 6),)), ("ChannelShuffle(2)", IMAGE),
    ("CosineSimilarity()", (F(3, 4), F(3, 4))), ("CosineSimilarity(dim=-1, eps=1e-3)", (F(3, 4), F(3, 4))),
    ("PairwiseDistance()", (F(3, 4), F(3, 4))), ("PairwiseDistance(1.0, keepdim=True)", (F(3, 4), F(3, 4))),
    ("Unfold(2)", IMAGE), ("Unfold((2, 3), dilation=2, padding=1, stride=2)", IMAGE), ("Fold((4, 5), 2)", (F(2, 8, 12),)),
    ("MultiheadAttention(8, 2)", (F(5, 3, 8),) * 3), ("MultiheadAttention(8, 2, batch_first=True, bias=False)", (F(3, 5, 8),) * 3),
    ("MultiheadAttention(8, 4, kdim=6, vdim=7)", (F(5, 3, 8), F(4, 3, 6), F(4, 3, 7))),
    ("MultiheadAttention(8, 2, add_bias_kv=True, add_zero_attn=True)", (F(5, 3, 8),) * 3), ("MultiheadAttention(8, 1)", (F(5, 8),) * 3),
    *((f"TransformerEncoderLayer(8, 2, 12{more})", (F(5, 3, 8),)) for more in (
        ", 0.0", ", 0.0, norm_first=True, activation='gelu'", ", 0.0, batch_first=True, bias=False", ", dropout=0, layer_norm_eps=1e-3")),
    *((f"TransformerDecoderLayer(8, 2, 12{more})", (F(4, 3, 8), F(5, 3, 8))) for more in (
        ", 0.0", ", 0.0, norm_first=True, activation='gelu'", ", 0.0, bias=False", ", dropout=0, layer_norm_eps=1e-3")),
    ("TransformerEncoder(TransformerEncoderLayer(8, 2, 12, 0.0), 2)", (F(5, 3, 8),)),
    ("TransformerEncoder(TransformerEncoderLayer(8, 2, 12, 0.0), 1, LayerNorm(8), False)", (F(5, 8),)),
    ("TransformerDecoder(TransformerDecoderLayer(8, 2, 12, 0.0), 2, norm=LayerNorm(8))", (F(4, 3, 8), F(5, 3, 8))),
    ("Transformer(8, 2, 1, 2, 12, 0.0)", (F(5, 3, 8), F(4, 3, 8))),
    ("Transformer(8, 2, 1, 1, 12, 0.0, 'gelu', batch_first=True, norm_first=True, bias=False)", (F(3, 5, 8), F(3, 4, 8))),
    *((f"RNNBase('{mode}', 4, 3, 2)", None) for mode in ("RNN_TANH", "RNN_RELU", "LSTM", "GRU")), ("RNNCellBase(4, 3, True, 2)", None),
    *((f"Lazy{text}", None) for text in (
        "Linear(3)", "Linear(3, bias=False)", "Conv1d(6, 3)", "Conv2d(6, 3, 2, 1, groups=2, bias=False)", "Conv3d(4, 2)",
        "ConvTranspose1d(6, 3)", "ConvTranspose2d(6, 3, 2, 1, groups=2)", "ConvTranspose3d(4, 2)", "BatchNorm1d()",
        "BatchNorm2d(affine=False)", "BatchNorm3d(1e-3)", "InstanceNorm1d(affine=True)", "InstanceNorm2d()",
        "InstanceNorm3d(affine=False, track_running_stats=True)")),
    ("LSTM(4, 5, 2, proj_size=3, bidirectional=True)", (F(5, 2, 4),)), ("LSTM(4, 5, bias=False, proj_size=3)", (F(5, 4),)),
    ("RNN(4, 3)", (F(5, 2, 4),)), ("RNN(4, 3, 2, 'relu', bidirectional=True)", (F(5, 2, 4), F(4, 2, 3))),
    ("RNN(4, 1, bias=False)", (F(1, 4),)),
    ("LSTM(4, 3)", (F(5, 4),)), ("LSTM(4, 3, 2, batch_first=True, bidirectional=True)", (F(2, 5, 4),)),
    ("LSTM(4, 16, bias=False, num_layers=2)", (F(3, 1, 4),)), ("GRU(4, 3, num_layers=2)", (F(5, 2, 4), F(2, 2, 3))),
    ("GRU(4, 3, batch_first=True, bidirectional=True)", (F(2, 5, 4),)), ("GRU(4, 3, bias=False)", (F(5, 4), F(1, 3))),
    ("RNNCell(4, 3)", (F(2, 4),)), ("RNNCell(4, 3, nonlinearity='relu')", (F(2, 4), F(2, 3))), ("LSTMCell(4, 3)", (F(2, 4),)),
    ("LSTMCell(4, 3, bias=False)", (F(4),)), ("GRUCell(4, 3)", (F(2, 4), F(2, 3))), ("GRUCell(4, 3, bias=False)", (F(4), F(3))),
    ("L1Loss()", (F(3, 4), F(3, 4))), ("MSELoss()", (F(3, 4), F(3, 4))), ("MSELoss(reduction='none')", (F(3, 4), F(3, 4))),
    ("SmoothL1Loss(beta=0.5)", (F(3, 4), F(3, 4))), ("HuberLoss(delta=0.5)", (F(3, 4), F(3, 4))),
    ("CrossEntropyLoss()", (F(3, 4), Z(4, 3))), ("CrossEntropyLoss(ignore_index=1, label_smoothing=0.1)", (F(3, 4, 5), Z(4, 3, 5))),
    ("CrossEntropyLoss(size_average=False)", (F(3, 4), Z(4, 3))), ("NLLLoss()", (F(3, 4), Z(4, 3))), ("BCELoss()", (P(3, 4), P(3, 4))),
    ("BCEWithLogitsLoss()", (F(3, 4), P(3, 4))), ("KLDivLoss(reduction='batchmean')", (F(3, 4), P(3, 4))),
    ("KLDivLoss(log_target=True)", (F(3, 4), F(3, 4))), ("PoissonNLLLoss()", (F(3, 4), P(3, 4))),
    ("PoissonNLLLoss(log_input=False, full=True)", (P(3, 4), P(3, 4))), ("GaussianNLLLoss(full=True)", (F(3, 4), F(3, 4), P(3, 4))),
    ("HingeEmbeddingLoss(0.5)", (F(3, 4), S(3, 4))), ("SoftMarginLoss()", (F(3, 4), S(3, 4))),
    ("MarginRankingLoss(0.3)", (F(5), F(5), S(5))), ("CosineEmbeddingLoss(0.2)", (F(3, 4), F(3, 4), S(3))),
    ("MultiMarginLoss()", (F(3, 4), Z(4, 3))), ("MultiMarginLoss(p=2, margin=0.5)", (F(3, 4), Z(4, 3))),
    ("MultiLabelSoftMarginLoss()", (F(3, 4), Z(2, 3, 4))), ("MultiLabelMarginLoss()", (F(3, 4), Z(4, 3, 4))),
    ("CTCLoss()", (F(6, 2, 4), lambda rng: rng.integers(1, 4, (2, 3)), lambda rng: np.array([6, 5]), lambda rng: np.array([3, 2]))),
    ("TripletMarginLoss(swap=True)", (F(3, 4), F(3, 4), F(3, 4))), ("TripletMarginWithDistanceLoss(margin=0.5)", (F(3, 4),) * 3),
]


def both(text):
    """(ours, PyTorch's), in float64, with PyTorch's weights."""
    torch.manual_seed(0)
    theirs = eval(text, vars(torch.nn)).double()
    with torch.no_grad():
        for p in theirs.parameters():
            if p.ndim == 1:  # scales and shifts that do something
                p.add_(torch.rand_like(p))
    ours = eval(text, vars(nn)).double()
    ours.load_state_dict({k: v.numpy() for k, v in theirs.state_dict().items()})
    return ours, theirs


def names(xs):
    return [x[0] for x in xs]


@pytest.mark.parametrize("text", dict.fromkeys(names(LAYERS)))
def test_printing_and_state_dict(text):
    ours, theirs = eval(text, vars(nn)), eval(text, vars(torch.nn))
    assert repr(ours) == repr(theirs)
    mine, other = ours.state_dict(), theirs.state_dict()
    assert list(mine) == list(other)
    if text.startswith("Lazy"):
        return
    assert [(tuple(t.shape), str(t.dtype).split(".")[1]) for t in mine.values()] == [
        (tuple(t.shape), str(t.dtype).split(".")[1]) for t in other.values()]
    assert [n for n, _ in ours.named_parameters()] == [n for n, _ in theirs.named_parameters()]
    assert [p.requires_grad for p in ours.parameters()] == [p.requires_grad for p in theirs.parameters()]


def signature(f):
    """The parameters by name; PyTorch's recurrent layers tell theirs in an overload."""
    return inspect.signature((typing.get_overloads(f) or [f])[0]).parameters


@pytest.mark.parametrize("text", dict.fromkeys(names(LAYERS)))
def test_constructor_signature(text):
    name = text.partition("(")[0]
    mine, other = (signature(getattr(module, name).__init__) for module in (nn, torch.nn))
    if list(other) == ["self", "args", "kwargs"] and name != "Identity":  # PyTorch's Module takes any and ignores none: there are none
        assert list(mine) == ["self"]
        return
    assert list(mine) == list(other)
    for a, b in zip(mine.values(), other.values(), strict=True):
        assert a.kind == b.kind
        if inspect.isroutine(b.default):  # an activation, the same one of either package
            assert a.default is getattr(nn.functional, b.default.__name__)
        else:
            assert a.default == b.default or (a.default is b.default), a.name


def tensors(out):
    return [t for o in out for t in tensors(o)] if isinstance(out, tuple) else [] if out is None else [out]


def close(a, b, what, rtol=1e-9):
    b = b.detach().numpy()
    assert a.shape == b.shape, what
    assert np.allclose(a, b, rtol=rtol, atol=1e-10, equal_nan=True), f"{what}: {np.abs(a - b).max()}"


CALLED = [x for x in LAYERS if x[1] is not None]


@pytest.mark.parametrize(("text", "inputs"), CALLED, ids=[f"{i}-{x[0]}" for i, x in enumerate(CALLED)])
@pytest.mark.parametrize("training", [True, False])
def test_values_and_gradients(text, inputs, training):
    random = "Dropout" in text or "RReLU" in text
    if random and training:
        pytest.skip("random in training")
    ours, theirs = both(text)
    ours.train(training)
    theirs.train(training)
    rng = np.random.default_rng(0)
    arrays = [make(rng) for make in inputs]
    if text.startswith("MultiheadAttention") and len({id(f) for f in inputs}) == 1:
        arrays = arrays[:1] * 3
    leaves = {id(a): (tg.tensor(a), torch.tensor(a)) for a in arrays}
    for mine, other in leaves.values():
        if mine.dtype.is_floating_point and ("Loss" not in text or mine is leaves[id(arrays[0])][0]):
            mine.requires_grad_()
            other.requires_grad_()
    in_place = "inplace=True" in text
    for _ in range(2):  # twice, for running statistics
        got = tensors(ours(*[leaves[id(a)][0] * 1 if in_place else leaves[id(a)][0] for a in arrays]))
        want = tensors(theirs(*[leaves[id(a)][1] * 1 if in_place else leaves[id(a)][1] for a in arrays]))
    assert len(got) == len(want)
    for a, b in zip(got, want, strict=True):
        close(a.detach().numpy(), b, "output")
    weights = [rng.normal(size=b.shape) for b in want]
    sum((a * tg.tensor(w)).sum() for a, w in zip(got, weights, strict=True) if a.requires_grad).backward()
    sum((b * torch.tensor(w)).sum() for b, w in zip(want, weights, strict=True) if b.requires_grad).backward()
    for mine, other in leaves.values():
        if other.grad is not None:
            # PyTorch's gradient of hardsigmoid multiplies by 1/6 in float32, also for float64
            close(mine.grad.numpy(), other.grad, "gradient of an input", 1e-7 if "Hardsigmoid" in text else 1e-9)
    for (name, mine), other in zip(ours.named_parameters(), theirs.parameters(), strict=True):
        close(mine.grad.numpy(), other.grad, name)
    for (name, mine), other in zip(ours.named_buffers(), theirs.buffers(), strict=True):
        close(mine.numpy(), other, name)


@pytest.mark.parametrize("dims", [1, 2, 3])
def test_max_unpool(dims):
    shape = (2, 3, 5, 6, 7)[:2 + dims]
    x = np.random.default_rng(0).normal(size=shape)
    for package, make in ((nn, tg.tensor), (torch.nn, torch.tensor)):
        pool, unpool = (getattr(package, f"Max{kind}{dims}d") for kind in ("Pool", "Unpool"))
        pool, unpool = pool(2, return_indices=True), unpool(2)
        values, where = pool(make(x))
        out = unpool(values, where, output_size=shape)
        if package is nn:
            ours, text = out.numpy(), repr(unpool)
    assert np.array_equal(ours, out.numpy())
    assert text == repr(unpool)


@pytest.mark.parametrize("text", ["LSTM(4, 3, 2, bidirectional=True)", "LSTMCell(4, 3)"])
def test_lstm_from_given_states(text):
    ours, theirs = both(text)
    rng = np.random.default_rng(0)
    x, h, c = (rng.normal(size=s) for s in (((5, 2, 4), (4, 2, 3), (4, 2, 3)) if text.startswith("LSTM(") else ((2, 4), (2, 3), (2, 3))))
    mine, other = [tg.tensor(a).requires_grad_() for a in (x, h, c)], [torch.tensor(a).requires_grad_() for a in (x, h, c)]
    got, want = tensors(ours(mine[0], tuple(mine[1:]))), tensors(theirs(other[0], tuple(other[1:])))
    sum((i + 1) * (t * t).sum() for i, t in enumerate(got)).backward()
    sum((i + 1) * (t * t).sum() for i, t in enumerate(want)).backward()
    for a, b in zip([*[t.detach().numpy() for t in got], *[t.grad.numpy() for t in mine], *[p.grad.numpy() for p in ours.parameters()]],
                    [*want, *[t.grad for t in other], *[p.grad for p in theirs.parameters()]], strict=True):
        close(a, b, text)


def test_dropout_between_recurrent_layers():
    tg.manual_seed(0)
    layer, x = nn.GRU(3, 4, 2, dropout=0.5), tg.randn(5, 2, 3)
    assert not np.array_equal(layer(x)[0].detach().numpy(), layer(x)[0].detach().numpy())
    layer.eval()
    np.testing.assert_array_equal(layer(x)[0].detach().numpy(), layer(x)[0].detach().numpy())
    with pytest.warns(UserWarning, match="dropout comes after all layers but the last"):
        nn.GRU(3, 4, dropout=0.5)


@pytest.mark.parametrize(("call", "message"), [
    (lambda: nn.RNN(3, 4, nonlinearity="sine"), "nonlinearity must be 'tanh' or 'relu', got 'sine'"),
    (lambda: nn.LSTM(3, 4, dropout=2), "dropout must be a probability from 0 to 1, got 2"),
    (lambda: nn.GRU(0, 4), "input_size must be greater than zero, got 0"),
    (lambda: nn.LSTM(3, 4, proj_size=4), "proj_size must be 0 or, for an LSTM, below hidden_size 4, got 4"),
    (lambda: nn.RNNBase("RNN_SINE", 3, 4), "mode must be one of RNN_TANH, RNN_RELU, LSTM, GRU, not 'RNN_SINE'"),
    (lambda: nn.GRU(3, 4)(tg.ones(2, 2, 5)), r"GRU: input has 5 features \(dim 2 of \(2, 2, 5\)\), expected 3"),
    (lambda: nn.GRU(3, 4)(tg.ones(3)), "GRU: input must have 2 or 3 dimensions"),
    (lambda: nn.GRU(3, 4)(tg.ones(2, 2, 3), tg.ones(2, 2, 4)), r"GRU: a state has shape \(2, 2, 4\), expected \(1, 2, 4\)"),
    (lambda: nn.GRUCell(3, 4)(tg.ones(2, 3), tg.ones(4)), "GRUCell: input and states must all have 1 or all 2 dimensions")])
def test_recurrent_layers_refuse(call, message):
    with pytest.raises((ValueError, RuntimeError, NotImplementedError), match=message):
        call()


LAZY = [(x[0], shape) for x in LAYERS if x[0].startswith("Lazy")
        for shape in [(2, 4, 5, 6, 7) if "3d" in x[0] else (2, 4, 5, 6) if "2d" in x[0] else (2, 4, 5) if "1d" in x[0] else (2, 5)]]


@pytest.mark.parametrize(("text", "shape"), LAZY)
def test_lazy_layers_become_ordinary_ones(text, shape):
    x = np.random.default_rng(0).normal(size=shape)
    ours, fresh, theirs = eval(text, vars(nn)).double(), eval(text, vars(nn)).double(), eval(text, vars(torch.nn)).double()
    want = theirs(torch.tensor(x))
    ours.load_state_dict({k: v.numpy() for k, v in theirs.state_dict().items() if k != "num_batches_tracked"}, strict=False)
    ours.reset_running_stats() if hasattr(ours, "reset_running_stats") else None
    close(ours(tg.tensor(x)).detach().numpy(), want, text)
    drawn = fresh(tg.tensor(x))
    assert drawn.shape == tuple(want.shape)
    assert type(fresh).__name__ == type(theirs).__name__
    assert repr(fresh) == repr(theirs) == repr(ours)
    assert [tuple(p.shape) for p in fresh.parameters()] == [tuple(p.shape) for p in theirs.parameters()]
    assert all(p.dtype is tg.float64 and p.requires_grad and np.isfinite(p.detach().numpy()).all() for p in fresh.parameters())
    assert not fresh._registered("forward_pre")


def test_lazy_layers_refuse():
    with pytest.raises(RuntimeError, match=r"LazyConv2d: input must have 3 or 4 dimensions, its shape is \(3, 4\)"):
        nn.LazyConv2d(3, 2)(tg.ones(3, 4))
    with pytest.raises(ValueError, match="3 channels of the input are not divisible by groups, 2"):
        nn.LazyConv1d(4, 2, groups=2)(tg.ones(3, 4))


def test_batch_norms_as_synchronised_ones():
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Sequential(nn.BatchNorm1d(4, affine=False))).eval()
    before = {k: v.array for k, v in net.state_dict().items()}
    made = nn.SyncBatchNorm.convert_sync_batchnorm(net)
    assert made is net
    assert type(made[1]) is type(made[2][0]) is nn.SyncBatchNorm
    assert not made[1].training
    assert all(v.array is before[k] for k, v in made.state_dict().items())
    assert list(made.state_dict()) == list(before)
    with pytest.raises(NotImplementedError, match="process_group must be None"):
        nn.SyncBatchNorm(3, process_group=1)


@pytest.mark.parametrize(("dims", "text"), [(2, "FractionalMaxPool2d(2, output_ratio=(0.5, 0.7)"), (3, "FractionalMaxPool3d((2, 1, 2), 3")])
def test_fractional_max_pool(dims, text):
    rng = np.random.default_rng(0)
    x, samples = rng.normal(size=(2, 3, 6, 7, 8)[:2 + dims]), rng.random((2, 3, dims))
    results = []
    for package, make in ((nn, tg.tensor), (torch.nn, torch.tensor)):
        pool = eval(text + ", return_indices=True, _random_samples=samples)", {**vars(package), "samples": make(samples)})
        values, where = pool(leaf := make(x).requires_grad_())
        (values * values).sum().backward()
        results.append((values.detach(), where, leaf.grad))
    for a, b in zip(*results, strict=True):
        close(a.numpy(), b, text)
    free = nn.FractionalMaxPool2d(2, 8)
    tg.manual_seed(0)
    image = tg.randn(1, 1, 20, 20)
    assert len({str(free(image).tolist()) for _ in range(5)}) > 1
    with pytest.raises(ValueError, match="give one of output_size and output_ratio"):
        nn.FractionalMaxPool2d(2)
    with pytest.raises(ValueError, match="must be between 0 and 1"):
        nn.FractionalMaxPool3d(2, output_ratio=1.5)


def test_adaptive_log_softmax():
    ours, theirs = both("AdaptiveLogSoftmaxWithLoss(8, 20, [4, 10])")
    x = np.random.default_rng(0).normal(size=(5, 8))
    close(ours.log_prob(tg.tensor(x)).detach().numpy(), theirs.log_prob(torch.tensor(x)), "log_prob")
    assert ours.predict(tg.tensor(x)).tolist() == theirs.predict(torch.tensor(x)).tolist()
    assert np.allclose(ours.log_prob(tg.tensor(x)).exp().sum(1).tolist(), 1)
    for wrong in ([], [5, 3], [20], [0, 3]):
        with pytest.raises(ValueError, match="cutoffs must be growing ints from 1 to n_classes - 1 = 19"):
            nn.AdaptiveLogSoftmaxWithLoss(8, 20, wrong)
    with pytest.raises(RuntimeError, match="target goes from 0 to 20, there are 20 classes"):
        ours(tg.tensor(x), tg.tensor([0, 1, 2, 3, 20]))


@pytest.mark.parametrize("batch_first", [True, False])
@pytest.mark.parametrize("floating", [True, False])
def test_transformer_with_masks(batch_first, floating):
    ours, theirs = both(f"Transformer(8, 2, 1, 2, 12, 0.0, batch_first={batch_first})")
    rng, results = np.random.default_rng(0), []
    src, tgt = rng.normal(size=(3, 5, 8)), rng.normal(size=(3, 4, 8))
    padding = np.arange(5) >= np.array([5, 3, 4])[:, None]
    for layer, package in ((ours, tg), (theirs, torch)):
        make = package.tensor
        causal = type(layer).generate_square_subsequent_mask(4, dtype=package.float64)
        causal = causal if floating else causal < 0
        x, y = (make(a if batch_first else a.swapaxes(0, 1)).requires_grad_() for a in (src, tgt))
        out = layer(x, y, tgt_mask=causal, src_key_padding_mask=make(padding), memory_key_padding_mask=make(padding), tgt_is_causal=True)
        (out * out).sum().backward()
        results.append([out.detach(), x.grad, y.grad, *(p.grad for p in layer.parameters())])
    for a, b in zip(*results, strict=True):
        close(a.numpy(), b, "masked")


@pytest.mark.parametrize("more", [{}, {"need_weights": False}, {"average_attn_weights": False}, {"static": True}, {"separate": True},
                                  {"bias_kv": True, "add_zero_attn": True}])
def test_multi_head_attention_forward(more):
    rng, more, results = np.random.default_rng(0), dict(more), []
    static, separate, bias_kv = (more.pop(n, False) for n in ("static", "separate", "bias_kv"))
    arrays = {"x": (4, 2, 6), "w": (18, 6), "b": (18,), "bk": (1, 1, 6), "bv": (1, 1, 6), "ow": (6, 6), "ob": (6,), "s": (4, 4, 3)}
    arrays = {n: rng.normal(size=s) for n, s in arrays.items()}
    for package, make in ((tg, tg.tensor), (torch, torch.tensor)):
        a = {n: make(v).requires_grad_() for n, v in arrays.items()}
        given = dict(more)
        if static:
            given |= {"static_k": a["s"], "static_v": a["s"] * 2}
        if separate:
            given |= {"use_separate_proj_weight": True} | {f"{n}_proj_weight": w for n, w in zip("qkv", a["w"].chunk(3), strict=True)}
        zero = given.pop("add_zero_attn", False)
        out, weights = package.nn.functional.multi_head_attention_forward(
            a["x"], a["x"], a["x"], 6, 2, None if separate else a["w"], a["b"], a["bk"] if bias_kv else None,
            a["bv"] if bias_kv else None, zero, 0.0, a["ow"], a["ob"], key_padding_mask=make([[False] * 4, [False] * 3 + [True]]), **given)
        (out * out).sum().backward()
        shown = [out.detach(), *([] if weights is None else [weights.detach()])]
        results.append([*shown, *(t.grad for t in a.values() if t.grad is not None)])
    assert len(results[0]) == len(results[1])
    for mine, other in zip(*results, strict=True):
        close(mine.numpy(), other, str(more))


def test_multi_head_attention_refuses():
    layer, x = nn.MultiheadAttention(8, 2, kdim=6), tg.ones(5, 3, 8)
    with pytest.raises(ValueError, match="key has 8 features, its projection takes 6"):
        layer(x, x, x)
    with pytest.raises(ValueError, match="must all have 2 or all 3 dimensions"):
        layer(x, x, x[0])
    same = nn.MultiheadAttention(8, 2)
    with pytest.raises(RuntimeError, match=r"attn_mask has shape \(5, 4\), expected \(5, 5\) or \(6, 5, 5\)"):
        same(x, x, x, attn_mask=tg.ones(5, 4))
    with pytest.raises(RuntimeError, match=r"key_padding_mask has shape \(5, 3\), expected \(3, 5\)"):
        same(x, x, x, key_padding_mask=tg.zeros(5, 3, dtype=tg.bool))
    with pytest.raises(RuntimeError, match="pass attn_mask too"):
        same(x, x, x, is_causal=True)


def test_transformers_refuse():
    with pytest.raises(RuntimeError, match="activation must be 'relu', 'gelu' or a function, not 'sine'"):
        nn.TransformerEncoderLayer(8, 2, activation="sine")
    net = nn.Transformer(8, 2, 1, 1, 8)
    with pytest.raises(RuntimeError, match=r"src \(5, 3, 8\) and tgt \(5, 2, 8\) have batches of different sizes"):
        net(tg.ones(5, 3, 8), tg.ones(5, 2, 8))
    with pytest.raises(RuntimeError, match="must be d_model, 8"):
        net(tg.ones(5, 3, 7), tg.ones(5, 3, 8))


def test_every_layer_is_in_the_table():
    tested = {x[0].partition("(")[0] for x in LAYERS}
    elsewhere = {"Module", "Sequential", "ModuleList", "ModuleDict", "ParameterList", "ParameterDict", "NonDynamicallyQuantizableLinear",
                 "NLLLoss2d", "MaxUnpool1d", "MaxUnpool2d", "MaxUnpool3d", "DataParallel", "RotaryEmbedding"}
    ours = {n for n, c in vars(nn).items() if isinstance(c, type) and issubclass(c, nn.Module) and not n.startswith("_")}
    assert not ours - tested - elsewhere
    assert not tested - ours


@pytest.mark.parametrize(("text", "fan_in"), [
    ("Linear(300, 200)", 300), ("Conv2d(30, 40, 5)", 750), ("Conv2d(32, 40, 5, groups=2)", 400), ("ConvTranspose2d(40, 30, 5)", 750),
    ("Conv1d(30, 40, 5)", 150), ("Bilinear(100, 20, 30)", 100)])
def test_initial_distribution_is_pytorchs(text, fan_in):
    """Uniform in +-1/sqrt(fan_in), for both packages."""
    tg.manual_seed(0)
    torch.manual_seed(0)
    ours, theirs, bound = eval(text, vars(nn)), eval(text, vars(torch.nn)), 1 / math.sqrt(fan_in)
    for name in ("weight", "bias"):
        for x in (getattr(ours, name).detach().numpy(), getattr(theirs, name).detach().numpy()):
            assert np.abs(x).max() <= bound
            assert np.abs(x).max() > 0.8 * bound
            assert abs(x.std() - bound / math.sqrt(3)) < 6 * bound / math.sqrt(x.size)
            assert abs(x.mean()) < 6 * bound / math.sqrt(3 * x.size)


def test_initial_embedding_and_attention():
    tg.manual_seed(0)
    e = nn.Embedding(100, 50, padding_idx=3).weight.detach().numpy()
    assert (e[3] == 0).all()
    assert abs(e.std() - 1) < 0.05
    a = nn.MultiheadAttention(32, 4)
    assert np.abs(a.in_proj_weight.detach().numpy()).max() <= math.sqrt(6 / (32 + 96))
    assert (a.in_proj_bias.detach().numpy() == 0).all()
