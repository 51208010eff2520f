"""Reading an image file as the grey, square input of a network."""
from __future__ import annotations

import math

import numpy as np

from ..errors import UserError


def read_grey(file: str, size: tuple[int, int], invert: bool = False) -> np.ndarray:
    """(H, W) float32 between 0 and 1 (white): colour becomes grey, the image is padded to the shape of `size` and resampled to it.

    `invert` swaps dark and light. What is transparent counts as background: black, or with `invert` white, which then becomes black.
    """
    from PIL import Image, ImageOps

    try:
        with Image.open(file) as image:
            image.load()
            ImageOps.exif_transpose(image, in_place=True)  # a photograph may say which side is up
            if image.mode == "F":
                raise ValueError("its pixels are floating-point numbers, whose white is not known; 8 or 16 bits are expected")
            if image.mode.startswith("I"):  # 16 bits a pixel
                grey = Image.fromarray((np.asarray(image, np.float64) / 257).clip(0, 255).astype(np.uint8))
            else:
                ground = Image.new("RGBA", image.size, (255, 255, 255, 255) if invert else (0, 0, 0, 255))
                grey = Image.alpha_composite(ground, image.convert("RGBA")).convert("L")
    except FileNotFoundError:
        raise UserError(f"{file}: no such file") from None
    except IsADirectoryError:
        raise UserError(f"{file}: is a folder; an image file is expected") from None
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as e:
        raise UserError(f"{file}: cannot be read as an image ({e})") from None
    height, width = size
    if grey.width * height != grey.height * width:  # pad, rather than distort
        scale = max(grey.width / width, grey.height / height)
        if (width * scale) * (height * scale) > (Image.MAX_IMAGE_PIXELS or math.inf):
            raise UserError(f"{file}: {grey.width} x {grey.height} pixels are too long and narrow to be padded to the shape of "
                            f"{width} x {height}")
        frame = Image.new("L", (round(width * scale), round(height * scale)), 255 if invert else 0)
        frame.paste(grey, ((frame.width - grey.width) // 2, (frame.height - grey.height) // 2))
        grey = frame
    if grey.size != (width, height):
        grey = grey.resize((width, height), Image.Resampling.BOX if grey.width > width else Image.Resampling.BICUBIC)
    pixels = np.asarray(grey, np.float32) / np.float32(255)
    return 1 - pixels if invert else pixels


def looks_inverted(pixels: np.ndarray, mean: float) -> bool:
    """Whether the border is light although the training images, of this mean, are mostly dark."""
    border = np.concatenate([pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]])
    return mean < 0.4 and float(np.median(border)) > 0.6
