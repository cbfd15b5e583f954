"""Masked language modelling: the perplexity of the tokens that were hidden."""

from .language import PERPLEXITY as PURPOSE

__all__ = ["PURPOSE"]
