"""Learning rate schedules of the 2012 parameter files, in their own notation and the older ones."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

from alexnet_common.counting import counted
from alexnet_common.errors import UserError
from alexnet_tf.tables.notation import LARGEST_NUMBER

_NOTATION = re.compile(r"(\w+)\s*(?:\[(.*)\])?\s*$", re.DOTALL)
_NAMES = {
    "default": (),
    "linear": ("tgtfactor", "noisestdev"),
    "exp": ("tgtfactor", "noisestdev"),
    "dexp": ("tgtfactor", "noisestdev", "numsteps"),
    "jdexp": ("tgtfactor", "noisestdev", "numsteps"),
}
_OPTIONAL = "noisestdev"


@dataclass(frozen=True)
class Schedule:
    """How a rate falls from its base b to b / target over a run.

    Attributes:
        kind: "default" (constant), "linear", "exp", "dexp" (steps), "jdexp" (steps with a step
            between).
        target: the factor T by which the final rate is smaller.
        noise: standard deviation s of the factor 1 + |z| s, z normal, drawn at every request.
        steps: number of steps n of dexp and jdexp.
        jumps_back: the early jdexp, whose second half-steps return to the rate before.
    """

    kind: str = "default"
    target: float = 1.0
    noise: float = 0.0
    steps: int = 1
    jumps_back: bool = False

    def rate(self, base: float, progress: float, normal: float = 0.0) -> float:
        """The rate at `progress`.

        Args:
            base: rate at the start.
            progress: in [0, 1]: (data batches done - 1) / (epochs * batches per epoch).
            normal: a draw from the normal distribution, for noisy schedules.
        """
        if base == 0:
            return 0.0
        return base * self.factor(progress) * (1 + abs(normal) * self.noise)

    def factor(self, progress: float) -> float:
        """The rate at `progress` in [0, 1], as a share of its base, without noise."""
        t = min(max(progress, 0.0), 1.0)
        if self.kind == "linear":
            return (1 - t) + t / self.target
        if self.kind == "exp":
            return self.target**-t
        if self.kind in ("dexp", "jdexp"):
            step = max(math.ceil(t * self.steps - 1e-9) - 1, 0)
            here, before = self._step(step), self._step(step - 1)
            late = t > (step + 0.5) / self.steps
            if self.kind == "jdexp" and step > 0 and 0.2 < t < 0.9 and late:
                return before if self.jumps_back else math.sqrt(here * before)
            return here
        return 1.0

    def _step(self, step: int) -> float:
        return self.target ** (-step / (self.steps - 1) if self.steps > 1 else -1.0)


def parse(text: str, *, strict: bool = False, jumps_back: bool = False) -> Schedule:
    """The schedule that `text` names.

    Args:
        text: `dexp[tgtFactor=250, noiseStdev=0, numSteps=4]` and the like; unless `strict`, also
            in another order and without noise, and the older notations without names: T; T, s
            (linear, exp); T, n (dexp, jdexp); T, s, n.
        strict: only the final notation: named, in this order.
        jumps_back: see `Schedule`.

    Raises:
        UserError: not a schedule; the message says why.
    """
    match = _NOTATION.match(text.strip())
    kind = match.group(1).lower() if match else ""
    if not match or kind not in _NAMES:
        raise UserError(f"unknown schedule; schedules are {', '.join(_NAMES)}")
    names = _NAMES[kind]
    parts = [part.strip() for part in (match.group(2) or "").split(",") if part.strip()]
    values = _named(parts, names, strict) if any("=" in part for part in parts) else None
    if values is None and parts:
        if strict:
            raise UserError(f"needs named values: {kind}[{', '.join(names)}]")
        values = _positional(parts, names)
    if kind == "default":
        return Schedule()
    if not values:
        raise UserError(f"needs {', '.join(names)}")
    target, noise = values["tgtfactor"], values.get("noisestdev", 0.0)
    steps = values.get("numsteps", 1.0)
    if target <= 0 or noise < 0 or steps < 1 or steps != int(steps):
        raise UserError("needs a positive factor, noise of 0 or more, and whole steps")
    return Schedule(kind, target, noise, int(steps), jumps_back)


def _number(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if math.isnan(number):
        raise UserError(f"{text!r} is not a number")
    if abs(number) > LARGEST_NUMBER:
        raise UserError(f"{text!r} is out of range: numbers go up to {LARGEST_NUMBER:.10g}")
    return number


def _named(parts: list[str], names: tuple[str, ...], strict: bool) -> dict[str, float]:
    pairs = [[side.strip() for side in part.partition("=")[::2]] for part in parts]
    given = [name.lower() for name, _ in pairs]
    wanted = [name for name in names if strict or name != _OPTIONAL or name in given]
    if given != wanted if strict else sorted(given) != sorted(wanted):
        raise UserError(f"needs {', '.join(names)} in this order")
    return {name.lower(): _number(value) for name, value in pairs}


def _positional(parts: list[str], names: tuple[str, ...]) -> dict[str, float]:
    if not names or len(parts) > len(names):
        raise UserError(f"takes {counted(len(names), 'value')}")
    if len(parts) == 2 and len(names) == 3:
        names = ("tgtfactor", "numsteps")
    return {name: _number(part) for name, part in zip(names, parts, strict=False)}
