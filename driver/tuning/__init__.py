"""Tuning: schedules of a model's kernels are searched by timing them in the engine that will run them."""

from webdnn.tuning.cache import TuningCache
from webdnn.tuning.search import Budget
from webdnn.tuning.tune import Tuned, tune

__all__ = ["Budget", "Tuned", "TuningCache", "tune"]
