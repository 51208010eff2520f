"""nms and roi_align beyond their own cases: whole lists of boxes, thread orders, the same bits again."""
from __future__ import annotations

import numpy as np
import pytest
from sampling import relative_error

import tensorgrad as tg
from tensorgrad import dispatch

DEVICES = ["cpu", *(["emu"] if "emu" in dispatch._present() else [])]


def regions(rng, count, images, size):
    """Boxes that lie on the images, reach over their edges, miss them, or are thin."""
    corner = rng.uniform(-0.4 * size, 1.1 * size, (count, 2))
    return np.concatenate([rng.integers(0, images, (count, 1)), corner, corner + rng.exponential(size / 3, (count, 2))], 1)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_roi_align_on_random_regions(device, seed):
    """Forward and gradient in float64 against the dense matrices, options at random."""
    rng = np.random.default_rng(seed)
    if device == "emu":
        tg.backends.emu.configure(seed=seed)
    op = dispatch._ops["roi_align"]
    try:
        for _ in range(6):
            x, boxes = rng.standard_normal((2, 5, *rng.integers(1, 14, 2))), regions(rng, 9, 2, 10)
            size, scale = tuple(int(n) for n in rng.integers(1, 6, 2)), float(rng.uniform(0.3, 2))
            options = size, scale, int(rng.integers(-1, 4)), bool(rng.random() < 0.5)
            leaf = tg.tensor(x, device=device, requires_grad=True)
            y = tg.roi_align(leaf, tg.tensor(boxes, device=device), *options)
            assert relative_error(y.numpy(force=True), op.reference(x, boxes, *options)) <= 1e-13
            g = rng.standard_normal(y.shape)
            y.backward(tg.tensor(g, device=device))
            want = dispatch._ops["roi_align_backward"].reference(g, boxes, x.shape, *options[1:])
            assert relative_error(leaf.grad.numpy(), want) <= 1e-13
            again = tg.tensor(x, device=device, requires_grad=True)
            tg.roi_align(again, tg.tensor(boxes, device=device), *options).backward(tg.tensor(g, device=device))
            np.testing.assert_array_equal(again.grad.numpy(), leaf.grad.numpy())
    finally:
        if device == "emu":
            tg.backends.emu.configure(seed=0)


def test_a_mean_over_a_whole_image_and_a_single_pixel():
    """With one sample a pixel, a region that is the image gives it back; a point gives the mean of the four pixels around it."""
    x = tg.tensor(np.arange(12.0).reshape(1, 1, 3, 4))
    same = tg.roi_align(x, tg.tensor([[0.0, 0, 0, 4, 3]], dtype=tg.float64), (3, 4), aligned=True)
    np.testing.assert_allclose(same.numpy(), x.numpy())
    point = tg.roi_align(x, tg.tensor([[0.0, 1, 1, 2, 2]], dtype=tg.float64), 1, sampling_ratio=1)
    assert point.item() == pytest.approx((5 + 6 + 9 + 10) / 4)


@pytest.mark.parametrize("device", DEVICES)
def test_what_cannot_be_a_region_is_refused(device):
    x, nan = tg.ones(1, 1, 4, 4, device=device), float("nan")
    with pytest.raises(ValueError, match="roi_align: box 1 is not finite"):
        tg.roi_align(x, tg.tensor([[0.0, 0, 0, 2, 2], [0, 0, nan, 2, 2]], device=device), 2)
    with pytest.raises(IndexError, match="roi_align: box 0 is of image -1"):
        tg.roi_align(x, tg.tensor([[-1.0, 0, 0, 2, 2]], device=device), 2)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("name", ["float32", "float64"])
def test_nms_on_random_boxes(device, name):
    """Boxes on a grid, so that overlaps are exact in either precision, and many equal scores."""
    rng, op = np.random.default_rng(0), dispatch._ops["nms"]
    for n in (63, 130, 257):
        corner, size = rng.integers(0, 40, (n, 2)), rng.integers(1, 16, (n, 2))
        boxes, scores = np.concatenate([corner, corner + size], 1).astype(float), rng.integers(0, 20, n).astype(float)
        for threshold in (0.15, 0.61):
            kept = tg.nms(*(tg.tensor(a, device=device, dtype=getattr(tg, name)) for a in (boxes, scores)), threshold)
            np.testing.assert_array_equal(kept.numpy(), op.reference(boxes, scores, threshold))
