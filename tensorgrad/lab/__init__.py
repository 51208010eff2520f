"""The lab: what a CUDA kernel does, counted while the emulator runs it. All figures are modelled, none is a time."""
from .occupancy import LIMITS as LIMITS
from .occupancy import Occupancy as Occupancy
from .occupancy import occupancy as occupancy
