"""How the window looks: tokens, palette, style sheet, score colours; follows the system and switches live."""

from .application_theme import Scheme, Theme, apply, px, sizes, theme, tokens
from .design_tokens import CONTRAST, DARK, LIGHT, Sizes, Tokens, contrast, ink, score_colour, score_colours, score_table

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
