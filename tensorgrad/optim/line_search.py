"""How far to go along a direction: a step that meets the strong Wolfe conditions."""
from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from ..tensor import Tensor


@dataclass
class Point:
    """The objective a step along the direction: the step, the value, the gradient and its product with the direction."""

    step: float
    value: float
    gradient: Tensor
    slope: float


def cubic_minimum(a: Point, b: Point, low: float, high: float) -> float:
    """Where the cubic with the values and slopes of both points is least, within [low, high]; the middle where it has no minimum."""
    if a.step > b.step:
        a, b = b, a
    tilt = a.slope + b.slope - 3 * (a.value - b.value) / (a.step - b.step)
    discriminant = tilt * tilt - a.slope * b.slope
    if not discriminant >= 0:
        return (low + high) / 2
    root = math.sqrt(discriminant)
    span = b.slope - a.slope + 2 * root
    least = b.step - (b.step - a.step) * ((b.slope + root - tilt) / span) if span else math.nan
    return min(max(least, low), high) if least == least else high


def strong_wolfe(at: Callable[[float], Point], start: Point, first: float, size: float, most: int, flattest: float = 1e-9,
                 c1: float = 1e-4, c2: float = 0.9) -> tuple[Point, int]:
    """A point with value <= start's + c1 step slope and |slope| <= c2 |start's slope|, and how often `at(step)` was asked for one.

    Looks from `first` on for an interval with such a point inside, then makes it smaller, until `most` tries are used up or the interval
    times `size`, the largest element of the direction, is below `flattest`: then the lowest point seen is taken.
    Nocedal and Wright, "Numerical Optimization", 2nd edition, algorithms 3.5 and 3.6.
    """

    def too_high(p: Point) -> bool:
        return p.value > start.value + c1 * p.step * start.slope

    def flat(p: Point) -> bool:
        return abs(p.slope) <= -c2 * start.slope

    before, now, asked, tries = start, at(first), 1, 0
    ends: list[Point] = []
    while tries < most:
        if not too_high(now) and not (tries > 1 and now.value >= before.value) and flat(now):
            return now, asked
        if too_high(now) or (tries > 1 and now.value >= before.value) or now.slope >= 0:
            ends = [before, now]
            break
        step = cubic_minimum(before, now, now.step + 0.01 * (now.step - before.step), now.step * 10)
        before, now = now, at(step)
        asked, tries = asked + 1, tries + 1
    if not ends:
        ends = [start, now]
    low, high = (0, 1) if ends[0].value <= ends[1].value else (1, 0)
    stuck = False
    while tries < most and abs(ends[1].step - ends[0].step) * size >= flattest:
        left, right = sorted((ends[0].step, ends[1].step))
        step = cubic_minimum(ends[0], ends[1], left, right)
        margin = 0.1 * (right - left)
        if min(right - step, step - left) >= margin:
            stuck = False
        elif stuck or step >= right or step <= left:  # a second time at an end: go inside
            step = right - margin if abs(step - right) < abs(step - left) else left + margin
            stuck = False
        else:
            stuck = True
        now = at(step)
        asked, tries = asked + 1, tries + 1
        if too_high(now) or now.value >= ends[low].value:
            ends[high] = now
            low, high = (0, 1) if ends[0].value <= ends[1].value else (1, 0)
            continue
        done = flat(now)
        if not done and now.slope * (ends[high].step - ends[low].step) >= 0:
            ends[high] = ends[low]
        ends[low] = now
        if done:
            break
    return ends[low], asked
