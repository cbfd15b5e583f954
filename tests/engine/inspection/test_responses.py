"""What structures do is what a hook by hand sees, attention what transformers returns; the model stays as it was."""

import io
import itertools
import threading
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from secateur.engine.errors import TaskError
from secateur.engine.inspection.activity import measure_activity
from secateur.engine.inspection.response_data import LayerResponses, MapForm
from secateur.engine.inspection.responses import measure_responses
from secateur.engine.inspection.sample_views import grid_of
from secateur.engine.inspection.similarity import ResponseMoments
from secateur.engine.jobs import Cancelled, finish
from secateur.engine.structures.analyse import analyse
from secateur.engine.structures.analysis import Analysis, Kind
from secateur.engine.tasks.protocol import BYTES, Split, TaskSpec
from tests.engine.scoring.given_task import GivenTask

transformers = pytest.importorskip("transformers")
NAMES = ("first", "second")
PIXELS = torch.rand(30, 3, 16, 16, generator=torch.Generator().manual_seed(1))


class Net(nn.Module):
    """Two convolutions with norms, a pooled and a flattened reader."""

    def __init__(self, flatten: bool = False) -> None:
        super().__init__()
        self.first, self.norm = nn.Conv2d(3, 6, 3, padding=1), nn.BatchNorm2d(6)
        self.second, self.flatten = nn.Conv2d(6, 12, 3, stride=4), flatten
        self.head = nn.Linear(12 * 16 if flatten else 12, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.second(torch.relu(self.norm(self.first(x)))).relu()
        return self.head(x.flatten(1) if self.flatten else x.mean((2, 3)))


def _net(flatten: bool = False) -> Net:
    torch.manual_seed(3)
    net = Net(flatten).eval()
    assert net.first.bias is not None
    with torch.no_grad():
        # Filter 2 responds like filter 4 but for a factor, and filter 5 to nothing.
        net.first.weight[2], net.first.bias[2] = 2 * net.first.weight[4], 2 * net.first.bias[4]
        net.first.weight[5], net.first.bias[5] = 0, -1
    return net


def _responses(net: nn.Module, task: Any, name: str, module: str = "", **further: Any) -> LayerResponses:
    analysis = further.pop("analysis", None) or analyse(net, task.example_inputs())
    one = next(each for each in analysis.sets if each.name == name)
    return finish(measure_responses(net, analysis, analysis.empty(), one.key, module, task, **further))


def _entering(module: nn.Module, net: nn.Module, *given: Any, **named: Any) -> Tensor:
    """What a module is given in a forward, by a hook written here."""
    seen: list[Tensor] = []
    handle = module.register_forward_pre_hook(lambda _, args: seen.append(args[0].detach().clone()))
    with torch.no_grad():
        net(*given, **named)
    handle.remove()
    return seen[0]


def test_a_filters_responses_are_those_that_a_hook_by_hand_sees() -> None:
    net, task = _net(), GivenTask(PIXELS, 3, batch=13)
    found = _responses(net, task, "first.weight")
    seen = _entering(net.second, net, PIXELS)  # [30, 6, 16, 16]
    flat = seen.transpose(0, 1).flatten(1).double().numpy()
    peaks, order = seen.amax((2, 3)).T.topk(9)
    assert np.allclose(found.values, peaks, atol=1e-5)
    assert np.allclose(found.active, (flat > 0).mean(1), atol=1e-6)
    assert np.allclose(found.deviation, flat.std(1), atol=1e-5)
    assert (found.form, found.reader, found.seen) == (MapForm.IMAGE, "second.weight", 30)
    assert found.dead.tolist() == [False] * 5 + [True]
    labels = np.arange(13) % 3, np.arange(13) % 3, np.arange(4) % 3
    for number in range(3):
        rows = [n for n, label in enumerate(itertools.chain(*_labels(task))) if label == number]
        assert np.allclose(found.class_means[:, number], seen[rows].mean((0, 2, 3)), atol=1e-5), labels
        assert found.class_counts[number] == len(rows)
    for row in range(5):
        maps = seen[order[row], row]
        assert np.abs(found.maps[row] - (255 * maps / maps.max()).numpy()).max() <= 1
    shown = np.asarray(Image.open(io.BytesIO(found.samples[found.top[0, 0]].picture)))
    pixels = PIXELS[int(order[0, 0])].permute(1, 2, 0)
    stretched = 255 * (pixels - pixels.min()) / (pixels.max() - pixels.min())
    assert np.abs(shown - stretched.numpy()).mean() < 10, "its picture is that of another sample"


def _labels(task: GivenTask) -> Iterator[list[int]]:
    yield from (labels.tolist() for _, labels in task.given)


def test_correlations_are_numpys() -> None:
    net = _net()
    found = _responses(net, GivenTask(PIXELS[:20], 3, batch=20), "first.weight")
    flat = _entering(net.second, net, PIXELS[:20]).transpose(0, 1).flatten(1).double().numpy()
    with np.errstate(invalid="ignore", divide="ignore"):
        expected = np.corrcoef(flat)
    np.fill_diagonal(expected, 0)
    for row, best in itertools.product(range(5), range(4)):
        partner = int(found.partners[row, best])
        assert partner != row
        assert found.similarity[row, best] == pytest.approx(expected[row, partner], abs=1e-4)
    assert found.partners[2, 0] == 4
    assert found.similarity[2, 0] == pytest.approx(1, abs=1e-4)
    assert found.alike(2, 0.99).tolist() == [4]
    assert found.alike(5, 0.0).tolist() == [], "what is dead is like nothing"


@pytest.mark.parametrize("width", [7, 700])
def test_wide_layers_are_compared_block_by_block(width: int) -> None:
    x = torch.randn(400, width, generator=torch.Generator().manual_seed(0)) + 50
    x[:, width - 1] = -x[:, 0] + 0.1 * x[:, 1]
    moments = ResponseMoments(width, 1)
    for part in x.split(90):
        moments.add(part)
    rows, values = moments.partners(3)
    expected = np.corrcoef(x.double().numpy().T)
    np.fill_diagonal(expected, 0)
    best = np.argsort(-np.abs(expected), 1)[:, :3]
    assert np.allclose(values, np.take_along_axis(expected, rows, 1), atol=1e-3)
    assert (rows[:, 0] == best[:, 0]).mean() > 0.99
    assert rows[0, 0] == width - 1
    assert values[0, 0] < -0.9


def test_structures_of_several_values_are_compared_by_their_kernels() -> None:
    x = torch.randn(300, 4, 5, generator=torch.Generator().manual_seed(0)).double()
    turn = torch.linalg.qr(torch.randn(5, 5, generator=torch.Generator().manual_seed(1)).double()).Q
    x[:, 3] = 2 * x[:, 1] @ turn
    moments = ResponseMoments(4, 5)
    moments.add(x.flatten(1))
    rows, values = moments.partners(3)

    def kernels(a: Tensor, b: Tensor) -> float:
        a, b = a - a.mean(0), b - b.mean(0)
        return float((a.T @ b).norm() / ((a.T @ a).norm() * (b.T @ b).norm()).sqrt())

    assert rows[1, 0] == 3
    assert values[1, 0] == pytest.approx(1, abs=1e-3)
    for row, best in itertools.product(range(4), range(3)):
        assert values[row, best] == pytest.approx(kernels(x[:, row], x[:, rows[row, best]]), abs=1e-3)


def test_what_is_pooled_or_flattened_before_it_is_read_has_a_map() -> None:
    for flatten in (False, True):
        net = _net(flatten)
        found = _responses(net, GivenTask(PIXELS, 3), "second.weight")
        with torch.no_grad():
            seen = net.second(torch.relu(net.norm(net.first(PIXELS)))).relu()
        peaks, order = seen.amax((2, 3)).T.topk(9)
        assert found.reader == "head.weight"
        assert np.allclose(found.values, peaks, atol=1e-5)
        maps = seen[order[1], 1]
        assert np.abs(found.maps[1] - (255 * maps / maps.max()).numpy()).max() <= 1


def test_the_layer_that_is_asked_for_says_where_a_coupled_set_is_read() -> None:
    class Residual(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.stem, self.inner = nn.Conv2d(3, 4, 3, padding=1), nn.Conv2d(4, 7, 3, padding=1)
            self.outer, self.last = nn.Conv2d(7, 4, 3, padding=1), nn.Conv2d(4, 5, 1)
            self.head = nn.Linear(5, 2)

        def forward(self, x: Tensor) -> Tensor:
            x = self.stem(x).relu()
            x = (x + self.outer(self.inner(x).relu())).relu()
            return self.head(self.last(x).relu().mean((2, 3)))

    torch.manual_seed(0)
    net, task = Residual().eval(), GivenTask(PIXELS, 2)
    for module, reader in (("stem", net.inner), ("outer", net.last), ("", net.inner)):
        found = _responses(net, task, "stem.weight", module)
        assert found.reader == f"{'last' if reader is net.last else 'inner'}.weight"
        assert np.allclose(found.values[:, 0], _entering(reader, net, PIXELS).amax((0, 2, 3)), atol=1e-5)


def test_the_model_is_left_as_it_was() -> None:
    net, task = _net(), GivenTask(PIXELS, 3)
    net.train()
    net.norm.eval()
    net.first.weight.requires_grad_(False)
    hooked: list[int] = []
    handle = net.second.register_forward_hook(lambda *_: hooked.append(1))
    before = {name: one.clone() for name, one in net.state_dict().items()}
    modes, hooks = [m.training for m in net.modules()], [len(m._forward_pre_hooks) for m in net.modules()]
    grads, random = [p.requires_grad for p in net.parameters()], torch.get_rng_state()
    numbers, analysis = np.random.get_state()[1].copy(), analyse(net, task.example_inputs())  # pyright: ignore
    random = torch.get_rng_state()
    job = measure_responses(
        net, analysis, analysis.empty(), analysis.sets[0].key, "", task, samples=20, token=(token := threading.Event())
    )
    next(job)
    token.set()
    with pytest.raises(Cancelled):
        finish(job)
    finish(measure_responses(net, analysis, analysis.empty(), analysis.sets[0].key, "", task, samples=20))
    assert all(torch.equal(one, before[name]) for name, one in net.state_dict().items())
    assert [m.training for m in net.modules()] == modes
    assert [len(m._forward_pre_hooks) for m in net.modules()] == hooks
    assert len(net.second._forward_hooks) == 1
    assert [p.requires_grad for p in net.parameters()] == grads
    assert all(p.grad is None for p in net.parameters())
    assert torch.equal(torch.get_rng_state(), random)
    assert np.array_equal(np.random.get_state()[1], numbers)  # pyright: ignore
    handle.remove()


def test_results_come_on_the_way_and_fewer_samples_are_a_smaller_view() -> None:
    net, task = _net(), GivenTask(PIXELS, 3, batch=30)
    analysis = analyse(net, task.example_inputs())
    job = measure_responses(net, analysis, analysis.empty(), analysis.sets[0].key, "", task)
    early = next(job).made
    assert isinstance(early, LayerResponses)
    assert early.seen < early.total == 30
    few = _responses(net, GivenTask(PIXELS[:4], 3), "first.weight")
    assert (few.top[:, :4] >= 0).all()
    assert (few.top[:, 4:] == -1).all()
    assert np.isnan(few.values[:, 4:]).all()
    one = _responses(net, GivenTask(PIXELS[:1], 3, batch=1), "first.weight")
    assert one.seen == len(one.samples) == 1


def test_structures_that_are_cut_are_left_out() -> None:
    from secateur.engine.surgery.cut.cut import cut

    net, task = _net(), GivenTask(PIXELS, 3)
    analysis = analyse(net, task.example_inputs())
    removed = analysis.empty()
    removed[analysis.sets[0].first + np.array([0, 3])] = True
    smaller = cut(net, analysis, removed, task.example_inputs()).model
    found = finish(measure_responses(smaller, analysis, removed, analysis.sets[0].key, "", task))
    assert (found.structures - analysis.sets[0].first).tolist() == [1, 2, 4, 5]
    peaks = _entering(smaller.get_submodule("second"), smaller, PIXELS).amax((0, 2, 3))
    assert np.allclose(found.values[:, 0], peaks, atol=1e-5)
    assert found.alike(analysis.sets[0].first + 2, 0.99).tolist() == [analysis.sets[0].first + 4]


def test_bad_input_is_said_in_a_sentence() -> None:
    net = _net()
    analysis = analyse(net, (PIXELS[:2],))
    key = analysis.sets[0].key
    with torch.no_grad():
        net.second.weight[0] = float("nan")
        net.first.weight[0] = float("nan")
    with pytest.raises(TaskError, match="NaN or infinity"):
        finish(measure_responses(net, analysis, analysis.empty(), key, "", GivenTask(PIXELS, 3)))
    with pytest.raises(TaskError, match="Nothing is left of layer x"):
        finish(measure_responses(_net(), analysis, analysis.empty(), "none", "layer x", GivenTask(PIXELS, 3)))
    nothing = GivenTask(PIXELS, 3)
    nothing.given = []
    with pytest.raises(TaskError, match="The train split is empty"):
        finish(measure_responses(_net(), analysis, analysis.empty(), key, "", nothing))


def test_what_mixes_samples_has_no_responses_of_samples() -> None:
    class Mixed(Net):
        def forward(self, x: Tensor) -> Tensor:
            y = torch.relu(self.norm(self.first(x)))
            return self.head(self.second(y + y.mean(0, keepdim=True).flip(1) * 9).relu().mean((2, 3)))

    torch.manual_seed(0)
    with pytest.raises(TaskError, match="cannot be divided into samples"):
        _responses(Mixed().eval(), GivenTask(PIXELS, 3), "second.weight")


class Words:
    """Texts as tokens and flags of those that are no padding."""

    def __init__(self, ids: Tensor, mask: Tensor) -> None:
        self.spec = TaskSpec("text", batch=len(ids), options=(("tokenizer", BYTES),))
        self.ids, self.mask = ids, mask

    def example_inputs(self) -> dict[str, Tensor]:
        return {"input_ids": self.ids[:2], "attention_mask": self.mask[:2]}

    def batches(self, split: Split, seed: int | None = None) -> Iterator[Any]:
        yield {"input_ids": self.ids, "attention_mask": self.mask}, self.ids

    def batch_count(self, split: Split) -> int:
        return 1

    def inputs(self, batch: Any) -> Any:
        return batch[0]


@pytest.fixture(scope="module")
def texts() -> Words:
    random = torch.Generator().manual_seed(0)
    ids = torch.randint(97, 122, (12, 30), generator=random)
    mask = torch.ones_like(ids)
    mask[3:, 20:] = 0
    return Words(ids, mask)


def _language_model(kind: str) -> nn.Module:
    torch.manual_seed(0)
    sizes: dict[str, Any] = {
        "vocab_size": 128, "hidden_size": 48, "intermediate_size": 40, "num_hidden_layers": 2, "num_attention_heads": 6,
        "attn_implementation": "eager",
    }  # fmt: skip
    if kind == "llama":
        return transformers.LlamaForCausalLM(transformers.LlamaConfig(num_key_value_heads=3, **sizes)).eval()
    return transformers.BertForMaskedLM(transformers.BertConfig(**sizes)).eval()


def _set_of(analysis: Analysis, kinds: tuple[Kind, ...], inside: str) -> str:
    return next(one.name for one in analysis.sets if one.kind in kinds and inside in one.name)


@pytest.mark.parametrize(("kind", "layer"), [("llama", "layers.1"), ("bert", "layer.1")])
def test_attention_is_what_transformers_returns(kind: str, layer: str, texts: Words) -> None:
    net = _language_model(kind)
    analysis = analyse(net, texts.example_inputs())
    name = _set_of(analysis, (Kind.HEAD, Kind.KV_GROUP), layer)
    found = _responses(net, texts, name, analysis=analysis)
    with torch.no_grad():
        given = net(input_ids=texts.ids, attention_mask=texts.mask, output_attentions=True).attentions[1]
    groups = len(found.structures)
    expected = given.unflatten(1, (groups, -1)).mean(2).double()  # [12, n, 30, 30]
    flags = texts.mask.bool()
    rows = expected.transpose(1, 2)[flags]  # [queries, n, 30]
    entropy = -(rows * rows.clamp_min(1e-30).log2()).sum(-1).mean(0)
    apart = (torch.arange(30)[:, None] - torch.arange(30)).abs().double()
    distance = (expected * apart).sum(-1).transpose(1, 2)[flags].mean(0)
    view = found.attention
    assert view is not None
    assert np.isnan(found.active).all(), "a norm is above 0 everywhere"
    assert view.form is MapForm.TOKENS
    assert np.allclose(view.entropy, entropy, atol=1e-4)
    assert np.allclose(view.distance, distance, atol=1e-4)
    assert np.allclose(view.first, rows[..., 0].mean(0), atol=1e-5)
    shown = expected[:9].transpose(0, 1)
    scaled = (255 * shown / shown.amax((2, 3), keepdim=True)).numpy()
    assert np.abs(view.maps - scaled).max() <= 1
    texts_shown = ["".join(found.samples[n].tokens) for n in view.samples]
    assert texts_shown == [bytes(row.tolist()).decode() for row in texts.ids[:9]]


@pytest.mark.parametrize(("kind", "layer", "reader"), [
    ("llama", "layers.0.mlp", "model.layers.0.mlp.down_proj"),
    ("bert", "layer.0.intermediate", "bert.encoder.layer.0.output.dense"),
])  # fmt: skip
def test_a_neuron_of_a_language_model_has_its_tokens_in_context(
    kind: str, layer: str, reader: str, texts: Words
) -> None:
    net = _language_model(kind)
    analysis = analyse(net, texts.example_inputs())
    found = _responses(net, texts, _set_of(analysis, (Kind.NEURON,), layer), analysis=analysis)
    given: dict[str, Any] = {"input_ids": texts.ids, "attention_mask": texts.mask}
    seen = _entering(net.get_submodule(reader), net, **given)  # [12, 30, 40]
    seen = seen.masked_fill(texts.mask[..., None] == 0, -torch.inf)
    peaks, order = seen.amax(1).T.topk(9)
    assert np.allclose(found.values, peaks, atol=1e-6)
    assert found.form is MapForm.TOKENS
    for structure, rank in ((0, 0), (7, 3)):
        row = int(order[structure, rank])
        view = found.samples[found.top[structure, rank]]
        assert "".join(view.tokens) == bytes(texts.ids[row].tolist()).decode()
        start = int(found.starts[structure, rank])
        place = int(seen[row, :, structure].argmax())
        assert start <= place < start + found.maps.shape[-1]
        assert int(found.maps[structure, rank, 0].argmax()) == place - start
    counting = texts.mask.bool()
    assert np.allclose(found.active, (seen[counting] > 0).double().mean(0), atol=1e-6)


@pytest.mark.parametrize("batch_first", [True, False])
def test_steps_may_come_before_samples(batch_first: bool) -> None:
    class Sequence(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner, self.outer = nn.Linear(5, 8), nn.Linear(8, 3)

        def forward(self, x: Tensor) -> Tensor:
            x = x if batch_first else x.transpose(0, 1)
            y = self.outer(self.inner(x).relu())
            return y.mean(1 if batch_first else 0)

    torch.manual_seed(0)
    x = torch.randn(12, 7, 5)
    net = Sequence().eval()
    task = GivenTask(x, 3, batch=12)
    found = _responses(net, task, "inner.weight")
    with torch.no_grad():
        expected = net.inner(x).relu().amax(1).T.topk(9).values
    assert np.allclose(found.values, expected, atol=1e-5)
    analysis = analyse(net, task.example_inputs())
    whole = finish(measure_activity(net, analysis, analysis.empty(), task))
    assert np.array_equal(whole.active, found.active)


def test_patches_are_found_behind_other_tokens_and_on_images_that_are_no_squares() -> None:
    assert grid_of(197, (224, 224)) == (1, 14, 14)
    assert grid_of(201, (224, 224)) == (5, 14, 14)
    assert grid_of(49, (28, 28)) == (0, 7, 7)
    assert grid_of(8 * 16 + 1, (128, 256)) == (1, 8, 16)
    assert grid_of(50, None) is None
    assert grid_of(11, (224, 224)) is None


def test_all_layers_are_read_in_one_forward() -> None:
    net, task, forwards = _net(flatten=True), GivenTask(PIXELS, 3, batch=30), list[int]()
    analysis = analyse(net, task.example_inputs())
    handle = net.first.register_forward_hook(lambda *_: forwards.append(1))
    found = finish(measure_activity(net, analysis, analysis.empty(), task))
    handle.remove()
    assert len(forwards) == 2, "one of a single sample, one of all"
    assert (found.seen, found.unseen) == (30, 0)
    first, second = (next(one for one in analysis.sets if one.name == f"{name}.weight") for name in NAMES)
    seen = _entering(net.second, net, PIXELS).transpose(0, 1).flatten(1)
    flat = _entering(net.head, net, PIXELS).unflatten(1, (12, 16)).transpose(0, 1).flatten(1)
    for one, values in ((first, seen), (second, flat)):
        assert np.allclose(found.active[one.structures], (values > 0).double().mean(1), atol=1e-6)
        with np.errstate(invalid="ignore", divide="ignore"):
            alike = np.abs(np.corrcoef(values.double().numpy()))
        np.fill_diagonal(alike, 0)
        expected = np.nan_to_num(alike).max(1)
        expected[values.std(1).numpy() == 0] = 1
        assert np.allclose(found.redundancy[one.structures], expected, atol=0.05)
    assert np.allclose(found.redundancy[first.first + np.array([2, 4, 5])], 1, atol=1e-4), "twins, and a dead one"


@pytest.mark.parametrize("kind", ["llama", "bert"])
def test_numbers_of_a_whole_model_are_those_of_its_layers(kind: str, texts: Any) -> None:
    net = _language_model(kind)
    analysis = analyse(net, texts.example_inputs())
    removed = analysis.empty()
    whole = finish(measure_activity(net, analysis, removed, texts))
    sets = [one for one in analysis.sets if one.kind is not Kind.BLOCK]
    for one in sets:
        found = finish(measure_responses(net, analysis, removed, one.key, "", texts))
        assert np.array_equal(whole.active[one.structures], found.active, equal_nan=True)
        assert np.allclose(whole.redundancy[one.structures], np.abs(found.similarity).max(1), atol=1e-4)
    others = ~np.isin(
        np.arange(analysis.count), np.concatenate([np.arange(analysis.count)[s.structures] for s in sets])
    )
    assert np.isnan(whole.redundancy[others]).all(), "blocks respond to nothing"


def test_a_layer_that_mixes_samples_has_no_activity_and_the_others_have() -> None:
    class Mixed(Net):
        def forward(self, x: Tensor) -> Tensor:
            y = self.second(torch.relu(self.norm(self.first(x)))).relu()
            return self.head((y + y.mean(0, keepdim=True).flip(1) * 9).mean((2, 3)))

    torch.manual_seed(0)
    net, task = Mixed().eval(), GivenTask(PIXELS, 3)
    analysis = analyse(net, task.example_inputs())
    found = finish(measure_activity(net, analysis, analysis.empty(), task))
    first, second = (next(one for one in analysis.sets if one.name == f"{name}.weight") for name in NAMES)
    assert found.unseen == 1
    assert np.isfinite(found.active[first.structures]).all()
    assert np.isnan(found.active[second.structures]).all()
