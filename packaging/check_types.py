"""Read pyright's JSON report: no error, and every file of the tree was looked at.

Pyright skips in silence what it reaches twice, through a link inside a package for example; so the files are counted.
"""

import json
import sys
from pathlib import Path

FOLDERS = ("app", "engine", "packaging", "resources", "tests")
FIXTURES = Path("tests", "fixtures")
"""Files of former versions, which pyproject.toml excludes."""


def main(report: Path) -> int:
    """Print what pyright found; exit code 0 when that is nothing and no file was left out."""
    found = json.loads(report.read_text())
    for one in found["generalDiagnostics"]:
        print(f"{one['file']}:{one['range']['start']['line'] + 1}: {one['message']} [{one.get('rule', '')}]")
    files = (path for folder in FOLDERS for path in Path(folder).rglob("*.py*") if path.suffix in (".py", ".pyi"))
    expected = sum(1 for path in files if FIXTURES not in path.parents)
    checked, errors = found["summary"]["filesAnalyzed"], found["summary"]["errorCount"]
    print(f"pyright: {checked} of {expected} files, {errors} errors")
    return 0 if errors == 0 and checked == expected else 1


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
