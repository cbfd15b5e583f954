"""Which source leaves in which format: the list behind the matrix test, and the table of it in the manual.

`python -m tests.engine.export.matrix` writes the table into the manual.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from secateur.engine.export.table import EXPORTERS
from secateur.engine.sources.protocol import ModelSpec

from ..sources import test_gguf_file as gguf_files
from .nets import WHISPER

MANUAL = Path(__file__).parents[3] / "resources" / "manual" / "exports.md"
BEGIN, END = "<!-- exports by source -->", "<!-- end -->"
FORMATS = [name for name in EXPORTERS if name not in ("model-card", "ultralytics")]
"""Those that hold a model of any source."""
NO_LLAMA = {
    "gguf": (
        "{name} is not a Llama of the Transformers library, the family that GGUF is written for. Choose another format."
    )
}
NO_CONFIG = NO_LLAMA | {"hugging-face": "{name} is not a model of the Transformers library. Choose another format."}
"""By format, the sentence that refuses it."""
CONVNET = """
import torch
from torch import nn


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 16, 3, padding=1), nn.BatchNorm2d(16), nn.ReLU())
        self.block = nn.Sequential(nn.Conv2d(16, 24, 3, padding=1), nn.ReLU(), nn.Conv2d(24, 16, 3, padding=1))
        self.head = nn.Linear(16, 10)

    def forward(self, x):
        x = self.stem(x)
        return self.head((x + self.block(x)).mean((2, 3)))


def make():
    torch.manual_seed(0)
    return Net()
"""
SIZES: dict[str, Any] = {"vocab_size": 90, "hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 4}


@dataclass(frozen=True)
class Row:
    """A source with a model.

    Attributes:
        source: What it is opened from, for a person.
        model: Which network, for a person.
        make: Writes it into a folder and says how it is opened.
        refused: Formats that cannot be, with the sentence that says why; all others must work.
        slow: It takes more than its share of the whole.
    """

    source: str
    model: str
    make: Callable[[Path], ModelSpec]
    refused: Mapping[str, str] = field(default_factory=dict[str, str])
    slow: bool = False


def _python(folder: Path) -> ModelSpec:
    (folder / "net.py").write_text(CONVNET)
    return ModelSpec(f"{folder / 'net.py'}:make", input_shape=(2, 3, 16, 16))


def _convnet() -> tuple[Any, Any]:
    import torch

    names: dict[str, Any] = {}
    exec(CONVNET, names)
    return names["make"]().eval(), torch.randn(2, 3, 16, 16)


def _onnx(folder: Path) -> ModelSpec:
    from secateur.engine.export.write_onnx import export_onnx_here

    model, x = _convnet()
    export_onnx_here(model, (x,), folder / "net.onnx")
    return ModelSpec(str(folder / "net.onnx"))


def _program(folder: Path) -> ModelSpec:
    import torch

    model, x = _convnet()
    program = torch.export.export(model, (x,), dynamic_shapes=({0: torch.export.Dim("batch")},))
    torch.export.save(program, folder / "net.pt2")
    return ModelSpec(str(folder / "net.pt2"), trust_pickle=True)


def _gguf(folder: Path) -> ModelSpec:
    return ModelSpec(str(gguf_files.written(gguf_files.llama(), folder / "llama.gguf")), uniform=True)


def _timm(folder: Path) -> ModelSpec:
    return ModelSpec("timm:test_resnet", input_shape=(2, 3, 32, 32))


def _hugging_face(kind: str, config: str, **sizes: Any) -> Callable[[Path], ModelSpec]:
    """A folder that the stock library writes of a small model."""

    def make(folder: Path) -> ModelSpec:
        import torch
        import transformers

        torch.manual_seed(0)
        model = getattr(transformers, kind)(getattr(transformers, config)(**sizes))
        for parameter in model.parameters():  # else layers with small weights hide what is wrong
            parameter.data += 0.02 * torch.randn_like(parameter)
        model.save_pretrained(folder / "model")
        return ModelSpec(str(folder / "model"), uniform=True)

    return make


FOLDER = "Hugging Face folder"
ROWS = (
    Row("Python file", "convnet", _python, NO_CONFIG),
    Row("timm", "ResNet", _timm, NO_CONFIG),
    Row(
        FOLDER,
        "ViT",
        _hugging_face(
            "ViTForImageClassification",
            "ViTConfig",
            hidden_size=32,
            num_hidden_layers=2,
            num_attention_heads=4,
            intermediate_size=64,
            image_size=16,
            patch_size=4,
        ),
        NO_LLAMA,
    ),
    Row(
        FOLDER,
        "BERT",
        _hugging_face("BertForSequenceClassification", "BertConfig", **SIZES, intermediate_size=64),
        NO_LLAMA,
    ),
    Row(
        FOLDER,
        "Llama, grouped queries",
        _hugging_face("LlamaForCausalLM", "LlamaConfig", **SIZES, intermediate_size=64, num_key_value_heads=2),
    ),
    Row(
        FOLDER,
        "T5",
        _hugging_face(
            "T5ForConditionalGeneration",
            "T5Config",
            vocab_size=90,
            d_model=32,
            d_kv=8,
            d_ff=64,
            num_layers=1,
            num_heads=4,
        ),
        NO_LLAMA,
        slow=True,
    ),
    Row(
        FOLDER,
        "Whisper",
        _hugging_face("WhisperForConditionalGeneration", "WhisperConfig", **WHISPER),
        NO_LLAMA,
        slow=True,
    ),
    Row(
        FOLDER,
        "Mixtral, mixture of experts",
        _hugging_face(
            "MixtralForCausalLM",
            "MixtralConfig",
            **SIZES,
            intermediate_size=48,
            num_key_value_heads=2,
            num_local_experts=4,
        ),
        NO_LLAMA,
    ),
    Row("ONNX file", "convnet", _onnx, NO_CONFIG),
    Row("torch.export program", "convnet", _program, NO_CONFIG),
    Row("GGUF file", "Llama, grouped queries", _gguf),
)


def table() -> str:
    """The rows as a table in Markdown, with the reasons below it."""
    titles = [EXPORTERS[name].title.removesuffix(" folder").removesuffix(" program") for name in FORMATS]
    lines = [f"| source | model | {' | '.join(titles)} |", "|---" * (len(FORMATS) + 2) + "|"]
    reasons = list(dict.fromkeys(reason for row in ROWS for reason in row.refused.values()))
    for row in ROWS:
        cells = [f"no ({reasons.index(row.refused[name]) + 1})" if name in row.refused else "yes" for name in FORMATS]
        lines.append(f"| {row.source} | {row.model} | {' | '.join(cells)} |")
    told = [f"{number}. {reason.format(name='The model')}" for number, reason in enumerate(reasons, 1)]
    return "\n".join([*lines, "", *told])


def manual(text: str) -> str:
    """The manual's page with the table as it is now."""
    before, _, rest = text.partition(BEGIN)
    return f"{before}{BEGIN}\n\n{table()}\n\n{END}{rest.partition(END)[2]}"


if __name__ == "__main__":
    MANUAL.write_text(manual(MANUAL.read_text(encoding="utf-8")), encoding="utf-8")
