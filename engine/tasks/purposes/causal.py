"""Causal language modelling: the perplexity of the next token."""

from .language import PERPLEXITY as PURPOSE

__all__ = ["PURPOSE"]
