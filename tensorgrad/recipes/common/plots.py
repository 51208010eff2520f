"""The pictures of a run, as PNG files: curves, confusion matrix, worst mistakes. matplotlib is imported when the first is drawn."""
from __future__ import annotations

import io
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from matplotlib.figure import Figure

BLUE, ORANGE, GREY = "#2a6fb0", "#d9822b", "#8a8a8a"


def curves(history: Sequence[dict[str, Any]], what: str) -> bytes:
    """`what` ("loss" or "accuracy") over the epochs, on the training and the validation images, and on the test images at the end."""
    from matplotlib.ticker import MaxNLocator

    key = {"loss": "loss", "accuracy": "acc"}[what]
    epochs = [line for line in history if f"train_{key}" in line]
    figure = _figure(6, 4)
    axes = figure.subplots()
    numbers = [line["epoch"] for line in epochs]
    for part, colour in (("train", BLUE), ("val", ORANGE)):
        axes.plot(numbers, [line[f"{part}_{key}"] for line in epochs], "o-", color=colour, markersize=3.5, label=part)
    for line in history:
        if f"test_{key}" in line:
            axes.axhline(line[f"test_{key}"], color=GREY, linestyle="--", linewidth=1, label=f"test {line[f'test_{key}']:.4f}")
    axes.set_xlabel("epoch")
    axes.set_ylabel(what)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.grid(alpha=0.25)
    axes.legend(frameon=False)
    return _png(figure)


def confusion_matrix(truth: np.ndarray, predicted: np.ndarray, classes: Sequence[str]) -> bytes:
    """How many images of each class (row) were taken for which (column)."""
    n = len(classes)
    counts = np.bincount(truth * n + predicted, minlength=n * n).reshape(n, n)
    side = max(4.5, 0.42 * n + 1.5)
    figure = _figure(side, side)
    axes = figure.subplots()
    shares = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    if n <= 40:
        for i, j in np.argwhere(counts):
            axes.text(j, i, str(counts[i, j]), ha="center", va="center", fontsize=8, color="white" if shares[i, j] > 0.6 else "black")
        axes.set_xticks(range(n), classes)
        axes.set_yticks(range(n), classes)
    axes.set_xlabel("predicted")
    axes.set_ylabel("true")
    axes.set_title(f"{int(counts.trace())} of {int(counts.sum())} right")
    return _png(figure)


def worst_mistakes(images: np.ndarray, truth: np.ndarray, probabilities: np.ndarray, classes: Sequence[str], most: int = 40) -> bytes:
    """The misclassified images the model gave its answer for with the most confidence."""
    predicted, sure = probabilities.argmax(1), probabilities.max(1)
    wrong = np.flatnonzero(predicted != truth)
    worst = wrong[np.argsort(-sure[wrong], kind="stable")][:most]
    columns = 8
    rows = max(1, -(-len(worst) // columns))
    figure = _figure(columns * 1.15, rows * 1.4 + 0.5)
    shown = f", the {len(worst)} worst" if len(worst) < len(wrong) else ""
    figure.suptitle(f"{len(wrong)} {'mistake' if len(wrong) == 1 else 'mistakes'} in {len(truth)} images{shown}", fontsize=10)
    for cell, axes in enumerate(np.ravel(figure.subplots(rows, columns, squeeze=False))):
        axes.axis("off")
        if cell < len(worst):
            i = worst[cell]
            axes.imshow(images[i], cmap="gray", vmin=0, vmax=images.max())  # as it is in the file: a photograph is no negative
            axes.set_title(f"{classes[truth[i]]} taken for {classes[predicted[i]]}\n{sure[i]:.0%}", fontsize=7)
    return _png(figure)


def sheet(pictures: np.ndarray, columns: int = 8) -> bytes:
    """Pictures (N, 1 or 3, H, W) between 0 and 1, side by side, enlarged to about half a thousand pixels."""
    from PIL import Image

    n, channels, height, width = pictures.shape
    rows = -(-n // columns)
    grid = np.zeros((rows * columns, channels, height + 2, width + 2), np.float32)
    grid[:n, :, 1:-1, 1:-1] = pictures.clip(0, 1)
    grid = grid.reshape(rows, columns, channels, height + 2, width + 2).transpose(0, 3, 1, 4, 2)
    pixels = (grid * 255).round().astype(np.uint8).reshape(rows * (height + 2), columns * (width + 2), channels)
    image = Image.fromarray(pixels[..., 0] if channels == 1 else pixels)
    factor = max(1, 512 // image.width)
    out = io.BytesIO()
    image.resize((image.width * factor, image.height * factor), Image.Resampling.NEAREST).save(out, "PNG")
    return out.getvalue()


def film(sheets: Sequence[bytes], milliseconds: int = 250) -> bytes:
    """PNG files as a GIF that stays at its last picture for a while."""
    from PIL import Image

    first, *rest = (Image.open(io.BytesIO(s)) for s in sheets)
    out = io.BytesIO()
    first.save(out, "GIF", save_all=True, append_images=rest, duration=[milliseconds] * len(rest) + [8 * milliseconds], loop=0)
    return out.getvalue()


def _figure(width: float, height: float) -> Figure:
    from matplotlib.figure import Figure  # without pyplot: no window system, nothing global

    return Figure(figsize=(width, height), dpi=110, layout="constrained")


def _png(figure: Figure) -> bytes:
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    out = io.BytesIO()
    FigureCanvasAgg(figure).print_png(out)
    return out.getvalue()
