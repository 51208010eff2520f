"""DataParallel on one device."""
from __future__ import annotations

from typing import Any

from ..modules.module import Module


class DataParallel(Module):
    """The module itself, as `.module`, with state_dict keys "module.": code written for several devices runs on one.

    There is no copying to several: `device_ids` must be None or name one, `output_device` must be it, `dim` is the batch's.
    """

    def __init__(self, module: Module, device_ids: Any = None, output_device: Any = None, dim: int = 0):
        super().__init__()
        ids = [] if device_ids is None else list(device_ids)
        if len(ids) > 1 or (ids and output_device not in (None, ids[0])):
            raise NotImplementedError(f"DataParallel: there is one device, device_ids {ids} and output_device {output_device} name more")
        self.module, self.dim = module, dim

    def forward(self, *inputs: Any, **kwargs: Any) -> Any:
        return self.module(*inputs, **kwargs)
