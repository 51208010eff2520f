"""What lazy layers share: they learn the size of their input at their first call, and are ordinary ones from then on."""
from __future__ import annotations

from typing import Any

from ...grad_mode import no_grad
from ...tensor import Tensor
from ..parameter import UninitializedBuffer, UninitializedParameter, is_lazy
from .module import Module


class LazyModuleMixin:
    """Put before a layer's class: its empty tensors are unknown until the first call, which names `size` and shapes them."""

    cls_to_become: type[Module]
    size: str  # the attribute that is the number of input features

    def _unknown(self: Any) -> None:
        """Leave open what depends on the input's size; the layer was built for one of size 0."""
        for kind, registry in ((UninitializedParameter, self._parameters), (UninitializedBuffer, self._buffers)):
            for name, t in registry.items():
                if t is not None and 0 in t.shape:
                    registry[name] = kind(t.requires_grad, t.device, t.dtype)
        self._hook = self.register_forward_pre_hook(lambda module, args: module._infer_parameters(args))

    def has_uninitialized_params(self: Any) -> bool:
        """Whether a shape is still to be known."""
        return any(is_lazy(t) for t in (*self._parameters.values(), *self._buffers.values()))

    def initialize_parameters(self: Any, input: Tensor, *args: Any) -> None:
        """Shape and draw the unknown tensors for this input."""
        fresh, features = self.has_uninitialized_params(), input.shape[self._feature_dim(input)]
        setattr(self, self.size, features)
        with no_grad():
            for name, shape in self._shapes(features).items():
                t = self._parameters.get(name, self._buffers.get(name))
                if is_lazy(t):
                    t.materialize(shape)
        if fresh:
            self.reset_parameters()

    def _infer_parameters(self: Any, args: tuple) -> None:
        self.initialize_parameters(*args)
        self._hook.remove()
        del self._hook
        self.__class__ = self.cls_to_become

    def _load_from_state_dict(self: Any, state_dict: dict[str, Any], prefix: str, *rest: Any) -> None:
        for name, t in (*self._parameters.items(), *self._buffers.items()):
            given = state_dict.get(prefix + name)
            if is_lazy(t) and given is not None and not is_lazy(given):
                t.materialize(given.shape)
        super()._load_from_state_dict(state_dict, prefix, *rest)  # type: ignore[misc]
