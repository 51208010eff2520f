"""Automatic mixed precision: `autocast` chooses the precision of ops, `GradScaler` keeps small gradients from vanishing in float16."""
from .. import missing
from .autocast_mode import autocast as autocast
from .autocast_mode import custom_bwd as custom_bwd
from .autocast_mode import custom_fwd as custom_fwd
from .autocast_mode import is_autocast_available as is_autocast_available
from .grad_scaler import GradScaler as GradScaler

__getattr__ = missing.of(__name__)
