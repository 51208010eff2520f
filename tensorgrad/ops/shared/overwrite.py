"""Operations that replace or change some elements: on a copy, and under the name with an underscore in the tensor itself."""
from __future__ import annotations

from typing import Any

from ...op import Op
from ...tensor import Tensor


class Overwriting(Op):
    """Base of ops whose `forward` writes into `self.target(input)`. The twin `<name>_` is made here and shares everything else."""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if "name" in cls.__dict__ and not cls.mutates:
            twin = {"name": cls.name + "_", "mutates": True, "function": False, "aliases": (), "__module__": cls.__module__,
                    "__doc__": f"In place: this tensor is changed as `{cls.name}` changes a copy.\n\n{cls.__doc__}"}
            type(cls.__name__ + "InPlace", (cls,), twin)

    def target(self, input: Tensor) -> Any:
        """The storage to write into."""
        return input.array if self.mutates else input.array.copy()
