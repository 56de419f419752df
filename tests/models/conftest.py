"""The fixture `world`, for every test of the models."""

from small_worlds import world

__all__ = ["world"]
