"""The lab: what CUDA kernels do, counted while the emulator runs them. All figures are modelled; none is a time.

`profile` looks at one call of an op, `compare` at all rungs of it, `record` at whatever runs on device emu in a `with` block.
`occupancy` needs no kernel at all.
"""
from .occupancy import LIMITS as LIMITS
from .occupancy import Occupancy as Occupancy
from .occupancy import occupancy as occupancy
from .profile import KernelFault as KernelFault
from .profile import compare as compare
from .profile import profile as profile
from .recorder import record as record
from .report import Report as Report
