"""Loads exports of all formats where Secateur cannot be imported, and runs them. Run by path.

Reads JSON [{"format", "path", "inputs", "out"}] from a file; the arrays in "inputs" (.npz) have the inputs' names.
"""
# pyright: reportMissingImports=false

import json
import sys
from pathlib import Path
from typing import Any

sys.modules["secateur"] = None  # type: ignore[assignment]  # importing it fails from here on

import numpy as np  # noqa: E402
import torch  # noqa: E402


def onnx(path: str, inputs: dict[str, Any]) -> Any:
    import onnxruntime

    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    names = [one.name for one in session.get_inputs()]
    found = session.run(None, dict(zip(names, _ordered(names, inputs), strict=True)))
    return dict(zip((one.name for one in session.get_outputs()), found, strict=True))


def openvino(path: str, inputs: dict[str, Any]) -> Any:
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
    from openvino import Core

    core = Core()
    compiled = core.compile_model(core.read_model(path), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    names = [one.get_any_name() for one in compiled.inputs]
    found = compiled(dict(zip(names, _ordered(names, inputs), strict=True)))
    return {output.get_any_name(): found[output] for output in compiled.outputs}


def program(path: str, inputs: dict[str, Any]) -> Any:
    return _called(torch.export.load(path).module(), inputs)


def executorch(path: str, inputs: dict[str, Any]) -> Any:
    from executorch.runtime import Runtime

    program = Runtime.get().load_program(path)
    about = json.loads(bytes(program.load_method("about").execute([])[0].tolist()))
    method, given = program.load_method("forward"), [torch.from_numpy(one) for one in _ordered(about["inputs"], inputs)]
    samples = ([one[n : n + 1].contiguous() for one in given] for n in range(len(given[0])))
    found = zip(*([one.clone() for one in method.execute(sample)] for sample in samples), strict=True)
    return dict(zip(about["outputs"], (torch.cat(one) if one[0].ndim else one[0] for one in found), strict=True))


def hugging_face(path: str, inputs: dict[str, Any]) -> Any:
    import transformers

    config = transformers.AutoConfig.from_pretrained(path)
    kind = getattr(transformers, config.architectures[0])
    return _called(kind.from_pretrained(path).eval(), inputs)


def gguf(path: str, inputs: dict[str, Any]) -> Any:
    import transformers
    from gguf import GGUFReader, get_tensor_name_map
    from gguf.constants import MODEL_ARCH

    reader = GGUFReader(path)
    told = {name.removeprefix("llama."): one.contents() for name, one in reader.fields.items()}
    layers, heads, groups = told["block_count"], told["attention.head_count"], told["attention.head_count_kv"]
    state = {one.name: torch.from_numpy(np.array(one.data)) for one in reader.tensors}
    settings: dict[str, Any] = {
        "vocab_size": told["vocab_size"], "hidden_size": told["embedding_length"], "num_hidden_layers": layers,
        "intermediate_size": told["feed_forward_length"], "num_attention_heads": heads, "num_key_value_heads": groups,
        "head_dim": told["attention.key_length"], "rope_theta": told["rope.freq_base"],
        "rms_norm_eps": told["attention.layer_norm_rms_epsilon"], "tie_word_embeddings": "output.weight" not in state,
    }  # fmt: skip
    model = transformers.LlamaForCausalLM(transformers.LlamaConfig(**settings))
    names: Any = get_tensor_name_map(MODEL_ARCH.LLAMA, layers)  # what llama.cpp's converter calls a weight
    for name, parameter in model.named_parameters():
        value = state[f"{names.get_name(name.removesuffix('.weight'))}.weight"]
        if "q_proj" in name or "k_proj" in name:
            both = value.reshape(-1, settings["head_dim"], value.shape[1])
            value = torch.cat([both[:, 0::2], both[:, 1::2]], 1).reshape(value.shape)
        parameter.data = value
    return _called(model.eval(), inputs)


def pytorch(path: str, inputs: dict[str, Any]) -> Any:
    lines = (Path(path) / "README.txt").read_text().splitlines()
    code = "\n".join(line.removeprefix("    ") for line in lines if line.startswith("    "))
    names: dict[str, Any] = {"__name__": "readme"}
    exec(code.replace('folder = "."', f"folder = {path!r}"), names)
    for name in [one for one in sys.modules if one in ("load_pruned", "net")]:
        del sys.modules[name]  # the next folder has its own
    sys.path.remove(path)
    return _called(names["model"].eval(), inputs)


LOADERS = {
    "onnx": onnx, "onnx-fp16": onnx, "onnx-int8": onnx, "openvino": openvino, "program": program, "pytorch": pytorch,
    "executorch": executorch, "hugging-face": hugging_face, "gguf": gguf,
}  # fmt: skip

WITH_CODE = ("pytorch", "hugging-face", "gguf")
"""Formats that load the model's library; the others come first, so that none of them leans on it."""


def _ordered(names: list[str], inputs: dict[str, Any]) -> list[Any]:
    return [inputs[name] for name in names] if set(names) == set(inputs) else list(inputs.values())


def _called(model: Any, inputs: dict[str, Any]) -> Any:
    tensors = {name: torch.from_numpy(one) for name, one in inputs.items()}
    positional = all(name.isdigit() for name in tensors)
    with torch.no_grad():
        return model(*tensors.values()) if positional else model(**tensors)


def _main_output(found: Any) -> Any:
    if isinstance(found, dict) and "logits" in found:
        return found["logits"]
    first = getattr(found, "logits", found)
    while isinstance(first, dict | list | tuple):
        first = next(iter(first.values())) if isinstance(first, dict) else first[0]
    return first


def main() -> None:
    jobs = json.loads(Path(sys.argv[1]).read_text())
    for job in sorted(jobs, key=lambda one: one["format"] in WITH_CODE):
        with np.load(job["inputs"]) as stored:
            inputs = dict(stored)
        try:
            found = _main_output(LOADERS[job["format"]](job["path"], inputs))
            np.save(job["out"], np.asarray(found))
        except Exception as error:
            Path(job["out"]).with_suffix(".txt").write_text(f"{type(error).__name__}: {error}")


if __name__ == "__main__":
    main()
