"""Follow the README of a PyTorch export in a process without Secateur, and compare. Run by path, stands alone.

Reads a line of JSON {"folder", "code", "cases"} from standard input and answers {"result": {"difference": ...}}.
"""

import importlib.util
import json
import os
import sys
import threading
from pathlib import Path
from typing import Any


def main() -> None:
    """Execute the code, run the model, compare."""
    output = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what the user's code prints must not get between
    job: dict[str, Any] = json.loads(sys.stdin.readline())
    threading.Thread(target=_exit_with_parent, daemon=True).start()
    compare = _neighbour("compare")
    sys.modules["secateur"] = None  # type: ignore[assignment]  # importing it fails from here on
    model = _model(job["folder"], job["code"])
    worst = max(
        compare.difference(expected, _run(model, inputs)) for inputs, expected in compare.read_cases(job["cases"])
    )
    output.write(json.dumps({"result": {"difference": worst}}) + "\n")
    output.flush()


def _exit_with_parent() -> None:
    sys.stdin.read()
    os._exit(1)


def _neighbour(name: str) -> Any:
    """Load a module that lies beside this file, outside its package."""
    spec = importlib.util.spec_from_file_location(name, Path(__file__).with_name(f"{name}.py"))
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _model(folder: str, code: str) -> Any:
    names: dict[str, Any] = {"folder": folder, "__name__": "readme"}
    exec(compile(code, "README.txt", "exec"), names)
    return names["model"].eval()


def _run(model: Any, inputs: list[Any]) -> list[Any]:
    import torch
    from torch.utils._pytree import tree_leaves

    with torch.no_grad():
        result = model(*(torch.from_numpy(one) for one in inputs))
    return [leaf.numpy() for leaf in tree_leaves(result) if isinstance(leaf, torch.Tensor)]


if __name__ == "__main__":
    main()
