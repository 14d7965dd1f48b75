"""Medians and quartiles of timings, and ratios of timings taken in turns."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Summary:
    """Of a list of milliseconds."""

    median: float
    lower: float
    upper: float
    count: int

    @staticmethod
    def of(values: list[float]) -> "Summary":
        lower, median, upper = (float(q) for q in np.quantile(values, [0.25, 0.5, 0.75]))
        return Summary(median, lower, upper, len(values))

    def texts(self) -> tuple[str, str]:
        """The median, and the quartiles, with as many digits as mean something."""
        digits = 0 if self.median >= 100 else 1
        return f"{self.median:.{digits}f}", f"{self.lower:.{digits}f}-{self.upper:.{digits}f}"


def paired_ratio(others: list[float], ours: list[float]) -> float:
    """How many times faster `ours` is: the median over the rounds of one time divided by the other.

    Both times of a round were taken right after each other, so that a change of the machine's speed cancels.
    """
    return float(np.median(np.array(others) / np.array(ours)))


def geometric_mean(values: list[float]) -> float:
    return float(np.exp(np.mean(np.log(values))))
