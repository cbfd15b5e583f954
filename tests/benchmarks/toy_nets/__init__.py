"""Adversarial networks: small, with random weights, each a trap for whoever works out what can be removed together."""

from . import attention, convolutional, operators, programs, sequences
from .toy import TOYS, Toy

__all__ = ["TOYS", "Toy", "attention", "convolutional", "operators", "programs", "sequences"]
