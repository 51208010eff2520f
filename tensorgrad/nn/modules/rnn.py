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
from .module import Module


class _Recurrent(Module):
    """Layers of recurrent cells, each over the whole sequence, in one direction or both.

    Input (T, N, input_size), (N, T, input_size) with `batch_first`, or (T, input_size); output the same with hidden_size (twice with
    `bidirectional`) in place of input_size. States are (num_layers * directions, N, hidden_size), zero where none are given.
    """

    mode: str
    proj_size = 0

    def _build(self, input_size: int, hidden_size: int, num_layers: int, bias: bool, batch_first: bool, dropout: float,
               bidirectional: bool, device: Any, dtype: Any) -> None:
        name = type(self).__name__
        if isinstance(dropout, bool) or not 0 <= dropout <= 1:
            raise ValueError(f"{name}: dropout must be a probability from 0 to 1, got {dropout!r}")
        if dropout > 0 and num_layers == 1:
            warnings.warn(f"{name}: dropout comes after all layers but the last, and there is one layer", stacklevel=4)
        for what, value in (("input_size", input_size), ("hidden_size", hidden_size), ("num_layers", num_layers)):
            if value <= 0:
                raise ValueError(f"{name}: {what} must be greater than zero, got {value}")
        self.input_size, self.hidden_size, self.num_layers, self.bias = input_size, hidden_size, num_layers, bias
        self.batch_first, self.dropout, self.bidirectional = batch_first, float(dropout), bidirectional
        width = GATES[self.mode] * hidden_size
        for layer in range(num_layers):
            for suffix in self._suffixes(layer):
                features = input_size if layer == 0 else hidden_size * (2 if bidirectional else 1)
                shapes = {"weight_ih": (width, features), "weight_hh": (width, hidden_size), "bias_ih": (width,), "bias_hh": (width,)}
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

    def extra_repr(self) -> str:
        shown = [f"{self.input_size}, {self.hidden_size}"]
        for name, default in (("num_layers", 1), ("bias", True), ("batch_first", False), ("dropout", 0), ("bidirectional", False)):
            if getattr(self, name) != default:
                shown.append(f"{name}={getattr(self, name)}")
        return ", ".join(shown)

    def _run(self, input: Tensor, states: tuple[Tensor | None, Tensor | None]) -> tuple[Tensor, Tensor, Tensor | None]:
        """(output, last states, last cells) of all layers."""
        name = type(self).__name__
        if input.ndim not in (2, 3):
            raise ValueError(f"{name}: input must have 2 or 3 dimensions, its shape is {tuple(input.shape)}")
        if input.shape[-1] != self.input_size:
            raise RuntimeError(f"{name}: input has {input.shape[-1]} features (dim {input.ndim - 1} of {tuple(input.shape)}), expected "
                               f"{self.input_size}")
        batched = input.ndim == 3
        x = (input.transpose(0, 1) if self.batch_first else input) if batched else input.unsqueeze(1)  # (T, N, features)
        count, rows = self.num_layers * (2 if self.bidirectional else 1), x.shape[1]
        starts = [self._start(s, (count, rows, self.hidden_size), x, batched) for s in states]
        last: list[Tensor] = []
        cells: list[Tensor] = []
        for layer in range(self.num_layers):
            outputs = []
            for direction, suffix in enumerate(self._suffixes(layer)):
                at = len(last)
                gates = F.linear(x, getattr(self, f"weight_ih_{suffix}"), getattr(self, f"bias_ih_{suffix}") if self.bias else None)
                out, *cell = fn.recurrence(gates, starts[0][at], starts[1][at] if self.mode == "lstm" else None,
                                           getattr(self, f"weight_hh_{suffix}"),
                                           getattr(self, f"bias_hh_{suffix}") if self.bias else None, self.mode, bool(direction))
                outputs.append(out)
                last.append(out[0 if direction else -1])
                cells += cell
            x = fn.cat(outputs, 2) if len(outputs) > 1 else outputs[0]
            if self.dropout and layer < self.num_layers - 1:
                x = F.dropout(x, self.dropout, self.training)
        h, c = fn.stack(last), fn.stack(cells) if cells else None
        if not batched:
            return x.squeeze(1), h.squeeze(1), None if c is None else c.squeeze(1)
        return x.transpose(0, 1) if self.batch_first else x, h, c

    def _start(self, state: Tensor | None, shape: tuple[int, int, int], x: Tensor, batched: bool) -> Tensor:
        if state is None:
            return x.new_zeros(shape)
        state = state if batched else state.unsqueeze(1)
        if tuple(state.shape) != shape:
            raise RuntimeError(f"{type(self).__name__}: a state has shape {tuple(state.shape)}, expected {shape}")
        return state

    def forward(self, input: Tensor, hx: Any = None) -> Any:
        out, h, _ = self._run(input, (hx, None))
        return out, h


class RNN(_Recurrent):
    """h = tanh(W_ih x + b_ih + W_hh h + b_hh), or relu; returns the output and the last states. Elman, 1990."""

    def __init__(self, input_size: int, hidden_size: int, num_layers: int = 1, nonlinearity: str = "tanh", bias: bool = True,
                 batch_first: bool = False, dropout: float = 0.0, bidirectional: bool = False, device: Any = None, dtype: Any = None):
        super().__init__()
        self.nonlinearity, self.mode = nonlinearity, _elman("RNN", nonlinearity)
        self._build(input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional, device, dtype)


class LSTM(_Recurrent):
    """Input, forget and output gates around a cell c; returns the output and the last (h, c). Hochreiter and Schmidhuber, 1997.

    PyTorch's `proj_size` is not here.
    """

    mode = "lstm"

    def __init__(self, input_size: int, hidden_size: int, num_layers: int = 1, bias: bool = True, batch_first: bool = False,
                 dropout: float = 0.0, bidirectional: bool = False, proj_size: int = 0, device: Any = None, dtype: Any = None):
        super().__init__()
        if proj_size:
            raise NotImplementedError(f"LSTM: proj_size {proj_size} is not supported; put a Linear behind the layer")
        self._build(input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional, device, dtype)

    def forward(self, input: Tensor, hx: Any = None) -> Any:
        out, h, c = self._run(input, (None, None) if hx is None else hx)
        return out, (h, c)


class GRU(_Recurrent):
    """Reset and update gates around the state; returns the output and the last states. Cho et al., 2014."""

    mode = "gru"

    def __init__(self, input_size: int, hidden_size: int, num_layers: int = 1, bias: bool = True, batch_first: bool = False,
                 dropout: float = 0.0, bidirectional: bool = False, device: Any = None, dtype: Any = None):
        super().__init__()
        self._build(input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional, device, dtype)


class _Cell(Module):
    """One step of one layer: input (N, input_size) or (input_size,), states (N, hidden_size) or (hidden_size,)."""

    mode: str

    def _build(self, input_size: int, hidden_size: int, bias: bool, device: Any, dtype: Any) -> None:
        self.input_size, self.hidden_size, self.bias = input_size, hidden_size, bias
        width, make = GATES[self.mode] * hidden_size, {"device": device, "dtype": dtype}
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
        out, *cell = fn.recurrence(gates, h, c if self.mode == "lstm" else None, self.weight_hh, self.bias_hh, self.mode)
        return [t if batched else t.squeeze(0) for t in (out[0], *cell)]

    def forward(self, input: Tensor, hx: Any = None) -> Any:
        return self._step(input, (hx, None))[0]


class RNNCell(_Cell):
    """One step of RNN."""

    def __init__(self, input_size: int, hidden_size: int, bias: bool = True, nonlinearity: str = "tanh", device: Any = None,
                 dtype: Any = None):
        super().__init__()
        self.nonlinearity, self.mode = nonlinearity, _elman("RNNCell", nonlinearity)
        self._build(input_size, hidden_size, bias, device, dtype)


class LSTMCell(_Cell):
    """One step of LSTM; returns (h, c)."""

    mode = "lstm"

    def __init__(self, input_size: int, hidden_size: int, bias: bool = True, device: Any = None, dtype: Any = None):
        super().__init__()
        self._build(input_size, hidden_size, bias, device, dtype)

    def forward(self, input: Tensor, hx: Any = None) -> Any:
        h, c = self._step(input, (None, None) if hx is None else hx)
        return h, c


class GRUCell(_Cell):
    """One step of GRU."""

    mode = "gru"

    def __init__(self, input_size: int, hidden_size: int, bias: bool = True, device: Any = None, dtype: Any = None):
        super().__init__()
        self._build(input_size, hidden_size, bias, device, dtype)


def _elman(name: str, nonlinearity: str) -> str:
    if nonlinearity not in ("tanh", "relu"):
        raise ValueError(f"{name}: nonlinearity must be 'tanh' or 'relu', got {nonlinearity!r}")
    return f"rnn_{nonlinearity}"
