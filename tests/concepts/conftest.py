"""Fuzzing that finds the same on every run, takes what time a busy machine needs, and leaves no folder behind."""

from hypothesis import settings

settings.register_profile("tests", deadline=None, derandomize=True, database=None)
settings.load_profile("tests")
