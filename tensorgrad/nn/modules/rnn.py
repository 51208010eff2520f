"""Recurrent layers over sequences, and their single cells."""
from __future__ import annotations

import math
import warnings
from typing import Any

from ...creation import empty
from ...op import fn
from ...ops.recurrence import GATES
from ...tensor import Tensor
from .. import functional as F
from .. import init
from ..parameter import Parameter
from ..utils.rnn import PackedSequence
from .module import Module


class RNNBase(Module):
    """Layers of recurrent cells, each over the whole sequence, in one direction or both; `mode` is RNN_TANH, RNN_RELU, LSTM or GRU.

    Input (T, N, input_size), (N, T, input_size) with `batch_first`, or (T, input_size); output the same with hidden_size (twice with
    `bidirectional`) in place of input_size. States are (num_layers * directions, N, hidden_size), zero where none are given. A
    `PackedSequence` gives one back; its states are in the order of the sequences before they were sorted.
    """

    def __init__(self, mode: str, input_size: int, hidden_size: int, num_layers: int = 1, bias: bool = True, batch_first: bool = False,
                 dropout: float = 0.0, bidirectional: bool = False, proj_size: int = 0, device: Any = None, dtype: Any = None):
        super().__init__()
        name, cell = type(self).__name__, mode.lower()
        if cell not in GATES:
            raise ValueError(f"{name}: mode must be one of {', '.join(m.upper() for m in GATES)}, not {mode!r}")
        if isinstance(dropout, bool) or not 0 <= dropout <= 1:
            raise ValueError(f"{name}: dropout must be a probability from 0 to 1, got {dropout!r}")
        if dropout > 0 and num_layers == 1:
            warnings.warn(f"{name}: dropout comes after all layers but the last, and there is one layer", stacklevel=4)
        for what, value in (("input_size", input_size), ("hidden_size", hidden_size), ("num_layers", num_layers)):
            if value <= 0:
                raise ValueError(f"{name}: {what} must be greater than zero, got {value}")
        if not 0 <= proj_size < hidden_size or (proj_size and mode != "LSTM"):
            raise ValueError(f"{name}: proj_size must be 0 or, for an LSTM, below hidden_size {hidden_size}, got {proj_size}")
        self.mode, self.input_size, self.hidden_size, self.num_layers, self.bias = mode, input_size, hidden_size, num_layers, bias
        self.batch_first, self.dropout, self.bidirectional, self.proj_size = batch_first, float(dropout), bidirectional, proj_size
        width, out = GATES[cell] * hidden_size, proj_size or hidden_size
        for layer in range(num_layers):
            for suffix in self._suffixes(layer):
                features = input_size if layer == 0 else out * (2 if bidirectional else 1)
                shapes = {"weight_ih": (width, features), "weight_hh": (width, out), "bias_ih": (width,), "bias_hh": (width,)}
                if proj_size:
                    shapes["weight_hr"] = (proj_size, hidden_size)
                for part, shape in shapes.items():
                    if bias or part.startswith("weight"):
                        self.register_parameter(f"{part}_{suffix}", Parameter(empty(*shape, device=device, dtype=dtype)))
        self.reset_parameters()

    def _suffixes(self, layer: int) -> list[str]:
        return [f"l{layer}", f"l{layer}_reverse"] if self.bidirectional else [f"l{layer}"]

    def reset_parameters(self) -> None:
        """Draw new parameters, uniform in +-1/sqrt(hidden_size)."""
        bound = 1 / math.sqrt(self.hidden_size)
        for p in self.parameters():
            init.uniform_(p, -bound, bound)

    def flatten_parameters(self) -> None:
        """Nothing to do: each weight is read where it lies."""

    @property
    def all_weights(self) -> list[list[Parameter]]:
        """The parameters of each layer and direction."""
        ends = [f"_{suffix}" for layer in range(self.num_layers) for suffix in self._suffixes(layer)]
        return [[p for name, p in self.named_parameters() if name.endswith(end)] for end in ends]

    def extra_repr(self) -> str:
        shown = [f"{self.input_size}, {self.hidden_size}"]
        for name, default in (("proj_size", 0), ("num_layers", 1), ("bias", True), ("batch_first", False), ("dropout", 0),
                              ("bidirectional", False)):
            if getattr(self, name) != default:
                shown.append(f"{name}={getattr(self, name)}")
        return ", ".join(shown)

    def _run(self, input: Any, states: tuple[Tensor | None, Tensor | None]) -> tuple[Any, Tensor, Tensor | None]:
        """(output, last states, last cells) of all layers."""
        packed = input if isinstance(input, PackedSequence) else None
        self._check(input.data if packed is not None else input, packed is not None)
        batched, order = packed is not None or input.ndim == 3, None
        if packed is not None:
            runs, order = packed._runs(), packed.sorted_indices
        else:
            runs = [(input.transpose(0, 1) if self.batch_first else input) if batched else input.unsqueeze(1)]  # (T, N, features)
        count, rows = self.num_layers * (2 if self.bidirectional else 1), runs[0].shape[1]
        starts = [self._start(s, (count, rows, width), runs[0], batched, order)
                  for s, width in zip(states, (self.proj_size or self.hidden_size, self.hidden_size), strict=True)]
        last: list[Tensor] = []
        cells: list[Tensor] = []
        for layer in range(self.num_layers):
            ways = []
            for direction, suffix in enumerate(self._suffixes(layer)):
                at = len(last)
                out, h, c = self._over(runs, starts[0][at], starts[1][at] if self.mode == "LSTM" else None, suffix, bool(direction))
                ways.append(out)
                last.append(h)
                cells += [] if c is None else [c]
            runs = [fn.cat(list(both), 2) for both in zip(*ways, strict=True)] if len(ways) > 1 else ways[0]
            if self.dropout and layer < self.num_layers - 1:
                runs = [F.dropout(x, self.dropout, self.training) for x in runs]
        h, c = fn.stack(last), fn.stack(cells) if cells else None
        if packed is not None:
            return packed._with(runs), packed._unsorted(h), None if c is None else packed._unsorted(c)
        if not batched:
            return runs[0].squeeze(1), h.squeeze(1), None if c is None else c.squeeze(1)
        return runs[0].transpose(0, 1) if self.batch_first else runs[0], h, c

    def _over(self, runs: list[Tensor], h: Tensor, c: Tensor | None, suffix: str,
              reverse: bool) -> tuple[list[Tensor], Tensor, Tensor | None]:
        """One layer in one direction: (outputs, last state, last cell).

        `runs` are (steps, rows, features) one after another with ever fewer rows: the first ones of the run before, the others have
        ended. What a projection makes of h is multiplied by weight_hh next, so h itself goes on, with their product as its weight;
        a given state, which is projected already, is added to the gates of the step it belongs to.
        """
        own = {part: getattr(self, f"{part}_{suffix}", None) for part in ("weight_ih", "weight_hh", "bias_ih", "bias_hh", "weight_hr")}
        projection, weight = own["weight_hr"], own["weight_hh"]
        first = None
        if projection is not None:
            first, h, weight = F.linear(h, weight), h.new_zeros((h.shape[0], self.hidden_size)), weight @ projection
        outputs: list[Tensor] = []
        ended: tuple[list[Tensor], list[Tensor]] = ([], [])  # last states and cells, those of the shortest sequences first
        known = 0  # rows whose state is that of the run before
        state, cell = h, c
        for x in runs[::-1] if reverse else runs:
            rows = x.shape[1]
            gates = F.linear(x, own["weight_ih"], own["bias_ih"])
            if rows < known:
                for kept, s in zip(ended, (state, cell), strict=True):
                    kept += [] if s is None else [s[rows:]]
            if rows <= known or not known:
                state, cell = state[:rows], None if cell is None else cell[:rows]
            else:
                state, cell = fn.cat([state, h[known:rows]]), None if cell is None or c is None else fn.cat([cell, c[known:rows]])
            if first is not None and rows > known:
                start = F.pad(first[known:rows], (0, 0, known, 0)).unsqueeze(0)  # (1, rows, gates)
                gates = gates + F.pad(start, (0, 0, 0, 0, len(x) - 1, 0) if reverse else (0, 0, 0, 0, 0, len(x) - 1))
            out, *cells = fn.recurrence(gates, state, cell, weight, own["bias_hh"], self.mode.lower(), reverse)
            state, cell, known = out[0 if reverse else -1], cells[0] if cells else None, rows
            outputs.append(out)
        last = fn.cat([state, *ended[0][::-1]]) if ended[0] else state
        final = cell if cell is None or not ended[1] else fn.cat([cell, *ended[1][::-1]])
        if projection is not None:
            outputs, last = [F.linear(out, projection) for out in outputs], F.linear(last, projection)
        return outputs[::-1] if reverse else outputs, last, final

    def _check(self, input: Tensor, packed: bool) -> None:
        name = type(self).__name__
        if input.ndim not in (2, 3):
            raise ValueError(f"{name}: input must have 2 or 3 dimensions, its shape is {tuple(input.shape)}")
        if input.shape[-1] != self.input_size:
            raise RuntimeError(f"{name}: input has {input.shape[-1]} features (dim {input.ndim - 1} of {tuple(input.shape)}), expected "
                               f"{self.input_size}")

    def _start(self, state: Tensor | None, shape: tuple[int, int, int], x: Tensor, batched: bool, order: Tensor | None) -> Tensor:
        if state is None:
            return x.new_zeros(shape)
        state = state if batched else state.unsqueeze(1)
        if tuple(state.shape) != shape:
            raise RuntimeError(f"{type(self).__name__}: a state has shape {tuple(state.shape)}, expected {shape}")
        return state if order is None else state.index_select(1, order)

    def forward(self, input: Any, hx: Any = None) -> Any:
        if self.mode == "LSTM":
            out, h, c = self._run(input, (None, None) if hx is None else hx)
            return out, (h, c)
        out, h, _ = self._run(input, (hx, None))
        return out, h


class RNN(RNNBase):
    """h = tanh(W_ih x + b_ih + W_hh h + b_hh), or relu; returns the output and the last states. Elman, 1990."""

    def __init__(self, input_size: int, hidden_size: int, num_layers: int = 1, nonlinearity: str = "tanh", bias: bool = True,
                 batch_first: bool = False, dropout: float = 0.0, bidirectional: bool = False, device: Any = None, dtype: Any = None):
        super().__init__(_elman("RNN", nonlinearity), input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional, 0,
                         device, dtype)
        self.nonlinearity = nonlinearity


class LSTM(RNNBase):
    """Input, forget and output gates around a cell c; returns the output and the last (h, c). Hochreiter and Schmidhuber, 1997.

    With `proj_size` P the state is W_hr h of P numbers. Sak et al., arXiv:1402.1128.
    """

    def __init__(self, input_size: int, hidden_size: int, num_layers: int = 1, bias: bool = True, batch_first: bool = False,
                 dropout: float = 0.0, bidirectional: bool = False, proj_size: int = 0, device: Any = None, dtype: Any = None):
        super().__init__("LSTM", input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional, proj_size, device, dtype)


class GRU(RNNBase):
    """Reset and update gates around the state; returns the output and the last states. Cho et al., 2014."""

    def __init__(self, input_size: int, hidden_size: int, num_layers: int = 1, bias: bool = True, batch_first: bool = False,
                 dropout: float = 0.0, bidirectional: bool = False, device: Any = None, dtype: Any = None):
        super().__init__("GRU", input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional, 0, device, dtype)


class RNNCellBase(Module):
    """One step of one layer: input (N, input_size) or (input_size,), states (N, hidden_size) or (hidden_size,).

    `num_chunks` gates, each of hidden_size, come out of the weights.
    """

    mode: str

    def __init__(self, input_size: int, hidden_size: int, bias: bool, num_chunks: int, device: Any = None, dtype: Any = None):
        super().__init__()
        self.input_size, self.hidden_size, self.bias = input_size, hidden_size, bias
        width, make = num_chunks * hidden_size, {"device": device, "dtype": dtype}
        self.weight_ih = Parameter(empty(width, input_size, **make))
        self.weight_hh = Parameter(empty(width, hidden_size, **make))
        for name in ("bias_ih", "bias_hh"):
            self.register_parameter(name, Parameter(empty(width, **make)) if bias else None)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw new parameters, uniform in +-1/sqrt(hidden_size)."""
        bound = 1 / math.sqrt(self.hidden_size) if self.hidden_size > 0 else 0
        for p in self.parameters():
            init.uniform_(p, -bound, bound)

    def extra_repr(self) -> str:
        shown = f"{self.input_size}, {self.hidden_size}" + ("" if self.bias else ", bias=False")
        return shown if getattr(self, "nonlinearity", "tanh") == "tanh" else f"{shown}, nonlinearity={self.nonlinearity}"

    def _step(self, input: Tensor, states: tuple[Tensor | None, Tensor | None]) -> list[Tensor]:
        """The new state, and of an lstm the new cell."""
        name = type(self).__name__
        if input.ndim not in (1, 2) or any(s is not None and s.ndim != input.ndim for s in states):
            raise ValueError(f"{name}: input and states must all have 1 or all 2 dimensions, the input's shape is {tuple(input.shape)}")
        batched = input.ndim == 2
        x = input if batched else input.unsqueeze(0)
        zeros = x.new_zeros((x.shape[0], self.hidden_size))
        h, c = [zeros if s is None else s if batched else s.unsqueeze(0) for s in states]
        gates = F.linear(x, self.weight_ih, self.bias_ih).unsqueeze(0)  # (1, N, gates)
        out, *cell = fn.recurrence(gates, h, c if self.mode == "LSTM" else None, self.weight_hh, self.bias_hh, self.mode.lower())
        return [t if batched else t.squeeze(0) for t in (out[0], *cell)]

    def forward(self, input: Tensor, hx: Any = None) -> Any:
        return self._step(input, (hx, None))[0]


class RNNCell(RNNCellBase):
    """One step of RNN."""

    def __init__(self, input_size: int, hidden_size: int, bias: bool = True, nonlinearity: str = "tanh", device: Any = None,
                 dtype: Any = None):
        mode = _elman("RNNCell", nonlinearity)
        super().__init__(input_size, hidden_size, bias, 1, device, dtype)
        self.nonlinearity, self.mode = nonlinearity, mode


class LSTMCell(RNNCellBase):
    """One step of LSTM; returns (h, c)."""

    mode = "LSTM"

    def __init__(self, input_size: int, hidden_size: int, bias: bool = True, device: Any = None, dtype: Any = None):
        super().__init__(input_size, hidden_size, bias, 4, device, dtype)

    def forward(self, input: Tensor, hx: Any = None) -> Any:
        h, c = self._step(input, (None, None) if hx is None else hx)
        return h, c


class GRUCell(RNNCellBase):
    """One step of GRU."""

    mode = "GRU"

    def __init__(self, input_size: int, hidden_size: int, bias: bool = True, device: Any = None, dtype: Any = None):
        super().__init__(input_size, hidden_size, bias, 3, device, dtype)


def _elman(name: str, nonlinearity: str) -> str:
    if nonlinearity not in ("tanh", "relu"):
        raise ValueError(f"{name}: nonlinearity must be 'tanh' or 'relu', got {nonlinearity!r}")
    return f"RNN_{nonlinearity.upper()}"
