"""roi_align: a grid of bins over each region of interest, and the mean of an image in every bin."""
from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from ..cases import Case, T
from ..graph import Node
from ..op import Op, fn
from ..tensor import Tensor, wrap
from .shared.windows import tuple_of

BOXES = ((0, 1.0, 0.5, 6.2, 4.8), (1, -3.0, -2.0, 3.0, 9.5), (1, 2.2, 2.2, 2.4, 2.3), (0, 5.0, 4.0, 30.0, 30.0), (0, 2.0, 3.0, 2.0, 3.0))


class RoiAlign(Op):
    """y[k, c] = region k of channel c as `output_size` bins, each the mean of samples that are interpolated linearly.

    `input` (N, C, H, W); `boxes` (K, 5) with rows (image, x1, y1, x2, y2), or for each image a tensor (L, 4), in the input's dtype; they
    get no gradient. Boxes are multiplied by `spatial_scale`, and moved by half a pixel if `aligned`; otherwise a side is at least one
    pixel. A bin has `sampling_ratio` x `sampling_ratio` samples, or ceil(bin size) along each side if that is not positive. As
    torchvision.ops.roi_align; the gradient is gathered, so it has the same bits every time. He et al., "Mask R-CNN", ICCV 2017.
    """

    name = "roi_align"
    method = False
    torch_name = ""
    defaults = ("cpu/samples", "cuda/v00_direct")

    def forward(self, ctx: Node, input: Tensor, boxes: Any, output_size: Any, spatial_scale: float = 1.0, sampling_ratio: int = -1,
                aligned: bool = False) -> Tensor:
        x, xp = input.array, input.device.backend.xp
        size = tuple_of("roi_align", "output_size", output_size, 2, 1)
        if x.ndim != 4 or not input.dtype.is_floating_point:
            raise RuntimeError(f"roi_align: input must be floating (N, C, H, W), got {input.dtype.name} of shape {tuple(x.shape)}")
        regions = checked(boxes, input)
        y = xp.empty((len(regions), x.shape[1], *size), x.dtype)
        ctx.options = float(spatial_scale), int(sampling_ratio), int(aligned)
        self.kernel(input.device, x)(y, xp.ascontiguousarray(x), regions, *ctx.options)
        ctx.boxes, ctx.shape = regions, x.shape
        return wrap(y, input.device)

    def backward(self, ctx: Node, g: Tensor) -> Tensor:
        return fn.roi_align_backward(g, wrap(ctx.boxes, g.device), ctx.shape, *ctx.options)

    def reference(self, x: Any, boxes: Any, output_size: Any, spatial_scale: float = 1.0, sampling_ratio: int = -1,
                  aligned: bool = False) -> Any:
        if isinstance(boxes, list):
            boxes = np.concatenate([np.insert(b, 0, n, axis=1) for n, b in enumerate(boxes)])
        size = tuple_of("", "", output_size, 2, 1)
        y = np.zeros((len(boxes), x.shape[1], *size))
        for k, (n, *corners) in enumerate(boxes):
            rows, columns = (side(corners[d] * spatial_scale, corners[d + 2] * spatial_scale, size[1 - d], x.shape[3 - d], sampling_ratio,
                                  aligned) for d in (1, 0))
            y[k] = np.einsum("ih,chw,jw->cij", rows, x[int(n)], columns)
        return y

    def cases(self) -> Iterable[Case]:
        some = T(values=BOXES, grad=False)
        lists = [T(values=np.array(rows)[:, 1:], grad=False) for rows in (BOXES[:2], BOXES[2:])]
        yield from (Case(T(2, 3, 7, 8), some, 3), Case(T(2, 3, 7, 8), some, (2, 5), 0.5, 2, True), Case(T(2, 2, 7, 8), lists, 2))
        yield from (Case(T(2, 1, 1, 1), some, 2, 1.0, 3), Case(T(2, 2, 12, 11), some, (1, 4), 1.7), Case(T(2, 0, 7, 8), some, 2))
        yield from (Case(T(2, 5, 7, 8), some, 1, 1.0, -1, True), Case(T(2, 1, 9, 9), some, (3, 2), 0.25, -1, True))
        yield Case(T(1, 2, 5, 5), T(0, 5, grad=False), 2)
        yield Case(T(1, 2, 7, 8), some, 3, error=(IndexError, "roi_align: box 1 is of image 1, but input has 1 images"))
        yield Case(T(2, 7, 8), some, 3, error=(RuntimeError, "roi_align: input must be floating (N, C, H, W), got"))
        yield Case(T(2, 2, 7, 8), T(3, 4), 3, error=(RuntimeError, "roi_align: boxes must be (K, 5), or a list with a tensor"))
        yield Case(T(2, 2, 7, 8), T(3, 5, dtype="int64"), 3, error=(RuntimeError, "roi_align: boxes are int64, but input is"))

    def cost(self, input: Any, boxes: Any, output_size: Any, *args: Any, **kwargs: Any) -> tuple[float, float]:
        count = sum(len(b) for b in boxes) if isinstance(boxes, list) else len(boxes)
        n = float(count * input.shape[1] * np.prod(tuple_of("", "", output_size, 2, 1)))
        return 8 * n, (n + float(np.prod(input.shape)) + 5 * count) * input.dtype.itemsize


def checked(boxes: Any, input: Tensor) -> Any:
    """The boxes as an array (K, 5) without gaps; refuses images that are not there."""
    xp, images = input.device.backend.xp, input.array.shape[0]
    tensors = list(boxes) if isinstance(boxes, (list, tuple)) else [boxes]
    for t in tensors:
        if not isinstance(t, Tensor) or t.array.ndim != 2 or t.array.shape[1] != (5 if t is boxes else 4):
            what = tuple(t.array.shape) if isinstance(t, Tensor) else type(t).__name__
            raise RuntimeError(f"roi_align: boxes must be (K, 5), or a list with a tensor (L, 4) for each image, got {what}")
        if t.dtype is not input.dtype or t.device is not input.device:
            raise RuntimeError(f"roi_align: boxes are {t.dtype.name}, but input is {input.dtype.name} on {input.device}")
    if tensors[0] is not boxes:
        parts = [xp.concatenate([xp.full((len(t.array), 1), n, t.array.dtype), t.array], 1) for n, t in enumerate(tensors)]
        array = xp.concatenate(parts) if parts else xp.empty((0, 5), input.array.dtype)
    else:
        array = boxes.array
    array = xp.ascontiguousarray(array)
    if input.device.backend.capturing():  # there are no values yet
        return array
    wrong = xp.flatnonzero(~((array[:, 0] >= 0) & (array[:, 0] < images) & xp.isfinite(array).all(1)))
    if len(wrong):
        k = int(wrong[0])
        if not bool(xp.isfinite(array[k]).all()):
            raise ValueError(f"roi_align: box {k} is not finite")
        raise IndexError(f"roi_align: box {k} is of image {int(array[k, 0])}, but input has {images} images")
    return array


def side(start: float, end: float, bins: int, pixels: int, ratio: int, aligned: bool) -> Any:
    """The (bins, pixels) matrix of one side of a region, in float64."""
    start, length = start - 0.5 * aligned, end - start if aligned else max(end - start, 1.0)
    size, out = length / bins, np.zeros((bins, pixels))
    samples = ratio if ratio > 0 else max(int(np.ceil(size)), 0)
    for i in range(bins):
        for a in range(samples):
            at = start + i * size + (a + 0.5) * size / samples
            if -1 <= at <= pixels:
                at = min(max(at, 0), pixels - 1)
                low = min(int(at), max(pixels - 2, 0))
                out[i, low] += (1 - (at - low)) / samples
                out[i, min(low + 1, pixels - 1)] += (at - low) / samples
    return out
