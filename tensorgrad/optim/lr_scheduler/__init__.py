"""Learning-rate schedules: call `scheduler.step()` after each epoch (OneCycleLR and CyclicLR: after each batch)."""
from ... import missing
from .combined import ChainedScheduler as ChainedScheduler
from .combined import SequentialLR as SequentialLR
from .cosine import CosineAnnealingLR as CosineAnnealingLR
from .cosine import CosineAnnealingWarmRestarts as CosineAnnealingWarmRestarts
from .cyclic import CyclicLR as CyclicLR
from .decay import ExponentialLR as ExponentialLR
from .decay import MultiStepLR as MultiStepLR
from .decay import StepLR as StepLR
from .functional import LambdaLR as LambdaLR
from .functional import MultiplicativeLR as MultiplicativeLR
from .linear import ConstantLR as ConstantLR
from .linear import LinearLR as LinearLR
from .one_cycle import OneCycleLR as OneCycleLR
from .plateau import ReduceLROnPlateau as ReduceLROnPlateau
from .polynomial import PolynomialLR as PolynomialLR
from .polynomial import PowerLR as PowerLR
from .scheduler import LRScheduler as LRScheduler
from .scheduler import _LRScheduler as _LRScheduler

__getattr__ = missing.of(__name__)
