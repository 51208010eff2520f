"""Transforms of pictures: the kinds of pictures agree, each transform does what its formula says, and streams of random numbers."""
from __future__ import annotations

import colorsys
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageEnhance

import tensorgrad as tg
from tensorgrad import nn
from tensorgrad.data import DataLoader, MapDataset
from tensorgrad.data import transforms as T
from tensorgrad.data.transforms import colour, draw

PIXELS = np.random.default_rng(0).integers(0, 256, (32, 48, 3), dtype=np.uint8)

ANY = [T.Pad(3), T.Pad((1, 2, 3, 4), padding_mode="reflect"), T.Resize(20), T.Resize((10, 17), "bicubic"), T.Resize(20, max_size=25),
       T.CenterCrop(24), T.CenterCrop(60), T.RandomCrop(32, padding=4), T.RandomCrop((40, 20), pad_if_needed=True), T.RandomResizedCrop(24),
       T.RandomHorizontalFlip(1), T.RandomVerticalFlip(1), T.RandomAffine(20, (0.1, 0.1), (0.8, 1.2), 10, interpolation="bilinear"),
       T.RandomRotation(45), T.RandomRotation((30, 60), expand=True), T.Grayscale(), T.Grayscale(3), T.RandomGrayscale(1),
       T.ColorJitter(0.4, 0.4, 0.4, 0.1), T.RandomErasing(1), T.Cutout(8), T.RandomApply([T.Cutout(3)], 1),
       T.RandomOrder([T.Pad(1), T.Cutout(9)]), T.RandomChoice([T.Pad(1), T.CenterCrop(9)])]
EIGHT_BITS = [T.GaussianBlur(1.0), *(T.AutoAugment(p) for p in T.AutoAugmentPolicy), T.RandAugment(3, 20), T.TrivialAugmentWide()]


def channels_last(picture: Any) -> np.ndarray:
    """(H, W, C) in float, 0 to 255."""
    a = picture.numpy().transpose(1, 2, 0) if isinstance(picture, tg.Tensor) else np.asarray(picture)
    a = a * 255.0 if a.dtype == np.float32 else a.astype(float)
    return a if a.ndim == 3 else a[..., None]


@pytest.mark.parametrize("transform", [*ANY, *EIGHT_BITS], ids=lambda t: type(t).__name__)
def test_kinds_of_pictures_agree(transform: Any) -> None:
    tg.manual_seed(3)
    kinds = [Image.fromarray(PIXELS), PIXELS, T.PILToTensor()(PIXELS), T.ToTensor()(PIXELS)]
    for _ in range(4 if transform in ANY else 40):  # policies choose among many changes
        start = tg.random.get_rng_state()
        made = []
        for kind in kinds if transform in ANY else kinds[:3]:
            before = channels_last(kind).copy()
            tg.random.set_rng_state(start)
            made.append(transform(kind))
            assert isinstance(made[-1], type(kind))
            assert np.array_equal(channels_last(kind), before)  # what was given is as it was
        assert getattr(made[-1], "dtype", None) is getattr(kinds[len(made) - 1], "dtype", None)
        pil, array, integers = (channels_last(m) for m in made[:3])
        assert np.array_equal(pil, array)
        assert np.array_equal(pil, integers)
        if transform in ANY:  # 8 bits are rounded after each step: by rows, by columns; four times in ColorJitter, and multiplied
            assert np.abs(pil - channels_last(made[3])).max() <= (4 if isinstance(transform, T.ColorJitter) else 1.2)


@pytest.mark.parametrize("transform", EIGHT_BITS, ids=lambda t: type(t).__name__)
def test_transforms_of_eight_bits_refuse_floats(transform: Any) -> None:
    with pytest.raises(TypeError, match=f"{type(transform).__name__}: 8-bit pictures only; put it before ToTensor"):
        transform(T.ToTensor()(PIXELS))


def test_to_tensor_and_back() -> None:
    image = Image.fromarray(PIXELS)
    x = T.ToTensor()(image)
    assert x.shape == (3, 32, 48)
    assert x.dtype is tg.float32
    assert np.array_equal(x.numpy(), (PIXELS.transpose(2, 0, 1) / 255).astype(np.float32))
    assert np.array_equal(np.asarray(T.ToPILImage()(x)), PIXELS)
    assert np.array_equal(np.asarray(T.ToPILImage()(PIXELS)), PIXELS)
    assert T.ToPILImage()(x[:1]).mode == "L"
    assert T.ToPILImage("L")(x).mode == "L"
    assert T.ToTensor()(PIXELS[..., 0]).shape == (1, 32, 48)
    assert np.array_equal(T.ConvertImageDtype(tg.uint8)(x).numpy(), PIXELS.transpose(2, 0, 1))
    y = T.Normalize((0.5, 0.4, 0.3), (0.1, 0.2, 0.3))(x)
    assert np.allclose(y.numpy()[1], (x.numpy()[1] - 0.4) / 0.2, atol=1e-6)


def test_normalize_like_the_layer_of_a_batch() -> None:
    x = tg.rand(4, 3, 5, 5)
    y = T.Normalize(x.mean((0, 2, 3)).tolist(), x.std((0, 2, 3), correction=0).tolist())(x)
    assert np.allclose(y.numpy(), nn.BatchNorm2d(3, affine=False, eps=0)(x).numpy(), atol=1e-4)


def test_a_quarter_turn_is_exact() -> None:
    square = PIXELS[:, :32]
    turned = T.RandomRotation((90, 90))(square)  # clockwise
    assert np.array_equal(turned, np.rot90(square, -1))
    assert np.array_equal(T.RandomRotation((90, 90), expand=True)(PIXELS), np.rot90(PIXELS, -1))
    assert np.array_equal(T.RandomRotation((180, 180))(PIXELS), PIXELS[::-1, ::-1])


def test_what_a_turn_uncovers_is_filled() -> None:
    turn = T.RandomRotation((45, 45), fill=7)
    for picture in (Image.fromarray(PIXELS), PIXELS, T.PILToTensor()(PIXELS)):
        assert (channels_last(turn(picture))[0, 0] == 7).all()
    assert T.RandomRotation((45, 45), fill=0.5)(T.ToTensor()(PIXELS))[0, 0, 0].item() == 0.5
    assert np.asarray(T.RandomRotation((45, 45), fill=(1, 2, 3))(Image.fromarray(PIXELS)))[0, 0].tolist() == [1, 2, 3]
    with pytest.raises(ValueError, match="a fill of several numbers needs a PIL image"):
        T.RandomRotation((45, 45), fill=(1, 2, 3))(PIXELS)


def test_affine_moves_scales_and_shears() -> None:
    tg.manual_seed(0)
    moved = T.RandomAffine(0, translate=(0.25, 0.25))(PIXELS)
    found = [(dy, dx) for dy in range(-8, 9) for dx in range(-12, 13) if np.array_equal(
        moved[max(dy, 0):32 + min(dy, 0), max(dx, 0):48 + min(dx, 0)], PIXELS[max(-dy, 0):32 - max(dy, 0), max(-dx, 0):48 - max(dx, 0)])]
    assert len(found) == 1
    assert found[0] != (0, 0)
    twice = T.RandomAffine(0, scale=(2, 2))(PIXELS)
    assert np.array_equal(twice[::2, ::2], PIXELS[8:24, 12:36])
    columns = np.tile(np.arange(32, dtype=np.float32), (32, 1))  # the value is x
    sheared = T.RandomAffine(0, shear=(20, 20), interpolation="bilinear")(columns)
    expected = columns + (np.arange(32)[:, None] + 0.5 - 16) * np.tan(np.radians(20))
    inside = (expected > 1) & (expected < 30)
    assert np.allclose(sheared[inside], expected[inside], atol=1e-4)
    assert inside.sum() > 500


def test_colours_are_pillows() -> None:
    image = Image.fromarray(PIXELS)
    for ours, theirs in ((T.ColorJitter(brightness=(1.3, 1.3)), ImageEnhance.Brightness),
                         (T.ColorJitter(contrast=(0.6, 0.6)), ImageEnhance.Contrast),
                         (T.ColorJitter(saturation=(1.4, 1.4)), ImageEnhance.Color)):
        expected = theirs(image).enhance(next(low for low, _ in vars(ours).values() if low not in (0, 1)))
        assert np.abs(channels_last(ours(image)) - channels_last(expected)).max() <= 1
    sharp = colour.adjust_sharpness(image, 1.8)
    assert np.abs(channels_last(sharp) - channels_last(ImageEnhance.Sharpness(image).enhance(1.8))).max() <= 1
    assert np.array_equal(np.asarray(T.Grayscale()(PIXELS))[..., 0], np.asarray(image.convert("L")))


def test_hue_is_colorsys() -> None:
    x = T.ToTensor()(PIXELS)
    for factor in (-0.5, -0.2, 0.0, 0.1, 0.5):
        turned = colour.adjust_hue(x, factor).numpy()
        for row, column in ((0, 0), (5, 7), (31, 47), (12, 3)):
            h, s, v = colorsys.rgb_to_hsv(*x.numpy()[:, row, column].tolist())
            assert np.allclose(turned[:, row, column], colorsys.hsv_to_rgb((h + factor) % 1, s, v), atol=1e-5)


def test_resize_keeps_the_shape() -> None:
    assert T.Resize(16)(Image.fromarray(PIXELS)).size == (24, 16)
    assert T.Resize(16)(PIXELS.transpose(1, 0, 2)).shape == (24, 16, 3)
    assert T.Resize(16, max_size=18)(PIXELS).shape == (12, 18, 3)
    constant = np.full((7, 9), 0.25, np.float32)
    assert np.allclose(T.Resize((20, 5))(constant), 0.25)


def test_random_places_reach_everywhere_and_are_uniform() -> None:
    tg.manual_seed(0)
    numbered = np.arange(25, dtype=np.uint8).reshape(5, 5)
    corners = [int(T.RandomCrop(3)(numbered)[0, 0]) for _ in range(1800)]
    counts = np.bincount(corners, minlength=25).reshape(5, 5)[:3, :3]
    assert counts.sum() == 1800
    assert ((counts - 200) ** 2 / 200).sum() < 26  # chi-square, 8 degrees of freedom, p = 0.001
    flipped = sum(T.RandomHorizontalFlip(0.3)(numbered)[0, 0] != 0 for _ in range(1000))
    assert 240 < flipped < 360
    areas = [T.RandomErasing(1, (0.1, 0.2), value=1)(np.zeros((64, 64), np.uint8)).mean() for _ in range(200)]
    assert 0.09 < min(areas) < 0.12
    assert 0.18 < max(areas) < 0.22
    assert {draw.integer(3, 6) for _ in range(100)} == {3, 4, 5}


def test_random_resized_crop_has_the_share_and_the_shape() -> None:
    tg.manual_seed(0)
    crop = T.RandomResizedCrop(8, scale=(0.2, 0.5), ratio=(0.5, 2))
    places = np.array([crop._place(60, 80) for _ in range(500)])
    share, ratio = places[:, 2] * places[:, 3] / 4800, places[:, 3] / places[:, 2]
    assert 0.19 < share.min() < 0.23
    assert 0.47 < share.max() < 0.51
    assert 0.47 < ratio.min() < 0.65
    assert 1.8 < ratio.max() < 2.1
    assert (places[:, 0] + places[:, 2] <= 60).all()
    assert (places[:, 1] + places[:, 3] <= 80).all()
    assert T.RandomResizedCrop(8, (2, 2))._place(60, 80) == (0, 0, 60, 80)  # nothing fits: the largest that does


def test_mixup_and_cutmix() -> None:
    tg.manual_seed(1)
    x, y = tg.arange(4, dtype=tg.float32).reshape(4, 1, 1, 1).expand(4, 2, 10, 12), tg.tensor([0, 1, 2, 0])
    mixed, labels = T.MixUp(alpha=0.4, num_classes=3)(x, y)
    share = float(labels[1, 1])
    assert 0 < share < 1
    assert np.allclose(labels.numpy(), share * np.eye(3)[[0, 1, 2, 0]] + (1 - share) * np.eye(3)[[0, 0, 1, 2]], atol=1e-6)
    assert np.allclose(mixed.numpy()[:, 0, 0, 0], [(1 - share) * 3, share, 2 * share + 1 - share, 3 * share + 2 * (1 - share)], atol=1e-6)
    shares = []
    for _ in range(60):
        cut, labels = T.CutMix(num_classes=3)(x, y)
        own = (cut.numpy() == x.numpy()).mean((1, 2, 3))
        assert np.allclose(labels.numpy(), own[:, None] * np.eye(3)[[0, 1, 2, 0]] + (1 - own[:, None]) * np.eye(3)[[0, 0, 1, 2]], atol=1e-6)
        shares.append(own[0])
    assert len(set(shares)) > 20
    loss = nn.functional.cross_entropy(tg.zeros(4, 3), labels)
    assert abs(loss.item() - np.log(3)) < 1e-6
    with pytest.raises(ValueError, match="need num_classes"):
        T.MixUp()(x, y)
    with pytest.raises(TypeError, match="floating-point pictures are expected, not uint8"):
        T.CutMix(num_classes=3)(x.to(tg.uint8), y)


@pytest.mark.parametrize("workers", [1, 4])
def test_what_is_drawn_does_not_depend_on_workers(workers: int) -> None:
    pictures = [(T.PILToTensor()(PIXELS + np.uint8(i)), i) for i in range(20)]
    augment = T.Compose([T.RandomCrop(16), T.RandomHorizontalFlip(), T.ConvertImageDtype(tg.float32)])
    mix = T.MixUp(num_classes=20)

    def collate(items: list) -> Any:
        return mix(tg.stack([a for a, _ in items]), tg.tensor([b for _, b in items]))

    def epochs(n: int) -> list[np.ndarray]:
        data = MapDataset(pictures, lambda item: (augment(item[0]), item[1]))
        loader = DataLoader(data, 4, shuffle=True, num_workers=n, collate_fn=collate, generator=tg.Generator().manual_seed(5))
        return [np.stack([x.numpy() for x, _ in loader]) for _ in range(2)]

    alone, together = epochs(0), epochs(workers)
    assert np.array_equal(alone[0], together[0])
    assert np.array_equal(alone[1], together[1])
    assert not np.array_equal(alone[0], alone[1])


def test_an_epoch_without_shuffling_draws_anew_and_resumes() -> None:
    loader = DataLoader(MapDataset(range(8), lambda i: draw.uniform() + i), 2, generator=tg.Generator().manual_seed(0))
    first, second = ([b.tolist() for b in loader] for _ in range(2))
    assert first != second
    it = iter(loader)
    third = [next(it).tolist() for _ in range(2)]
    state = loader.state_dict()
    third += [b.tolist() for b in it]
    other = DataLoader(loader.dataset, 2, generator=tg.Generator().manual_seed(9))
    other.load_state_dict(state)
    assert [b.tolist() for b in other] == third[2:]
    assert [b.tolist() for b in other] == [b.tolist() for b in loader]


WRONG: list[tuple[Any, type[Exception], str]] = [
    (lambda: T.Resize(0), ValueError, "the size must be a positive int"),
    (lambda: T.Resize(8, "cubic"), ValueError, "interpolation must be one of nearest"),
    (lambda: T.Resize(8, max_size=4), ValueError, "max_size goes with one size"),
    (lambda: T.Pad(-1), ValueError, "padding must be one, two or four ints"),
    (lambda: T.Pad(1, padding_mode="wrap"), ValueError, "padding_mode must be one of"),
    (lambda: T.RandomHorizontalFlip(2), ValueError, "p must be a probability"),
    (lambda: T.RandomCrop(64)(PIXELS), ValueError, "64 x 64 do not fit into a picture of 32 x 48"),
    (lambda: T.RandomAffine(0, translate=(2, 0)), ValueError, "translate must be two shares"),
    (lambda: T.RandomRotation(-3), ValueError, "degrees as one number must not be negative"),
    (lambda: T.RandomRotation(3, expand=True, center=(0, 0)), ValueError, "center cannot go with it"),
    (lambda: T.ColorJitter(hue=0.7), ValueError, "hue must be a number or a range"),
    (lambda: T.ColorJitter(brightness=-1), ValueError, "brightness must be"),
    (lambda: T.RandomErasing(1, value="noise"), ValueError, "value must be a number"),
    (lambda: T.RandomErasing(1, value="random")(PIXELS), TypeError, "needs a floating-point picture"),
    (lambda: T.Compose([3]), TypeError, r"transforms\[0\] is a int"),
    (lambda: T.Normalize((0.5,), (0,)), ValueError, "std above 0"),
    (lambda: T.Normalize((0.5,), (1,))(T.ToTensor()(PIXELS)), ValueError, "1 channels are expected in dim -3"),
    (lambda: T.Normalize((0.5,), (1,))(PIXELS), TypeError, "put ToTensor"),
    (lambda: T.ToTensor()(tg.zeros(3, 2, 2)), TypeError, "is a tensor already"),
    (lambda: T.CenterCrop(3)("cat.png"), TypeError, "a picture is expected: .* not a str"),
    (lambda: T.CenterCrop(3)(np.zeros((4, 4))), TypeError, "uint8 .* or float32 .*, not float64"),
    (lambda: T.CenterCrop(3)(tg.zeros(4)), ValueError, r"not one of shape \(4,\)"),
    (lambda: T.Grayscale(2), ValueError, "must be 1 or 3"),
    (lambda: T.ColorJitter(0.5)(Image.new("CMYK", (4, 4))), ValueError, "mode L or RGB is expected, not CMYK"),
    (lambda: T.RandAugment(magnitude=31), ValueError, "below num_magnitude_bins"),
    (lambda: T.MixUp(alpha=0), ValueError, "alpha must be above 0"),
    (lambda: T.AutoAugment("imagenette"), ValueError, "imagenette"),
]


@pytest.mark.parametrize("number", range(len(WRONG)))
def test_wrong_use(number: int) -> None:
    call, kind, words = WRONG[number]
    with pytest.raises(kind, match=words):
        call()
