"""Whether a cohort's training is compiled, or runs in bfloat16: decided from plain numbers.

`rayml.train.speed.accelerator` measures and acts. Compiling costs seconds, so it pays only where
the work that is left takes long enough; bfloat16 costs nothing but digits.
"""

from __future__ import annotations

from dataclasses import dataclass

# What is saved must be worth the cost this many times: the rest of the work is predicted.
_MARGIN = 1.5
# Less is the noise of a measurement.
_LEAST_GAIN = 1.05
# For less the digits that bfloat16 lacks are not given up.
_LEAST_GAIN_OF_BFLOAT16 = 1.2


@dataclass(frozen=True, slots=True)
class Work:
    """What is left to train.

    Attributes:
        steps: predicted number of training steps of all lanes together.
        seconds: of the gradients of one step, as it runs now.
    """

    steps: int
    seconds: float

    @property
    def total(self) -> float:
        """Seconds of the gradients of all of them."""
        return self.steps * self.seconds


@dataclass(frozen=True, slots=True)
class Prospect:
    """What compiling is expected to cost and to bring.

    Attributes:
        seconds: that compiling takes.
        gain: how many times as fast the gradients of a step are afterwards.
    """

    seconds: float
    gain: float


# Before a process has compiled anything itself. That of the CPU was measured (tests/bench/LOG.md),
# that of a GPU is a guess.
PRIOR = {"cpu": Prospect(seconds=12.0, gain=0.6), "cuda": Prospect(seconds=30.0, gain=2.0)}


@dataclass(frozen=True, slots=True)
class Decision:
    """Whether to take the faster way, and why."""

    taken: bool
    reason: str


def decide_compile(work: Work, prospect: Prospect) -> Decision:
    """Decide whether compiling is expected to pay for itself.

    Args:
        work: that is left.
        prospect: of compiling.
    """
    saved = work.total * (1 - 1 / prospect.gain)
    told = f"the remaining work is {_time(work.total)}"
    if prospect.gain < _LEAST_GAIN:
        return Decision(
            False, f"not compiled: it is {prospect.gain:.2f} times as fast compiled, by experience"
        )
    if saved < _MARGIN * prospect.seconds:
        return Decision(
            False,
            f"not compiled: {told}, compiling costs {_time(prospect.seconds)}"
            f" and would save {_time(saved)}",
        )
    return Decision(True, f"{told}, of which compiling saves {_time(saved)}")


def judge_compiled(work: Work, measured: Prospect) -> Decision:
    """Decide whether what was compiled is kept; its cost is spent by then.

    Args:
        work: that was left before.
        measured: what compiling did cost and bring.
    """
    told = f"{measured.gain:.2f} times as fast after {_time(measured.seconds)}"
    if measured.gain < _LEAST_GAIN:
        return Decision(False, f"not compiled: given up, as it is {told}")
    saved = work.total * (1 - 1 / measured.gain)
    pays = "pay" if saved > measured.seconds else "do not pay"
    return Decision(True, f"compiled: {told}; the remaining {work.steps:,} steps {pays} for it")


def decide_bfloat16(float32: float, bfloat16: float) -> Decision:
    """Decide whether gradients are computed in bfloat16.

    Args:
        float32: seconds of a step's gradients.
        bfloat16: likewise.
    """
    gain = float32 / bfloat16
    name = "bfloat16" if gain >= _LEAST_GAIN_OF_BFLOAT16 else "float32"
    return Decision(name == "bfloat16", f"trains in {name}: bfloat16 is {gain:.2f} times as fast")


def _time(seconds: float) -> str:
    return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:,.0f} s"
