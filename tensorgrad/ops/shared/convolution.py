"""What the convolutions share: reading their options, checking shapes, and column matrices (im2col) in pieces."""
from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ...cases import Case, T
from ...dispatch import Kernel
from ...tensor import Tensor
from ...workspace import get_workspace_limit
from .windows import channels_last

Ints = int | Sequence[int]
TMA_CHANNELS = 32  # half of what a tile of v04_tma_im2col holds


def several(op: str, name: str, value: Ints, count: int, least: int) -> tuple[int, ...]:
    """An option as `count` ints of at least `least`; one int stands for all."""
    values = tuple(value) if isinstance(value, (tuple, list)) else (value,)
    if len(values) == 1:
        values *= count
    if len(values) != count or any(isinstance(v, bool) or not hasattr(v, "__index__") for v in values):
        raise TypeError(f"{op}: {name} must be an int or {count} ints, got {value!r}")
    values = tuple(v.__index__() for v in values)
    if min(values) < least:
        raise ValueError(f"{op}: {name} must be at least {least}, got {value!r}")
    return values


@dataclass(frozen=True)
class Geometry:
    """Sizes of one 2-D convolution. Padding: rows above, below, columns left, right."""

    n: int
    cin: int
    h: int
    w: int
    cout: int
    kh: int
    kw: int
    sh: int
    sw: int
    top: int
    bottom: int
    left: int
    right: int
    dh: int
    dw: int
    groups: int

    @property
    def oh(self) -> int:
        """Rows of the output."""
        return (self.h + self.top + self.bottom - self.dh * (self.kh - 1) - 1) // self.sh + 1

    @property
    def ow(self) -> int:
        """Columns of the output."""
        return (self.w + self.left + self.right - self.dw * (self.kw - 1) - 1) // self.sw + 1

    @property
    def depthwise(self) -> bool:
        """Whether each group has one channel, and so few results of it that they make no matrix product."""
        return self.groups > 1 and self.cin == self.groups and self.cout <= 16 * self.groups

    @property
    def options(self) -> tuple[int, ...]:
        """What kernels take after the arrays: strides, padding above and left, dilations, groups."""
        return self.sh, self.sw, self.top, self.left, self.dh, self.dw, self.groups

    @property
    def input_shape(self) -> tuple[int, ...]:
        """(N, C_in, H, W)."""
        return self.n, self.cin, self.h, self.w

    @property
    def weight_shape(self) -> tuple[int, ...]:
        """(C_out, C_in / groups, kH, kW)."""
        return self.cout, self.cin // self.groups, self.kh, self.kw

    @property
    def output_shape(self) -> tuple[int, ...]:
        """(N, C_out, H_out, W_out)."""
        return self.n, self.cout, self.oh, self.ow

    def cost(self, itemsize: int = 4) -> tuple[float, float]:
        """(FLOPs, least bytes) of the convolution or either of its gradients."""
        n, cout, oh, ow = self.output_shape
        per_output = (self.cin // self.groups) * self.kh * self.kw
        elements = self.n * self.cin * self.h * self.w + cout * per_output + n * cout * oh * ow
        return 2.0 * n * cout * oh * ow * per_output, float(itemsize * elements)


def padding_of(op: str, padding: Any, kernel: tuple[int, ...], stride: tuple[int, ...], dilation: tuple[int, ...]) -> list[tuple[int, int]]:
    """(before, after) for each spatial dimension, from ints, pairs, 'valid' or 'same'; an odd 'same' pads more after, as in PyTorch."""
    if isinstance(padding, str):
        if padding == "valid":
            return [(0, 0)] * len(kernel)
        if padding != "same":
            raise ValueError(f"{op}: padding must be ints, 'same' or 'valid', got {padding!r}")
        if any(s != 1 for s in stride):
            raise ValueError(f"{op}: padding='same' needs stride 1, got stride {stride}; give the padding in numbers")
        totals = [d * (k - 1) for k, d in zip(kernel, dilation, strict=True)]
        return [(t // 2, t - t // 2) for t in totals]
    if isinstance(padding, (tuple, list)) and len(padding) == len(kernel) and all(isinstance(p, (tuple, list)) for p in padding):
        return [(several(op, "padding", p[:1], 1, 0)[0], p[1]) for p in padding]  # less than nothing after: the last pixels go unused
    return [(p, p) for p in several(op, "padding", padding, len(kernel), 0)]


def check_channels(op: str, x: tuple[int, ...], w: tuple[int, ...], groups: int) -> None:
    """Refuse channels and groups that do not fit; `x` is (N, C, ...) or (C, ...), as given."""
    at = 1 if len(x) == len(w) else 0
    if not hasattr(groups, "__index__") or isinstance(groups, bool) or groups < 1:
        raise ValueError(f"{op}: groups must be an int of at least 1, got {groups!r}")
    if w[0] % groups or w[0] == 0:
        raise RuntimeError(f"{op}: weight has {w[0]} output channels (dim 0 of {tuple(w)}), which {groups} groups do not divide evenly")
    if x[at] != w[1] * groups:
        of = f" x {groups} groups" if groups > 1 else ""
        expects = f"{w[1] * groups} (dim 1 of {tuple(w)}{of})"
        raise RuntimeError(f"{op}: input has {x[at]} channels (dim {at} of {tuple(x)}) but weight expects {expects}")


def check_operands(op: str, spatial: int, input: Tensor, weight: Tensor, bias: Tensor | None) -> None:
    """Refuse wrong numbers of dimensions, mixed dtypes and mixed devices."""
    x, w = input.array, weight.array
    if x.ndim not in (spatial + 1, spatial + 2):
        names = ("C, L", "C, H, W", "C, D, H, W")[spatial - 1]
        raise RuntimeError(f"{op}: input must be (N, {names}) or ({names}), but its shape is {tuple(x.shape)}")
    if w.ndim != spatial + 2:
        raise RuntimeError(f"{op}: weight must have {spatial + 2} dimensions, but its shape is {tuple(w.shape)} (input {tuple(x.shape)})")
    for name, t in (("weight", weight), ("bias", bias)):
        if t is None:
            continue
        if t.array.dtype != x.dtype:
            raise RuntimeError(f"{op}: input is {input.dtype.name} but {name} is {t.dtype.name}; convert one with .to(...)")
        if t.device is not input.device:
            raise RuntimeError(f"{op}: input is on {input.device} but {name} is on {t.device}; move one with .to(...)")
    if not input.dtype.is_floating_point:
        raise RuntimeError(f"{op}: input must be floating, got {input.dtype.name}")


def check_bias(op: str, bias: Tensor | None, w: tuple[int, ...], outputs: int) -> None:
    """Refuse a bias that is not one number per output channel."""
    if bias is not None and bias.array.shape != (outputs,):
        raise RuntimeError(f"{op}: bias has shape {tuple(bias.array.shape)} but weight {tuple(w)} expects ({outputs},)")


def workspace(xp: Any, elements: int, dtype: Any) -> Any:
    """Scratch for a kernel: the elements it would like, or as many as the limit allows. Half precision computes in float32."""
    kind = dtype if dtype.itemsize >= 4 else np.dtype(np.float32)
    return xp.empty(min(elements, get_workspace_limit() // kind.itemsize), kind)


def kind_of(g: Geometry, depth: int, *images: Any) -> tuple[bool, str | None, bool]:
    """What the choice of a kernel depends on: depthwise or not; what TMA would need to gather from the images, or None; whether their
    channels, of which `depth` are summed over, fill its tiles."""
    return g.depthwise, tma_lacks(g, images), depth >= TMA_CHANNELS


def tma_lacks(g: Geometry, images: tuple[Any, ...]) -> str | None:
    """Why TMA's im2col mode cannot gather the patches of images, or None. Its corners and steps are small numbers."""
    if images[0].itemsize != 2:
        return None  # no kernel that uses it computes this dtype
    if g.groups > 1:
        return "needs a single group"
    if not all(map(channels_last, images)):
        return "needs the channels last in memory, in groups of 16 bytes"
    reach = max(g.top + abs(g.bottom) + g.dh * (g.kh - 1), g.left + abs(g.right) + g.dw * (g.kw - 1))
    return "needs steps of at most 8 and patches that reach no further than 120 pixels" if reach > 120 or max(g.sh, g.sw) > 8 else None


def suits(kernel: Kernel, depthwise: bool = False, lacks: str | None = None, deep: bool = True) -> bool:
    """Whether a kernel is made for a call: with one channel a group there is no matrix to multiply by, and few channels waste tiles."""
    if not kernel.on_gpu:
        return True
    return depthwise == (kernel.rung == "depthwise") and (deep or kernel.rung != "v04_tma_im2col")


def supports(kernel: Kernel, depthwise: bool = False, lacks: str | None = None, deep: bool = True) -> str | None:
    """Why a kernel cannot do a call, or None."""
    if kernel.rung == "depthwise" and not depthwise:
        return "needs several groups of one channel each, with at most 16 results"
    return lacks if kernel.rung == "v04_tma_im2col" else None


def scratch_size(g: Geometry, kernel: Kernel, packed: int, each: int = 0) -> int:
    """Elements of scratch a kernel would like: `packed` ones, or for im2col on a GPU a group's weights and the columns of the batch.

    `each` more are for each image; at least the columns of one row must fit.
    """
    if not (kernel.on_gpu and kernel.rung == "v01_im2col"):
        return packed
    depth = g.cin // g.groups * g.kh * g.kw
    return g.cout // g.groups * depth + g.n * (depth * g.oh * g.ow + each)


def packed_size(groups: int, rows: int, columns: int) -> int:
    """Elements of `groups` matrices of rows / groups rows each, packed for the matrix product in panels of at most 16 rows."""
    return groups * (rows // groups + 16) * columns


def geometry(op: str, x: tuple[int, ...], w: tuple[int, ...], stride: Ints, padding: Any, dilation: Ints, groups: int) -> Geometry:
    """The checked sizes of a convolution of an input (N, C, H, W)."""
    sh, sw = several(op, "stride", stride, 2, 1)
    dh, dw = several(op, "dilation", dilation, 2, 1)
    (top, bottom), (left, right) = padding_of(op, padding, w[2:], (sh, sw), (dh, dw))
    g = Geometry(x[0], x[1], x[2], x[3], w[0], w[2], w[3], sh, sw, top, bottom, left, right, dh, dw, groups)
    for what, dim, d, border in (("rows", 2, dh, top + bottom), ("columns", 3, dw, left + right)):
        span = d * (w[dim] - 1) + 1 if w[dim] else 0
        if not 0 < span <= x[dim] + border:
            raise RuntimeError(f"{op}: the kernel spans {span} {what} (dim {dim} of weight {tuple(w)}, dilation {d}) but the padded "
                               f"input has {x[dim] + border} (dim {dim} of {tuple(x)}, padding {border} in all)")
    return g


def checked(op: str, input: Tensor, weight: Tensor, bias: Tensor | None, stride: Ints, padding: Any, dilation: Ints,
            groups: int) -> tuple[Any, Geometry]:
    """The images of a right call as a batch, and its sizes."""
    check_operands(op, 2, input, weight, bias)
    x, w = input.array, weight.array
    check_bias(op, bias, w.shape, w.shape[0])
    check_channels(op, x.shape, w.shape, groups)
    x = x if x.ndim == 4 else x[None]
    return x, geometry(op, x.shape, w.shape, stride, padding, dilation, groups)


def of_arrays(x: tuple[int, ...], w: tuple[int, ...], y: tuple[int, ...], options: tuple[int, ...]) -> Geometry:
    """The geometry as a kernel sees it: padding below and to the right is what the output needs, negative where it leaves pixels unused."""
    sh, sw, top, left, dh, dw, groups = options
    bottom = (y[2] - 1) * sh + dh * (w[2] - 1) + 1 - x[2] - top
    right = (y[3] - 1) * sw + dw * (w[3] - 1) + 1 - x[3] - left
    return Geometry(x[0], x[1], x[2], x[3], w[0], w[2], w[3], sh, sw, top, bottom, left, right, dh, dw, groups)


# ---------------------------------------------------------------- columns


def pieces(g: Geometry, itemsize: int) -> Iterator[tuple[int, int]]:
    """Ranges of output rows of one image whose column matrix, for all channels, fits the workspace limit."""
    per_row = g.cin * g.kh * g.kw * g.ow * itemsize
    rows = max(1, min(g.oh, get_workspace_limit() // max(per_row, 1)))
    yield from ((r, min(r + rows, g.oh)) for r in range(0, g.oh, rows))


def padded(x: Any, g: Geometry) -> Any:
    """One image (C, H, W) with its border of zeros."""
    border = (g.top, max(g.bottom, 0)), (g.left, max(g.right, 0))
    return np.pad(x, ((0, 0), *border)) if border != ((0, 0), (0, 0)) else x


def windows(image: Any, g: Geometry, first: int, last: int) -> Iterator[tuple[int, int, Any]]:
    """(i, j, view): for each kernel offset the pixels of a padded image that output rows first..last meet there: (C, rows, ow)."""
    for i in range(g.kh):
        for j in range(g.kw):
            top, left = first * g.sh + i * g.dh, j * g.dw
            yield i, j, image[:, top : top + (last - first - 1) * g.sh + 1 : g.sh, left : left + (g.ow - 1) * g.sw + 1 : g.sw]


def im2col(image: Any, g: Geometry, first: int, last: int) -> Any:
    """The column matrices of output rows first..last: (groups, C/groups * kh * kw, rows * ow)."""
    columns = np.empty((g.cin, g.kh, g.kw, last - first, g.ow), image.dtype)
    for i, j, view in windows(image, g, first, last):
        columns[:, i, j] = view
    return columns.reshape(g.groups, g.cin // g.groups * g.kh * g.kw, (last - first) * g.ow)


def conv_cases() -> Iterable[Case]:
    """Calls that are right, with every option."""
    yield from (
        Case(T(2, 3, 5, 4), T(4, 3, 3, 3), T(4)), Case(T(2, 3, 5, 5), T(4, 3, 3, 3), T(4), stride=2, padding=1),
        Case(T(1, 2, 7, 6), T(3, 2, 3, 2), dilation=2, padding=(1, 2)), Case(T(2, 4, 5, 3), T(6, 2, 3, 3), T(6), padding=1, groups=2),
        Case(T(2, 3, 6, 5), T(3, 1, 3, 3), T(3), padding=1, groups=3), Case(T(1, 3, 7, 7), T(6, 1, 3, 3), stride=2, padding=1, groups=3),
        Case(T(2, 5, 3, 4), T(7, 5, 1, 1), T(7)), Case(T(1, 3, 5, 5), T(2, 3, 1, 1), stride=2), Case(T(1, 2, 4, 9), T(3, 2, 1, 5)),
        Case(T(1, 2, 3, 3), T(2, 2, 3, 3), T(2)), Case(T(0, 3, 5, 5), T(2, 3, 3, 3), T(2)), Case(T(3, 5, 4), T(2, 3, 3, 3), T(2)),
        Case(T(1, 2, 5, 4), T(3, 2, 2, 3), padding="same"), Case(T(1, 1, 5, 7), T(3, 1, 3, 2), padding="same", dilation=(1, 2)),
        Case(T(1, 2, 5, 5), T(2, 2, 2, 2), padding="valid", stride=(3, 2)), Case(T(1, 1, 2, 2), T(1, 1, 1, 1), padding=2, stride=3),
        Case(T(1, 3, 11, 13), T(5, 3, 7, 7), T(5), stride=2, padding=3),
    )
