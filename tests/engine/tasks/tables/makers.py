"""Small tables on disk."""

from collections.abc import Mapping
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image


def write_parquet(path: Path, columns: Mapping[str, Any], **metadata: str) -> str:
    """Write columns and return the path."""
    pq.write_table(pa.table(dict(columns)).replace_schema_metadata(metadata or None), path)
    return str(path)


def write_csv(path: Path, *lines: str) -> str:
    """Write lines and return the path."""
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return str(path)


def png(pixels: np.ndarray) -> bytes:
    """An image file as bytes."""
    file = BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()
