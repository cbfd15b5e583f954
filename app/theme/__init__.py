"""How the window looks: tokens, palette, style sheet, score colours; follows the system and switches live."""

from .design_tokens import CONTRAST, DARK, LIGHT, Sizes, Tokens, contrast, ink
from .scores import score_colour, score_colours, score_table
from .theme import Scheme, Theme, apply, px, sizes, theme, tokens

__all__ = [
    "CONTRAST",
    "DARK",
    "LIGHT",
    "Scheme",
    "Sizes",
    "Theme",
    "Tokens",
    "apply",
    "contrast",
    "ink",
    "px",
    "score_colour",
    "score_colours",
    "score_table",
    "sizes",
    "theme",
    "tokens",
]
