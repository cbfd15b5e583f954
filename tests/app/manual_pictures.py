"""The manual's pictures, from those that the screenshot script made: whole windows or one panel, in few colours.

`python -m tests.app.screenshots OUT --look light --scale 1`, then `python -m tests.app.manual_pictures OUT`; with
`--chapter aids` and their names behind `OUT` only those of what helps along the road.
"""

import sys
from pathlib import Path
from typing import NamedTuple

from PIL import Image

PICTURES = Path(__file__).parents[2] / "resources" / "manual" / "pictures"
COLOURS = 256
MIDDLE = (462, 210, 1101, 625)
BOTTOM = (462, 642, 1101, 874)
WORK = (462, 642, 1440, 874)
"""Left, top, right, bottom in pixels of the panels in a window of 1440 x 900."""


class Picture(NamedTuple):
    """A picture of the manual.

    Attributes:
        source: Name of the screenshot.
        part: Left, top, right, bottom in pixels, None for all of it.
    """

    source: str
    part: tuple[int, int, int, int] | None = None


TABLE = {
    "recovered": Picture("08-recovered"),
    "plan": Picture("04-plan"),
    "layers": Picture("05-layers", MIDDLE),
    "tradeoff": Picture("08-recovered", MIDDLE),
    "sensitivity": Picture("05-sensitivity", MIDDLE),
    "recovery": Picture("07-recovering", BOTTOM),
    "compare": Picture("10-compare", MIDDLE),
    "heads": Picture("panel-heads-vit"),
    "graph": Picture("panel-graph"),
    "tour": Picture("20-tour"),
    "contrast": Picture("21-contrast"),
    "receipt": Picture("22-receipt", WORK),
    "compare-file": Picture("23-compare-file"),
    "preferences": Picture("24-preferences"),
}
"""By the name of the file."""


def main() -> None:
    """Write all of them, or those that are named behind the folder."""
    folder, *names = sys.argv[1:]
    PICTURES.mkdir(exist_ok=True)
    for name in names or TABLE:
        picture = TABLE[name]
        with Image.open(Path(folder) / f"{picture.source}-light-1x.png") as shot:
            image = shot.convert("RGB").crop(picture.part) if picture.part else shot.convert("RGB")
            few = image.quantize(COLOURS, method=Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE)
            few.save(PICTURES / f"{name}.png", optimize=True)


if __name__ == "__main__":
    main()
