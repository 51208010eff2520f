"""Transforms of pictures, with torchvision's names: PIL images, arrays (H, W, C) and tensors (..., H, W) go in and come out.

    train = MapDataset(data, on_first(Compose([RandomCrop(32, padding=4), RandomHorizontalFlip(), ToTensor(), Normalize(mean, std)])))

Random ones draw from the stream of the item that is being loaded: with one seed the same pictures come out, for any number of workers.
"""
from .colour import ColorJitter as ColorJitter
from .colour import Cutout as Cutout
from .colour import GaussianBlur as GaussianBlur
from .colour import Grayscale as Grayscale
from .colour import RandomErasing as RandomErasing
from .colour import RandomGrayscale as RandomGrayscale
from .compose import Compose as Compose
from .compose import Lambda as Lambda
from .compose import RandomApply as RandomApply
from .compose import RandomChoice as RandomChoice
from .compose import RandomOrder as RandomOrder
from .compose import Transform as Transform
from .convert import ConvertImageDtype as ConvertImageDtype
from .convert import Normalize as Normalize
from .convert import PILToTensor as PILToTensor
from .convert import ToPILImage as ToPILImage
from .convert import ToTensor as ToTensor
from .geometry import CenterCrop as CenterCrop
from .geometry import Pad as Pad
from .geometry import RandomAffine as RandomAffine
from .geometry import RandomCrop as RandomCrop
from .geometry import RandomHorizontalFlip as RandomHorizontalFlip
from .geometry import RandomResizedCrop as RandomResizedCrop
from .geometry import RandomRotation as RandomRotation
from .geometry import RandomVerticalFlip as RandomVerticalFlip
from .geometry import Resize as Resize
from .mixing import CutMix as CutMix
from .mixing import MixUp as MixUp
from .policies import AutoAugment as AutoAugment
from .policies import AutoAugmentPolicy as AutoAugmentPolicy
from .policies import RandAugment as RandAugment
from .policies import TrivialAugmentWide as TrivialAugmentWide
