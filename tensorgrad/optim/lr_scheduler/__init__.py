"""Learning-rate schedules: call `scheduler.step()` after each epoch (OneCycleLR: after each batch)."""
from ... import missing
from .cosine import CosineAnnealingLR as CosineAnnealingLR
from .decay import ExponentialLR as ExponentialLR
from .decay import MultiStepLR as MultiStepLR
from .decay import StepLR as StepLR
from .functional import LambdaLR as LambdaLR
from .linear import LinearLR as LinearLR
from .one_cycle import OneCycleLR as OneCycleLR
from .plateau import ReduceLROnPlateau as ReduceLROnPlateau
from .scheduler import LRScheduler as LRScheduler

__getattr__ = missing.of(__name__)
