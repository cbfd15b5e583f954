"""Exporter to a Hugging Face folder that the stock library loads: new configuration, renumbered layers, tokenizer."""

import fnmatch
import json
import shutil
from importlib import import_module
from pathlib import Path
from typing import Any

from ..errors import ExportError, Message
from ..jobs import CancelToken, Job, NeverCancelled, Progress
from ..sources.exported_folder import is_export
from ..sources.hugging_face import folder_of
from ..sources.protocol import ModelSpec
from ..surgery.repair.config_fit import ATTENTION, FittedModel, is_transformers, misfit
from ..surgery.repair.decilm_form import decilm_config, fitted_or_decilm, is_llama, written_as
from .model_card import MARK
from .model_package import bytes_of
from .protocol import Exported, ExportRequest, Predictor
from .pytorch import check_by_code
from .staged_output import check_destination, staged_folder
from .table import require

FORMAT, CARD = "hugging-face", "README.md"
"""Name of the format, and the model card, whose tag `MARK` says who wrote the folder."""
CARRIED = (
    "tokenizer*", "vocab*", "merges.txt", "special_tokens_map.json", "added_tokens.json", "*.model", "*.jinja",
    "preprocessor_config.json", "processor_config.json", "video_preprocessor_config.json", "chat_template.json",
    "LICENSE*", "NOTICE*", "normalizer.json", "spiece*", "sentencepiece*", "*.py",
)  # fmt: skip
"""Files of the original's folder that hold no size of the model: tokenizer, processor, licence, code."""
DECILM, DECILM_CODE = "DeciLMForCausalLM", "secateur.engine.runtime.modeling_decilm"
"""The class of folders whose layers have different sizes, and the file of it that is put into them."""
STOCK = (
    "import transformers\n\nload = transformers.{name}.from_pretrained\nmodel = load(folder)\n"
    "others = (load(folder, attn_implementation=one) for one in {attention})\n"
)
REMOTE = (
    "import os\nimport tempfile\n\ncopies = tempfile.TemporaryDirectory()\n"
    'os.environ["HF_MODULES_CACHE"] = copies.name\n'
    "import transformers\n\n"
    "model = transformers.AutoModelForCausalLM.from_pretrained(folder, trust_remote_code=True)\n"
)
CODE_CARD = "\n`modeling_decilm.py` builds these sizes: pass `trust_remote_code=True` to load them.\n"
"""What loads a folder in a fresh process, where the library's copy of its code is not kept; and what its card adds."""
AUTO = (
    "AutoModelForCausalLM", "AutoModelForMaskedLM", "AutoModelForSeq2SeqLM", "AutoModelForSequenceClassification",
    "AutoModelForTokenClassification", "AutoModelForQuestionAnswering", "AutoModelForImageClassification",
    "AutoModelForSpeechSeq2Seq", "AutoModelForCTC", "AutoModelForAudioClassification", "AutoModelForImageTextToText",
    "AutoModelForSemanticSegmentation", "AutoModelForObjectDetection", "AutoModelForDepthEstimation", "AutoModel",
)  # fmt: skip
"""Auto classes, in the order in which they are asked whether they build a class."""


class HuggingFaceExporter:
    """Writes a folder: config.json, safetensors, generation config, tokenizer, a model card."""

    def refusal(self, request: ExportRequest) -> ExportError | None:
        """A model of another library, or one that no configuration describes; that is found by building on trial."""
        if not is_transformers(request.model):
            template = "{name} is not a model of the Transformers library. Choose another format."
            return ExportError("export.hf_class", template, name=request.name)
        reason = misfit(request.model)
        if reason is not None and is_llama(request.model) and decilm_config(request.model) is not None:
            return None
        return None if reason is None else _no_config(request, reason)

    def export(self, request: ExportRequest, token: CancelToken) -> Job[Exported]:
        """Write the folder, then load it with the stock library in a process that cannot import Secateur, and compare.

        Raises:
            ExportError: Nothing is left behind, an older export of that name is still there. Code "export.hf_config"
                where no configuration describes the model.
        """
        path = Path(request.path).expanduser().absolute()
        check_destination(path, 2 * bytes_of(request.model), folder=True, is_ours=is_own_folder)
        yield Progress("Finding the configuration", 0, 3)
        require(self.refusal(request))
        fitted = fitted_or_decilm(request.model, request.inputs)
        if not isinstance(fitted, FittedModel):
            raise _no_config(request, fitted)
        model, notes = fitted.model, ()
        remote = type(model).__name__ == DECILM
        if remote:
            notes = (written_as(model.config),)
        yield Progress("Writing the folder", 1, 3)
        with staged_folder(path, is_own_folder) as folder:
            model.save_pretrained(folder)
            if remote:  # the file that builds the model goes with its weights, and the configuration names it
                source, config = Path(str(import_module(DECILM_CODE).__file__)), folder / "config.json"
                shutil.copyfile(source, folder / source.name)
                document = json.loads(config.read_text(encoding="utf-8"))
                classes = {"AutoConfig": "DeciLMConfig", "AutoModelForCausalLM": DECILM}
                document["auto_map"] = {auto: f"{source.stem}.{name}" for auto, name in classes.items()}
                config.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
            for file in carried_files(request.spec):
                if not (folder / file.name).exists():
                    shutil.copyfile(file, folder / file.name)
            card = (request.card or model_card(request.name, request.macs, model)) + (CODE_CARD if remote else "")
            (folder / CARD).write_text(card, encoding="utf-8")
            # The folder has to load with each way in which the library computes attention: the user may choose any.
            attention = [one for one in ATTENTION if one == "eager" or type(model)._supports_sdpa]
            code = REMOTE if remote else STOCK.format(name=auto_class(model), attention=attention)
            difference = yield from check_by_code(folder, code, request, token or NeverCancelled())
        files = sorted(one for one in path.iterdir() if one.is_file())
        size = sum(one.stat().st_size for one in files)
        return Exported(FORMAT, tuple(map(str, files)), difference, None, size, notes)

    def predictor(self, path: str) -> Predictor:
        """The model that the folder holds, loaded by the library in this process."""
        library = import_module("transformers")
        named = json.loads((Path(path) / "config.json").read_text(encoding="utf-8"))["architectures"][0]
        kind = getattr(import_module(DECILM_CODE) if named == DECILM else library, named)
        return kind.from_pretrained(path, dtype="auto").eval()


def _no_config(request: ExportRequest, reason: Message) -> ExportError:
    template = "{name} cannot be written as a Hugging Face folder. {reason}"
    return ExportError("export.hf_config", template, name=request.name, reason=reason)


def auto_class(model: Any) -> str:
    """The Auto class that builds models of this class from their configuration; the class itself where none does."""
    if type(model).__name__ == DECILM:
        return "AutoModelForCausalLM"
    library = import_module("transformers")
    for name in AUTO:
        found = getattr(library, name)._model_mapping.get(type(model.config), ())
        if type(model) in (found if isinstance(found, tuple) else (found,)):
            return name
    return type(model).__name__


def carried_files(spec: ModelSpec | None) -> list[Path]:
    """Files of the folder that a model was opened from which go with its weights: tokenizer, licence, code."""
    folder = None if spec is None else folder_of(spec)
    files = [one for one in folder.iterdir() if one.is_file()] if folder is not None else []
    return sorted(one for one in files if any(fnmatch.fnmatch(one.name, pattern) for pattern in CARRIED))


def model_card(name: str, macs: int, model: Any) -> str:
    """A model card with the metadata of the Hub, which also tells an export from a folder of the user's own."""
    parameters = sum(one.numel() for one in model.parameters())
    return (
        f"---\nlibrary_name: transformers\ntags:\n- {MARK}\n---\n\n# {name}, pruned\n\n"
        f"{parameters:,} parameters, {macs:,} multiply-accumulates a sample. Load it with "
        f"`transformers.{auto_class(model)}.from_pretrained`.\n"
    )


def is_own_folder(folder: Path) -> bool:
    """Whether an export wrote a folder, so that another one may replace it."""
    card = folder / CARD
    own = card.is_file() and f"- {MARK}\n" in card.read_text(encoding="utf-8", errors="replace")
    return own or is_export(str(folder))
