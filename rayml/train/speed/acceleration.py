"""Whether a cohort's training is compiled, or runs in bfloat16: decided from plain numbers.

`rayml.train.speed.accelerator` measures and acts. Compiling costs seconds, so it pays only where
the work that is left takes long enough; bfloat16 costs nothing but digits.
"""

from __future__ import annotations

from dataclasses import dataclass

# Compiling must save this many times its cost, since the remaining work is a prediction.
_MARGIN = 1.5
# A smaller gain is noise of the measurement.
_LEAST_GAIN = 1.05
# A smaller gain is not worth the digits that bfloat16 lacks.
_LEAST_GAIN_OF_BFLOAT16 = 1.2


@dataclass(frozen=True, slots=True)
class Work:
    """The training that remains.

    Attributes:
        steps: predicted number of training steps of all lanes together.
        seconds: of the gradients of one step, as it runs now.
    """

    steps: int
    seconds: float

    @property
    def total(self) -> float:
        """Seconds of the gradients of all steps."""
        return self.steps * self.seconds


@dataclass(frozen=True, slots=True)
class Prospect:
    """Expected or measured cost and gain of compiling.

    Attributes:
        seconds: that compiling takes.
        gain: how many times as fast the gradients of a step are afterwards.
    """

    seconds: float
    gain: float


# Used until a process has compiled something itself. The one of the CPU is measured
# (tests/bench/LOG.md), the one of a GPU is a guess.
PRIOR = {"cpu": Prospect(seconds=12.0, gain=0.6), "cuda": Prospect(seconds=30.0, gain=2.0)}


@dataclass(frozen=True, slots=True)
class AccelerationDecision:
    """Whether to take the faster way, and why."""

    taken: bool
    reason: str


def decide_compile(work: Work, prospect: Prospect) -> AccelerationDecision:
    """Decide whether compiling is expected to pay for itself.

    Args:
        work: that is left.
        prospect: of compiling.
    """
    saved = work.total * (1 - 1 / prospect.gain)
    remaining = f"the remaining work is {_time(work.total)}"
    if prospect.gain < _LEAST_GAIN:
        return AccelerationDecision(
            False, f"not compiled: compiled it is expected to be {prospect.gain:.2f} times as fast"
        )
    if saved < _MARGIN * prospect.seconds:
        return AccelerationDecision(
            False,
            f"not compiled: {remaining}, compiling costs {_time(prospect.seconds)}"
            f" and would save {_time(saved)}",
        )
    return AccelerationDecision(True, f"{remaining}, of which compiling saves {_time(saved)}")


def judge_compiled(work: Work, measured: Prospect) -> AccelerationDecision:
    """Decide whether compiled code is kept, now that its cost is spent.

    Args:
        work: that remained before.
        measured: cost and gain of compiling.
    """
    speed = f"{measured.gain:.2f} times as fast after {_time(measured.seconds)}"
    if measured.gain < _LEAST_GAIN:
        return AccelerationDecision(False, f"not compiled: compiled it is {speed}")
    saved = work.total * (1 - 1 / measured.gain)
    pays = "pay" if saved > measured.seconds else "do not pay"
    return AccelerationDecision(
        True, f"compiled: {speed}; the remaining {work.steps:,} steps {pays} for it"
    )


def decide_bfloat16(float32: float, bfloat16: float) -> AccelerationDecision:
    """Decide whether gradients are computed in bfloat16.

    Args:
        float32: seconds of a step's gradients in float32.
        bfloat16: seconds of them in bfloat16.
    """
    gain = float32 / bfloat16
    name = "bfloat16" if gain >= _LEAST_GAIN_OF_BFLOAT16 else "float32"
    return AccelerationDecision(
        name == "bfloat16", f"trains in {name}: bfloat16 is {gain:.2f} times as fast"
    )


def _time(seconds: float) -> str:
    return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:,.0f} s"
