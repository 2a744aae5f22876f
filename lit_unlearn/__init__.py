"""lit_unlearn: methods that make a model forget, or recognise what should not be there."""

__version__ = "0.1.0"
