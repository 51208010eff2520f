"""nn.utils.rnn and recurrent layers over packed sequences, against PyTorch's."""
from __future__ import annotations

import numpy as np
import pytest

import tensorgrad as tg
from tensorgrad import nn
from tensorgrad.nn.utils import rnn

LENGTHS = [[5, 3, 3, 1], [3, 5, 1, 3], [2, 2, 2, 2], [4]]


def sequences(lengths, seed=0):
    rng = np.random.default_rng(seed)
    return [rng.normal(size=(n, 4)) for n in lengths]


@pytest.mark.parametrize("lengths", LENGTHS)
@pytest.mark.parametrize("batch_first", [True, False])
def test_packing_and_padding(lengths, batch_first):
    torch = pytest.importorskip("torch")
    theirs = torch.nn.utils.rnn
    arrays = sequences(lengths)
    a, b = [tg.tensor(x) for x in arrays], [torch.tensor(x) for x in arrays]
    for side in ("right", "left"):
        mine, other = (m.pad_sequence(x, batch_first, 7.0, side) for m, x in ((rnn, a), (theirs, b)))
        assert np.array_equal(mine.numpy(), other.numpy())
    mine, other = rnn.pack_sequence(a, enforce_sorted=False), theirs.pack_sequence(b, enforce_sorted=False)
    for x, y in zip(mine, other, strict=True):
        assert (x is None) == (y is None)
        assert x is None or np.array_equal(x.numpy(), y.numpy())
    for total in (None, 8):
        mine_back, lengths_back = rnn.pad_packed_sequence(mine, batch_first, -1.0, total)
        other_back, other_lengths = theirs.pad_packed_sequence(other, batch_first, -1.0, total)
        assert np.array_equal(mine_back.numpy(), other_back.numpy())
        assert lengths_back.tolist() == other_lengths.tolist() == lengths
    for x, y in zip(rnn.unpack_sequence(mine), arrays, strict=True):
        assert np.array_equal(x.numpy(), y)
    padded = rnn.pad_sequence(a, batch_first)
    again = rnn.pack_padded_sequence(padded, tg.tensor(lengths), batch_first, enforce_sorted=False)
    assert np.array_equal(again.data.numpy(), mine.data.numpy())
    assert [x.tolist() for x in rnn.unpad_sequence(padded, tg.tensor(lengths), batch_first)] == [x.tolist() for x in a]


@pytest.mark.parametrize("text", ["RNN(4, 3)", "RNN(4, 3, 2, 'relu', bidirectional=True)", "LSTM(4, 3, 2, bidirectional=True)",
                                  "GRU(4, 3, 2)",
                                  "GRU(4, 3, bidirectional=True, bias=False)", "LSTM(4, 5, 2, proj_size=3, bidirectional=True)"])
@pytest.mark.parametrize("lengths", LENGTHS)
@pytest.mark.parametrize("given", [True, False])
def test_layers_over_packed_sequences(text, lengths, given):
    torch = pytest.importorskip("torch")
    torch.manual_seed(0)
    theirs, ours = eval(text, vars(torch.nn)).double(), eval(text, vars(nn)).double()
    ours.load_state_dict({k: v.numpy() for k, v in theirs.state_dict().items()})
    arrays, rng, inputs, outputs = sequences(lengths), np.random.default_rng(1), [], []
    widths = [ours.proj_size or 3] + ([5 if ours.proj_size else 3] if "LSTM" in text else [])
    states = [rng.normal(size=(ours.num_layers * (1 + ours.bidirectional), len(lengths), w)) for w in widths]
    for layer, module, make in ((ours, rnn, tg.tensor), (theirs, torch.nn.utils.rnn, torch.tensor)):
        leaves = [make(a).requires_grad_() for a in (*arrays, *states)]
        packed = module.pack_sequence(leaves[:len(arrays)], enforce_sorted=False)
        start = leaves[len(arrays):]
        out, last = layer(packed, (tuple(start) if len(start) > 1 else start[0]) if given else None)
        assert type(out) is module.PackedSequence
        results = [out.data, *(last if isinstance(last, tuple) else (last,))]
        sum(((i + 1) * (r * r)).sum() for i, r in enumerate(results)).backward()
        inputs.append([*leaves[:len(leaves) if given else len(arrays)], *layer.parameters()])
        outputs.append(results)
    for a, b in zip(*outputs, strict=True):
        assert a.shape == tuple(b.shape)
        assert np.allclose(a.detach().numpy(), b.detach().numpy(), rtol=1e-9, atol=1e-12)
    for a, b in zip(*inputs, strict=True):
        assert np.allclose(a.grad.numpy(), b.grad.numpy(), rtol=1e-8, atol=1e-11)


def test_conversions():
    packed = rnn.pack_sequence([tg.ones(3, 2), tg.ones(2, 2)])
    assert packed.double().data.dtype is tg.float64
    assert packed.half().float().data.dtype is tg.float32
    assert packed.cpu().batch_sizes.tolist() == [2, 2, 1]
    assert not packed.is_cuda


@pytest.mark.parametrize(("call", "message"), [
    (lambda: rnn.pack_padded_sequence(tg.ones(5, 2, 3), [3, 5]), r"lengths must not grow, they are \[3, 5\]"),
    (lambda: rnn.pack_padded_sequence(tg.ones(5, 2, 3), [6, 5]), "lengths must be from 1 to 5, the steps of input, they are 5 to 6"),
    (lambda: rnn.pack_padded_sequence(tg.ones(5, 2, 3), [5, 0]), "they are 0 to 5"),
    (lambda: rnn.pack_padded_sequence(tg.ones(5, 2, 3), [5]), r"2 sequences in input of shape \(5, 2, 3\) but 1 lengths"),
    (lambda: rnn.pack_sequence([tg.ones(1, 2), tg.ones(2, 2)]), "lengths must not grow"),
    (lambda: rnn.pad_sequence([tg.ones(1, 2), tg.ones(2, 3)]), r"shapes \(1, 2\) and \(2, 3\) differ in more than their length"),
    (lambda: rnn.pad_sequence([]), "expected at least one sequence"),
    (lambda: rnn.pad_sequence([tg.ones(1)], padding_side="up"), "padding_side"),
    (lambda: rnn.pad_packed_sequence(rnn.pack_sequence([tg.ones(3, 2)]), total_length=2), "total_length is 2, the longest sequence has 3"),
    (lambda: rnn.PackedSequence(tg.ones(3), [3]), "batch_sizes must be a Tensor"),
    (lambda: nn.GRU(3, 4)(rnn.pack_sequence([tg.ones(3, 2)])), "GRU: input has 2 features")])
def test_refusals(call, message):
    with pytest.raises((RuntimeError, ValueError, TypeError), match=message):
        call()
