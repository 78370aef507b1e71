"""Networks by address."""

from understudy.models.load import called, load
from understudy.models.shrink import shrink
from understudy.models.wrap import HF, Loaded, Normalise, Rescaled, describe

__all__ = ["HF", "Loaded", "Normalise", "Rescaled", "called", "describe", "load", "shrink"]
