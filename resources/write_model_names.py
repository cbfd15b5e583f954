"""Writes the names of torchvision's and timm's models for completion: `python -m secateur.resources.write_model_names`.

The window completes names without torch; these libraries import it.
"""

import json
from pathlib import Path

FILE = Path(__file__).with_name("data") / "model_names.json"


def names() -> dict[str, list[str]]:
    """Names by library; those of timm also with the tags of their pretrained weights."""
    import timm
    from torchvision import models

    tagged = {*timm.list_models(), *timm.list_models(pretrained=True)}
    return {"torchvision": sorted(models.list_models()), "timm": sorted(tagged)}


def main() -> None:
    """Write the file."""
    rows = (
        f' "{library}": [\n  ' + ",\n  ".join(map(json.dumps, known)) + "\n ]" for library, known in names().items()
    )
    FILE.write_text("{\n" + ",\n".join(rows) + "\n}\n", encoding="utf-8")


if __name__ == "__main__":
    main()
