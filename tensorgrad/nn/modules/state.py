"""The state of a module: what `state_dict` gives out and `load_state_dict` takes back."""
from __future__ import annotations

import functools
from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ...creation import from_numpy
from ...graph import version_cell
from ...tensor import Tensor
from ..parameter import Parameter
from .hooks import Hooks, RemovableHandle

if TYPE_CHECKING:
    from .module import Module

EXTRA = "_extra_state"  # key of what get_extra_state returns


class IncompatibleKeys(NamedTuple):
    """What `load_state_dict` did not find, and what it did not know."""

    missing_keys: list[str]
    unexpected_keys: list[str]

    def __repr__(self) -> str:
        if not self.missing_keys and not self.unexpected_keys:
            return "<All keys matched successfully>"
        return f"IncompatibleKeys(missing_keys={self.missing_keys}, unexpected_keys={self.unexpected_keys})"


class StateDict(OrderedDict):
    """The dictionary that `state_dict` makes; `_metadata` holds the version of each module's layout."""

    _metadata: dict[str, dict[str, Any]]


class State(Hooks):
    """The part of `Module` that saves and loads."""

    _version: int = 1  # of the module's layout in a state_dict
    _parameters: dict[str, Parameter | None]
    _buffers: dict[str, Tensor | None]
    _modules: dict[str, Module | None]
    _non_persistent_buffers_set: set[str]

    def state_dict(self, *, destination: Any = None, prefix: str = "", keep_vars: bool = False) -> dict[str, Any]:
        """All parameters and persistent buffers by dotted name. They share memory with the module's; detached unless `keep_vars`."""
        if destination is None:
            destination = StateDict()
            destination._metadata = {}
        version = {"version": self._version}
        if hasattr(destination, "_metadata"):
            destination._metadata[prefix[:-1]] = version
        for hook in self._registered("state_dict_pre"):
            hook(self, prefix, keep_vars)
        self._save_to_state_dict(destination, prefix, keep_vars)
        for name, module in self._modules.items():
            if module is not None:
                module.state_dict(destination=destination, prefix=f"{prefix}{name}.", keep_vars=keep_vars)
        for hook in self._registered("state_dict_post"):
            hook(self, destination, prefix, version)
        return destination

    def _own_state(self) -> dict[str, Tensor]:
        """This module's own parameters and persistent buffers, without those of its children."""
        kept = {k: b for k, b in self._buffers.items() if k not in self._non_persistent_buffers_set}
        return {k: t for k, t in {**self._parameters, **kept}.items() if t is not None}

    def _save_to_state_dict(self, destination: dict[str, Any], prefix: str, keep_vars: bool) -> None:
        """Put this module's own state into `destination`; overridden by modules that keep something else there."""
        for name, t in self._own_state().items():
            destination[prefix + name] = t if keep_vars else t.detach()
        if type(self).get_extra_state is not State.get_extra_state:
            destination[prefix + EXTRA] = self.get_extra_state()

    def get_extra_state(self) -> Any:
        """More to keep in the state_dict than tensors. Overridden together with `set_extra_state`."""
        raise RuntimeError(f"{type(self).__name__} defines no get_extra_state")

    def set_extra_state(self, state: Any) -> None:
        """Take back what `get_extra_state` gave."""
        raise RuntimeError(f"load_state_dict: {type(self).__name__} was given extra state but defines no set_extra_state")

    def load_state_dict(self, state_dict: Mapping[str, Any], strict: bool = True, assign: bool = False) -> IncompatibleKeys:
        """Copy the tensors of `state_dict` into this module's, in place; `assign` takes over the tensors themselves instead.

        RuntimeError lists every tensor of another shape and, with `strict`, every missing and unexpected key; in that case the
        module is left as it was.
        """
        if not isinstance(state_dict, Mapping):
            raise TypeError(f"load_state_dict: expected a dict of tensors, got a {type(state_dict).__name__}")
        given: Any = OrderedDict(state_dict)  # modules may rename keys of an older layout in it
        versions = getattr(state_dict, "_metadata", None) or {}
        keys = IncompatibleKeys([], [])
        errors: list[str] = []
        copies: list[Callable[[], None]] = []

        def load(module: Module, prefix: str) -> None:
            metadata = {**versions.get(prefix[:-1], {}), "assign_to_params_buffers": assign, "copies": copies}
            module._load_from_state_dict(given, prefix, metadata, strict, keys.missing_keys, keys.unexpected_keys, errors)
            for name, child in module._modules.items():
                if child is not None:
                    load(child, f"{prefix}{name}.")
            for hook in module._registered("load_post"):
                copies.append(functools.partial(hook, module, keys))

        load(self, "")  # type: ignore[arg-type]
        if strict and keys.unexpected_keys:
            errors.insert(0, "unexpected: " + ", ".join(keys.unexpected_keys))
        if strict and keys.missing_keys:
            errors.insert(0, "missing: " + ", ".join(keys.missing_keys))
        if errors:
            raise RuntimeError(f"load_state_dict: this state does not fit {type(self).__name__}\n  " + "\n  ".join(errors))
        for copy in copies:
            copy()
        return keys

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, local_metadata: dict[str, Any], strict: bool,
                              missing_keys: list[str], unexpected_keys: list[str], error_msgs: list[str]) -> None:
        """Take this module's own state out of `state_dict`; overridden by modules that know older layouts.

        Copies are put off until the whole model is known to fit (`local_metadata["copies"]`), and done at once without that list.
        """
        for hook in self._registered("load_pre"):
            hook(self, state_dict, prefix, local_metadata, strict, missing_keys, unexpected_keys, error_msgs)
        copies = local_metadata.get("copies")
        own = self._own_state()
        for name, mine in own.items():
            key = prefix + name
            if key not in state_dict:
                missing_keys.append(key)
                continue
            try:
                theirs = _as_tensor(state_dict[key])
            except TypeError as e:
                error_msgs.append(f"{key}: {e}")
                continue
            if theirs.array.shape != mine.array.shape:
                error_msgs.append(f"{key}: has shape {tuple(theirs.shape)} but the module's is {tuple(mine.shape)}")
                continue
            take = self._taker(name, mine, theirs, local_metadata.get("assign_to_params_buffers", False))
            take() if copies is None else copies.append(take)
        extra = prefix + EXTRA
        if type(self).set_extra_state is not State.set_extra_state:
            if extra not in state_dict:
                missing_keys.append(extra)
            elif copies is None:
                self.set_extra_state(state_dict[extra])
            else:
                copies.append(lambda: self.set_extra_state(state_dict[extra]))
        for key in state_dict:
            if key.startswith(prefix):
                head = key[len(prefix):].split(".", 1)
                known = self._modules.get(head[0]) is not None if len(head) > 1 else head[0] in own or (
                    key == extra and type(self).set_extra_state is not State.set_extra_state)
                if not known:
                    unexpected_keys.append(key)

    def _taker(self, name: str, mine: Tensor, theirs: Tensor, assign: bool) -> Callable[[], None]:
        """What loads one tensor: over the memory of `mine`, or in its place."""
        def copy() -> None:
            with mine.device.active():
                mine.array[...] = theirs.to(mine.device).array
            version_cell(mine)[0] += 1

        def replace() -> None:
            if isinstance(mine, Parameter):
                setattr(self, name, theirs if isinstance(theirs, Parameter) else Parameter(theirs, mine.requires_grad))
            else:
                setattr(self, name, theirs)

        return replace if assign else copy

    def register_state_dict_pre_hook(self, hook: Callable) -> RemovableHandle:
        """Call `hook(module, prefix, keep_vars)` before `state_dict` collects this module."""
        return self._register("state_dict_pre", hook)

    def register_state_dict_post_hook(self, hook: Callable) -> RemovableHandle:
        """Call `hook(module, state_dict, prefix, local_metadata)` after `state_dict` has collected this module; it may edit it."""
        return self._register("state_dict_post", hook)

    def register_load_state_dict_pre_hook(self, hook: Callable) -> RemovableHandle:
        """Call `hook(module, state_dict, prefix, local_metadata, strict, missing, unexpected, errors)` before this module loads."""
        return self._register("load_pre", hook)

    def register_load_state_dict_post_hook(self, hook: Callable) -> RemovableHandle:
        """Call `hook(module, incompatible_keys)` after this module and its children have loaded."""
        return self._register("load_post", hook)


def _as_tensor(value: Any) -> Tensor:
    """A tensor given as such or as an array (NumPy's, or of a library whose tensors convert)."""
    if isinstance(value, Tensor):
        return value
    if hasattr(value, "__array__"):
        return from_numpy(np.asarray(value))
    raise TypeError(f"expected a tensor, got a {type(value).__name__}")
