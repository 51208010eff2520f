"""nms: of boxes that overlap, the best."""
from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from ..cases import Case, T
from ..graph import Node
from ..op import Op
from ..tensor import Tensor, wrap
from .sort import order


class Nms(Op):
    """The indices (int64) of the boxes that stay, best first: in the order of their scores, a box stays unless one that stays overlaps it
    with more than `iou_threshold` of their union.

    `boxes` (N, 4) are (x1, y1, x2, y2) with x1 <= x2 and y1 <= y2, `scores` (N,). Of equal scores the first counts as better. As
    torchvision.ops.nms.
    """

    name = "nms"
    method = False
    torch_name = ""
    differentiable = False
    defaults = ("cpu/greedy", "cuda/v00_bits")

    def forward(self, ctx: Node, boxes: Tensor, scores: Tensor, iou_threshold: float) -> Tensor:
        b, s, xp = boxes.array, scores.array, boxes.device.backend.xp
        if b.ndim != 2 or b.shape[1] != 4:
            raise RuntimeError(f"nms: boxes must be (N, 4), but their shape is {tuple(b.shape)}")
        if s.shape != b.shape[:1]:
            raise RuntimeError(f"nms: scores must be one number for each of the {b.shape[0]} boxes, but their shape is {tuple(s.shape)}")
        if not boxes.dtype.is_floating_point:
            raise RuntimeError(f"nms: boxes must be floating, got {boxes.dtype.name}")
        if scores.device is not boxes.device:
            raise RuntimeError(f"nms: boxes are on {boxes.device} but scores are on {scores.device}; move one with .to(...)")
        best, n = order(s, 0, True), len(b)
        kernel = self.chosen(boxes.device, b)
        words = xp.empty((n, -(-n // 64)), np.int64) if kernel.family == "cuda" else None
        keep = xp.empty(n, np.bool_)
        kernel.for_dtype(boxes.dtype.name)(keep, words, xp.ascontiguousarray(b[best]), iou_threshold)
        return wrap(best[keep], boxes.device)

    def reference(self, boxes: Any, scores: Any, iou_threshold: float) -> Any:
        left = list(np.argsort(-scores, kind="stable"))
        kept = []
        while left:
            i, *left = left
            kept.append(i)
            sides = np.minimum(boxes[i, 2:], boxes[left, 2:]) - np.maximum(boxes[i, :2], boxes[left, :2])
            common = np.maximum(sides, 0).prod(-1)
            union = (boxes[i, 2:] - boxes[i, :2]).prod() + (boxes[left, 2:] - boxes[left, :2]).prod(-1) - common
            with np.errstate(all="ignore"):  # boxes without an area
                left = [j for j, overlap in zip(left, common / union, strict=True) if not overlap > iou_threshold]
        return np.array(kept, np.int64)

    def cases(self) -> Iterable[Case]:
        def boxes(n: int) -> T:
            rng = np.random.default_rng(n)
            corner, size = rng.integers(0, 24, (n, 2)), rng.integers(1, 12, (n, 2))
            return T(values=np.concatenate([corner, corner + size], 1).astype(np.float64))

        for n, threshold in ((0, 0.5), (1, 0.5), (7, 0.3), (64, 0.31), (65, 0.0), (150, 0.52), (200, 0.97)):
            yield Case(boxes(n), T(n, distinct=True), threshold)
        yield Case(T(values=[[0.0, 0, 4, 4], [0, 0, 4, 4], [1, 1, 1, 1], [1, 1, 1, 1]]), T(values=[1.0, 1, 2, 2]), 0.5)
        yield Case(T(3, 5), T(3), 0.5, error=(RuntimeError, "nms: boxes must be (N, 4), but their shape is (3, 5)"))
        yield Case(T(3, 4), T(2), 0.5, error=(RuntimeError, "nms: scores must be one number for each of the 3 boxes"))
        yield Case(T(3, 4, dtype="int64"), T(3), 0.5, error=(RuntimeError, "nms: boxes must be floating, got int64"))

    def cost(self, boxes: Any, scores: Any, iou_threshold: float) -> tuple[float, float]:
        n = float(len(boxes))
        return 10 * n * n, boxes.nbytes + n
