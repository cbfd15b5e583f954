"""What of the command line goes with a sentence of the engine, whose own words name no argument: a window has none."""

from ..errors import Message

HINTS = {
    "baselines.no_family": "--stock",
    "baselines.stock_random": "--stock-weights",
    "checkpoint.pickle": "--trust-pickle",
    "engine.memory": "--batch",
    "engine.memory_asked": "--batch",
    "note.unused": "--ignore-unused",
    "open.lazy": "--input",
    "outputs.narrower": "--output",
    "open.no_input": "--input, --task",
    "plan.kind_preset": "--preset NAME",
    "plan.shape_no_config": "--uniform",
    "program.pickle": "--trust-pickle",
    "project.moved": "--moved OLD=NEW",
    "session.machine": "--over-ssh",
    "session.no_task": "--task",
    "target.bench_precision": "--precision",
    "target.bench_runtime": "--runtime",
    "folder.sizes": "--crop 224, --resize 256 --crop 224",
    "masks.sizes": "--crop 224x224",
    "task.preparation": "--mean, --std",
    "task.found_preprocessing": "--resize, --crop, --interpolation, --mean, --std",
    "task.tokens": "--length, --tokenizer",
    "task.vocabulary": "--tokenizer",
    "table.purpose": "--label NAME, --purpose",
    "table.pairs": "--purpose similarity, --features NAME",
    "source.changed_code": "--trust-code",
    "source.code": "--trust-code",
    "source.download": "--download",
    "source.machine": "--trust-code",
    "source.pretrained": "--download, --weights FILE",
    "source.random": "--weights FILE, --pretrained DEFAULT",
    "source.untrained": "--weights FILE",
    "source.hf_download": "--download",
    "export.exists": "--overwrite",
    "export.no_samples": "--task",
    "export.not_evaluated": "--task",
    "export.yolo_code": "--own-class",
    "path.outside": "--out",
}
"""Code of a sentence -> the arguments that do what it asks for."""

OBSTACLES = {
    "kinds": "--depth",
    "locks": "--lock",
    "minimum": "--min-keep",
    "multiple": "--multiple",
    "scores": "--criterion",
    "scope": "--scope",
}
"""What keeps a goal out of reach (`planning.infeasibility`) -> the argument that sets it."""


def with_hint(message: Message) -> str:
    """The sentence, and in brackets the arguments."""
    hint = HINTS.get(message.code)
    if obstacles := message.arguments.get("obstacles"):
        hint = ", ".join(OBSTACLES[name] for name, _ in obstacles)
    return f"{message} ({hint})" if hint else str(message)
