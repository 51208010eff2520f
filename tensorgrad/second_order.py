"""Second derivatives of fused kernels: the gradient's formula written in ops, differentiated by autograd."""
from __future__ import annotations

from collections.abc import Callable, Sequence

from .autograd import grad
from .grad_mode import enable_grad
from .graph import MODE
from .tensor import Tensor


def gradients_of(formula: Callable[..., Sequence[Tensor]], tensors: Sequence[Tensor | None], grads: Sequence[Tensor],
                 needs: Sequence[bool]) -> tuple[Tensor | None, ...]:
    """The gradients of `formula(*tensors)`, weighted by `grads`, with respect to the tensors that `needs` asks for.

    A backward kernel is one fast function; its own derivative is rare, and clear in ops. Where that derivative is to be
    differentiated again (create_graph), the tensors keep their history; otherwise it stops at copies of them.
    """
    again = MODE.enabled
    with enable_grad():
        inputs = [t if t is None or again else t.detach().requires_grad_(bool(n)) for t, n in zip(tensors, needs, strict=True)]
        pairs = [(o, g) for o, g in zip(formula(*inputs), grads, strict=True) if o.requires_grad]
    wanted = [t for t, n in zip(inputs, needs, strict=True) if n and t is not None]
    if not pairs:
        return (None,) * len(inputs)
    found = iter(grad([o for o, _ in pairs], wanted, [g for _, g in pairs], create_graph=again, allow_unused=True))
    return tuple([next(found) if n and t is not None else None for t, n in zip(inputs, needs, strict=True)])


def gradients_again(function: Callable[..., Sequence[Tensor]], tensors: Sequence[Tensor | None], grads: Sequence[Tensor],
                    wanted: Sequence[bool], weights: Sequence[Tensor]) -> tuple[list[Tensor | None], list[Tensor | None]]:
    """Of a backward op that gave the `wanted` gradients of `function(*tensors)` for `grads`: its own gradients for `weights`.

    Where the forward op's formula is clearer than its gradient's, autograd differentiates it twice. Returns those of `grads` and
    those of `tensors`.
    """
    record = MODE.enabled

    def alias(t: Tensor | None) -> Tensor | None:
        """So that only the explicit dependence counts where one of these tensors was made from another."""
        if t is None:
            return None
        return t.reshape(tuple(t.shape)) if record and t.tracked else t.detach().requires_grad_()

    with enable_grad():
        inputs, given = [alias(t) for t in tensors], [alias(g) for g in grads]
        asked = [t for t, want in zip(inputs, wanted, strict=True) if want and t is not None]
        first = grad(list(function(*inputs)), asked, [g for g in given if g is not None], create_graph=True, materialize_grads=True)
        by = [t for t in (*given, *inputs) if t is not None]
        found = iter(grad([d for d in first if d is not None], by, list(weights), create_graph=record, materialize_grads=True))
    return [None if g is None else next(found) for g in given], [None if t is None else next(found) for t in inputs]
