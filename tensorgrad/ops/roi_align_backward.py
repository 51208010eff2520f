"""roi_align_backward: what the regions send back to the image."""
from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from ..cases import Case, T
from ..graph import Node
from ..op import Op, fn
from ..tensor import Tensor, wrap
from .roi_align import BOXES, side


class RoiAlignBackward(Op):
    """dx[n, c] = sum over the regions k of image n of R^T g[k, c] C, with the matrices of a region's rows and columns. Linear in g."""

    name = "roi_align_backward"
    function = method = False
    group = "roi_align"
    torch_name = ""
    defaults = ("cpu/samples", "cuda/v00_direct")

    def forward(self, ctx: Node, g: Tensor, boxes: Tensor, shape: Sequence[int], spatial_scale: float, sampling_ratio: int,
                aligned: int) -> Tensor:
        xp = g.device.backend.xp
        dx = xp.empty(tuple(shape), g.array.dtype)
        ctx.boxes, ctx.size, ctx.options = boxes, g.array.shape[2:], (spatial_scale, sampling_ratio, bool(aligned))
        self.kernel(g.device, g.array)(dx, xp.ascontiguousarray(g.array), xp.ascontiguousarray(boxes.array), spatial_scale,
                                      sampling_ratio, int(aligned))
        return wrap(dx, g.device)

    def backward(self, ctx: Node, u: Tensor) -> tuple:
        return fn.roi_align(u, ctx.boxes, ctx.size, *ctx.options), None

    def reference(self, g: Any, boxes: Any, shape: Any, spatial_scale: float, sampling_ratio: int, aligned: int) -> Any:
        dx = np.zeros(shape)
        for k, (n, *corners) in enumerate(boxes):
            rows, columns = (side(corners[d] * spatial_scale, corners[d + 2] * spatial_scale, g.shape[3 - d], shape[3 - d], sampling_ratio,
                                  bool(aligned)) for d in (1, 0))
            dx[int(n)] += np.einsum("ih,cij,jw->chw", rows, g[k], columns)
        return dx

    def cases(self) -> Iterable[Case]:
        boxes = T(values=BOXES, grad=False)
        for size, shape, *options in (((3, 3), (2, 3, 7, 8), 1.0, -1, 0), ((2, 5), (2, 6, 7, 8), 0.5, 2, 1),
                                      ((1, 4), (2, 1, 1, 9), 1.3, 3, 0), ((2, 2), (2, 4, 9, 1), 0.7, -1, 1)):
            yield Case(T(len(BOXES), shape[1], *size), boxes, list(shape), *options)

    def cost(self, g: Any, boxes: Any, shape: Any, *args: Any) -> tuple[float, float]:
        return 8.0 * float(np.prod(g.shape)), float((np.prod(shape) + np.prod(g.shape)) * g.dtype.itemsize)
