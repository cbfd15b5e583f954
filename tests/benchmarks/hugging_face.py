"""Twenty architectures of transformers from tiny folders: opened, cut with uniform layers to 60 %, reloaded by stock.

    python -m tests.benchmarks.hugging_face [NAME ...]

Each runs in a process of its own. Prints a Markdown table, and writes it to `results/hugging_face.md`.
"""

import json
import subprocess
import sys
import tempfile
from contextlib import closing
from pathlib import Path
from typing import Any

NAMES = """
    LlamaForCausalLM MistralForCausalLM Qwen2ForCausalLM Qwen3ForCausalLM Phi3ForCausalLM OlmoForCausalLM
    SmolLM3ForCausalLM GPT2LMHeadModel GPTNeoXForCausalLM OPTForCausalLM MixtralForCausalLM Gemma2ForCausalLM
    BertForMaskedLM RobertaForSequenceClassification DistilBertForSequenceClassification ElectraForPreTraining
    ViTForImageClassification Dinov2ForImageClassification WhisperForConditionalGeneration T5ForConditionalGeneration
"""
KEEP = 0.6
RESULTS = Path(__file__).with_name("results") / "hugging_face.md"
STOCK = """
import json, sys
import torch, transformers

folder, inputs, auto, out = sys.argv[1:]
model = getattr(transformers, auto).from_pretrained(folder).eval()
given = torch.load(inputs)
with torch.no_grad():
    found = model(**given)
equal = None
if model.can_generate():
    main = {model.main_input_name: given[model.main_input_name]}
    how = {"max_new_tokens": 6, "min_new_tokens": 6, "do_sample": False}
    if model.config.is_encoder_decoder and model.generation_config.decoder_start_token_id is None:
        how["decoder_start_token_id"] = 0
    made = [model.generate(**main, use_cache=cache, **how) for cache in (True, False)]
    equal = torch.equal(*made)
torch.save({"outputs": [v for v in found.values() if isinstance(v, torch.Tensor)], "equal": equal}, out)
"""


def cell(name: str) -> dict[str, Any]:
    """Write a tiny folder, prune it by its name alone, and load the result with the stock library."""
    import torch
    import transformers

    from secateur.engine.export.hugging_face import auto_class
    from secateur.engine.jobs import finish
    from secateur.engine.planning.protocol import Cost, Goal, Limit
    from secateur.engine.session.session import Session
    from secateur.engine.sources.protocol import ModelSpec
    from secateur.engine.workflows.export import export_state
    from secateur.engine.workflows.prune import PruneRequest, prune_state

    from .breadth.shrink import tiny

    transformers.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    with tempfile.TemporaryDirectory() as place, closing(Session()) as session:
        folder, out = Path(place) / "tiny", Path(place) / "small"
        torch.manual_seed(0)
        kind: Any = getattr(transformers, name)
        kind(tiny(kind.config_class)).save_pretrained(folder)
        opened = finish(session.open(ModelSpec(str(folder), uniform=True), evaluate=False))
        settings = PruneRequest(Goal((Limit(Cost.PARAMETERS, KEEP),)), "l1")
        (state,) = finish(prune_state(session, "s0", settings))
        exported = finish(export_state(session, state.id, "hugging-face", str(out)))
        live = session.model(state.id)
        inputs: dict[str, Any] = dict(session.prepared.inputs)
        torch.save(inputs, Path(place) / "inputs.pt")
        arguments = [str(out), f"{place}/inputs.pt", auto_class(live), f"{place}/out.pt"]
        subprocess.run([sys.executable, "-P", "-c", STOCK, *arguments], check=True, cwd=place, capture_output=True)
        stock = torch.load(f"{place}/out.pt")
        with torch.no_grad():
            expected = [v for v in live(**inputs).values() if isinstance(v, torch.Tensor)]
        far = max(float((a - b).abs().max()) for a, b in zip(expected, stock["outputs"], strict=True))
        return {
            "kept": state.parameters / opened.state.parameters,
            "difference": far,
            "exported": exported.difference,
            "generate": stock["equal"],
            "auto": auto_class(live),
        }


def main(names: list[str]) -> None:
    """Run the cells and print the table."""
    lines = [
        "| architecture | loaded by | parameters kept | difference | cached generate equal |",
        "|---|---|---|---|---|",
    ]
    for name in names or NAMES.split():
        run = subprocess.run([sys.executable, "-m", __spec__.name, "--cell", name], capture_output=True, text=True)
        if run.returncode:
            reason = (run.stderr.strip().splitlines() or ["no reason"])[-1]
            lines.append(f"| {name} | | | {reason.partition(': ')[2] or reason} | |")
        else:
            one = json.loads(run.stdout.strip().splitlines()[-1])
            equal = {True: "yes", False: "no", None: ""}[one["generate"]]
            lines.append(f"| {name} | {one['auto']} | {one['kept']:.1%} | {one['difference']:.1e} | {equal} |")
        print(lines[-1], flush=True)
    if not names:
        RESULTS.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--cell"]:
        print(json.dumps(cell(sys.argv[2])))
    else:
        main(sys.argv[1:])
