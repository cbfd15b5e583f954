"""How the window looks: tokens, palette, style sheet, score colours; follows the system and switches live."""

from .live import Scheme, Theme, apply, theme, tokens
from .scores import score_colour, score_colours, score_table
from .values import DARK, LIGHT, Tokens, contrast

__all__ = [
    "DARK",
    "LIGHT",
    "Scheme",
    "Theme",
    "Tokens",
    "apply",
    "contrast",
    "score_colour",
    "score_colours",
    "score_table",
    "theme",
    "tokens",
]
