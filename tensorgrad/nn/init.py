"""Initial values of parameters, in place and unrecorded: `nn.init.kaiming_normal_(conv.weight)`.

The drawing functions take `generator=`, a `tensorgrad.Generator`; without one the default generator is used.
"""
from __future__ import annotations

import contextlib
import contextvars
import functools
import math
import warnings
from collections.abc import Callable, Iterator
from typing import Any, TypeVar, cast

import numpy as np

from .. import missing
from ..creation import from_numpy
from ..dtypes import float32, float64
from ..grad_mode import no_grad
from ..random import Generator
from ..tensor import Tensor

_GAINS = {"tanh": 5 / 3, "relu": math.sqrt(2), "selu": 3 / 4}
_GAINS |= dict.fromkeys(("linear", "sigmoid", *(f"conv{kind}{n}d" for kind in ("", "_transpose") for n in (1, 2, 3))), 1.0)


def calculate_gain(nonlinearity: str, param: float | None = None) -> float:
    """The factor by which a layer before this nonlinearity must scale its weights to keep the variance; `param` is leaky_relu's slope."""
    if nonlinearity == "leaky_relu":
        slope = 0.01 if param is None else param
        if isinstance(slope, bool) or not isinstance(slope, (int, float)):
            raise ValueError(f"calculate_gain: negative_slope must be a number, not {param!r}")
        return math.sqrt(2 / (1 + slope**2))
    if nonlinearity not in _GAINS:
        raise ValueError(f"calculate_gain: there is no nonlinearity {nonlinearity!r}; there are leaky_relu, {', '.join(sorted(_GAINS))}")
    return _GAINS[nonlinearity]


def _fans(tensor: Tensor, name: str) -> tuple[int, int]:
    """(inputs, outputs) that meet in one unit of a weight of shape (out, in, *kernel)."""
    shape = tensor.array.shape
    if len(shape) < 2:
        raise ValueError(f"{name}: a weight needs at least 2 dimensions to have a fan, this one has shape {tuple(shape)}")
    receptive = math.prod(shape[2:])
    return shape[1] * receptive, shape[0] * receptive


def _calculate_fan_in_and_fan_out(tensor: Tensor) -> tuple[int, int]:
    return _fans(tensor, "calculate_fan")


def _fan(tensor: Tensor, mode: str, name: str) -> int:
    if mode.lower() not in ("fan_in", "fan_out"):
        raise ValueError(f"{name}: mode must be 'fan_in' or 'fan_out', not {mode!r}")
    return _fans(tensor, name)[mode.lower() == "fan_out"]


_F = TypeVar("_F", bound=Callable[..., Tensor])
_skipping = contextvars.ContextVar("skipping", default=False)


@contextlib.contextmanager
def skipped() -> Iterator[None]:
    """Within it nothing here changes a tensor: modules are built without drawing weights, to be loaded into."""
    token = _skipping.set(True)
    try:
        yield
    finally:
        _skipping.reset(token)


def _draws(function: _F) -> _F:
    @functools.wraps(function)
    def draw(tensor: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        return tensor if _skipping.get() else function(tensor, *args, **kwargs)

    return cast("_F", draw)


@_draws
@no_grad()
def uniform_(tensor: Tensor, a: float = 0.0, b: float = 1.0, generator: Generator | None = None) -> Tensor:
    """Uniform in [a, b)."""
    return tensor.uniform_(a, b, generator=generator)


@_draws
@no_grad()
def normal_(tensor: Tensor, mean: float = 0.0, std: float = 1.0, generator: Generator | None = None) -> Tensor:
    """Normal with this mean and standard deviation."""
    return tensor.normal_(mean, std, generator=generator)


@_draws
@no_grad()
def trunc_normal_(tensor: Tensor, mean: float = 0.0, std: float = 1.0, a: float = -2.0, b: float = 2.0,
                  generator: Generator | None = None) -> Tensor:
    """Normal, cut off outside [a, b]: a uniform draw, through the inverse of the distribution function tabulated between the ends."""
    if a >= b or std <= 0:
        raise ValueError(f"trunc_normal_: needs a < b and a positive std, got a={a}, b={b}, std={std}")
    low, high = (a - mean) / std, (b - mean) / std
    side = -1.0 if low > 0 else 1.0  # in the upper tail use the lower one: probabilities near 1 have few digits
    ends = sorted(min(max(side * z, -12.0), 12.0) for z in (low, high))
    z = np.linspace(ends[0], ends[1], 8193)
    below = np.array([math.erfc(-v / math.sqrt(2)) for v in z])
    u = uniform_(tensor.new_empty(tensor.shape, dtype=float64), generator=generator)
    draw = below[0] + (below[-1] - below[0]) * u.device.backend.to_numpy(u.array)
    return _assign(tensor, np.clip(mean + std * side * np.interp(draw, below, z), a, b))


@_draws
@no_grad()
def constant_(tensor: Tensor, val: float) -> Tensor:
    """All elements `val`."""
    return tensor.fill_(val)


def ones_(tensor: Tensor) -> Tensor:
    """All elements 1."""
    return constant_(tensor, 1.0)


def zeros_(tensor: Tensor) -> Tensor:
    """All elements 0."""
    return constant_(tensor, 0.0)


def _assign(tensor: Tensor, values: np.ndarray) -> Tensor:
    """Overwrite with computed values."""
    return tensor.copy_(from_numpy(np.ascontiguousarray(values)).to(tensor.device))


@_draws
@no_grad()
def eye_(tensor: Tensor) -> Tensor:
    """The identity matrix."""
    if tensor.ndim != 2:
        raise ValueError(f"eye_: needs a tensor of 2 dimensions, this one has shape {tuple(tensor.shape)}")
    return _assign(tensor, np.eye(*tensor.shape, dtype=np.float32))


@_draws
@no_grad()
def dirac_(tensor: Tensor, groups: int = 1) -> Tensor:
    """The convolution weight that hands each input channel through, within each group."""
    shape = tuple(tensor.shape)
    if len(shape) not in (3, 4, 5):
        raise ValueError(f"dirac_: needs a weight of 3, 4 or 5 dimensions, this one has shape {shape}")
    if shape[0] % groups:
        raise ValueError(f"dirac_: dim 0 of {shape} must be divisible by groups={groups}")
    values = np.zeros(shape, np.float32)
    per_group = shape[0] // groups
    for g in range(groups):
        for d in range(min(per_group, shape[1])):
            values[(g * per_group + d, d, *[n // 2 for n in shape[2:]])] = 1
    return _assign(tensor, values)


def xavier_uniform_(tensor: Tensor, gain: float = 1.0, generator: Generator | None = None) -> Tensor:
    """Uniform in +-gain * sqrt(6 / (fan_in + fan_out)). Glorot and Bengio, AISTATS 2010."""
    bound = gain * math.sqrt(6 / sum(_fans(tensor, "xavier_uniform_")))
    return uniform_(tensor, -bound, bound, generator)


def xavier_normal_(tensor: Tensor, gain: float = 1.0, generator: Generator | None = None) -> Tensor:
    """Normal with standard deviation gain * sqrt(2 / (fan_in + fan_out)). Glorot and Bengio, AISTATS 2010."""
    return normal_(tensor, 0.0, gain * math.sqrt(2 / sum(_fans(tensor, "xavier_normal_"))), generator)


def kaiming_uniform_(tensor: Tensor, a: float = 0, mode: str = "fan_in", nonlinearity: str = "leaky_relu",
                     generator: Generator | None = None) -> Tensor:
    """Uniform in +-gain * sqrt(3 / fan). He et al., ICCV 2015. `a` is leaky_relu's slope."""
    if tensor.numel() == 0:
        return tensor
    bound = calculate_gain(nonlinearity, a) * math.sqrt(3 / _fan(tensor, mode, "kaiming_uniform_"))
    return uniform_(tensor, -bound, bound, generator)


def kaiming_normal_(tensor: Tensor, a: float = 0, mode: str = "fan_in", nonlinearity: str = "leaky_relu",
                    generator: Generator | None = None) -> Tensor:
    """Normal with standard deviation gain / sqrt(fan). He et al., ICCV 2015. `a` is leaky_relu's slope."""
    if tensor.numel() == 0:
        return tensor
    return normal_(tensor, 0.0, calculate_gain(nonlinearity, a) / math.sqrt(_fan(tensor, mode, "kaiming_normal_")), generator)


def fan_in_uniform_(bias: Tensor | None, weight: Tensor, generator: Generator | None = None) -> None:
    """The bias of a linear or convolution layer: uniform in +-1/sqrt(fan_in) of its weight."""
    if bias is not None:
        fan_in = _fans(weight, "fan_in_uniform_")[0]
        bound = 1 / math.sqrt(fan_in) if fan_in > 0 else 0.0
        uniform_(bias, -bound, bound, generator)


@_draws
@no_grad()
def orthogonal_(tensor: Tensor, gain: float = 1, generator: Generator | None = None) -> Tensor:
    """A (semi-)orthogonal matrix, all dimensions but the first taken as one. Saxe et al., ICLR 2014."""
    if tensor.ndim < 2:
        raise ValueError(f"orthogonal_: needs at least 2 dimensions, this tensor has shape {tuple(tensor.shape)}")
    if tensor.numel() == 0:
        return tensor
    rows = tensor.shape[0]
    cols = tensor.numel() // rows
    drawn = normal_(tensor.new_empty((rows, cols), dtype=float32), generator=generator)
    a = drawn.device.backend.to_numpy(drawn.array).astype(np.float64)
    q, r = np.linalg.qr(a.T if rows < cols else a)
    q = q * np.sign(np.diag(r))  # so that the distribution is uniform
    return _assign(tensor, gain * (q.T if rows < cols else q).reshape(tensor.shape))


@_draws
@no_grad()
def sparse_(tensor: Tensor, sparsity: float, std: float = 0.01, generator: Generator | None = None) -> Tensor:
    """Normal with standard deviation `std`, a fraction `sparsity` of each column set to zero. Martens, ICML 2010."""
    if tensor.ndim != 2:
        raise ValueError(f"sparse_: needs a tensor of 2 dimensions, this one has shape {tuple(tensor.shape)}")
    rows, cols = tensor.shape
    zeros = math.ceil(sparsity * rows)
    normal_(tensor, 0, std, generator)
    draw: Any = uniform_(tensor.new_empty((rows, cols), dtype=float32), generator=generator)
    order = np.argsort(draw.device.backend.to_numpy(draw.array), axis=0)
    keep = np.ones((rows, cols), np.float32)
    np.put_along_axis(keep, order[:zeros], 0, axis=0)
    return tensor.mul_(from_numpy(keep).to(tensor.device))


def _without_underscore(name: str) -> Callable[..., Tensor]:
    """PyTorch's former name of one of the functions above."""
    function = globals()[name]

    @functools.wraps(function)
    def former(*args: Any, **kwargs: Any) -> Tensor:
        warnings.warn(f"nn.init.{name[:-1]} is the former name of nn.init.{name}", FutureWarning, stacklevel=2)
        return function(*args, **kwargs)

    return former


uniform, normal, constant, eye, dirac, xavier_uniform, xavier_normal, kaiming_uniform, kaiming_normal, orthogonal, sparse = map(
    _without_underscore, ("uniform_", "normal_", "constant_", "eye_", "dirac_", "xavier_uniform_", "xavier_normal_", "kaiming_uniform_",
                          "kaiming_normal_", "orthogonal_", "sparse_"))


__getattr__ = missing.of(__name__)
