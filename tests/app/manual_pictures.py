"""The manual's pictures, from those that the screenshot script made: whole windows or one panel, in few colours.

`python -m tests.app.screenshots OUT --look light --scale 1`, then `python -m tests.app.manual_pictures OUT`; with
`--chapter aids` and their names behind `OUT` only those of what helps along the road.
"""

import sys
from pathlib import Path

from PIL import Image

PICTURES = Path(__file__).parents[2] / "resources" / "manual" / "pictures"
COLOURS = 256

TABLE = {
    "recovered": "08-recovered",
    "plan": "04-plan",
    "layers": "05-layers",
    "tradeoff": "08-tradeoff",
    "sensitivity": "05-sensitivity",
    "recovery": "07-recovering",
    "compare": "10-compare",
    "heads": "panel-heads-vit",
    "graph": "panel-graph",
    "tour": "20-tour",
    "contrast": "21-contrast",
    "receipt": "22-receipt",
    "compare-file": "23-compare-file",
    "preferences": "24-preferences",
}
"""The screenshot, by the name of the file."""


def main() -> None:
    """Write all of them, or those that are named behind the folder."""
    folder, *names = sys.argv[1:]
    PICTURES.mkdir(exist_ok=True)
    for name in names or TABLE:
        with Image.open(Path(folder) / f"{TABLE[name]}-light-1x.png") as shot:
            few = shot.convert("RGB").quantize(COLOURS, method=Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE)
            few.save(PICTURES / f"{name}.png", optimize=True)


if __name__ == "__main__":
    main()
