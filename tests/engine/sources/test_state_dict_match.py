"""The state dict that fits is found in a checkpoint, whatever it is wrapped in, and misfits are listed."""

import copy

import pytest
import torch
from torch import nn

from secateur.engine.errors import OpenError
from secateur.engine.sources.state_dict_match import apply, match, require_fit, shapes_of


class Net(nn.Module):
    """Two convolutions, one of them in a branch, and a classifier."""

    def __init__(self, classes=4, width=8):
        super().__init__()
        self.stem = nn.Conv2d(3, width, 3)
        self.bn = nn.BatchNorm2d(width)
        self.model = nn.Sequential(nn.Conv2d(width, width, 3))
        self.fc = nn.Linear(width, classes)


def randomised(seed, **options):
    torch.manual_seed(seed)
    return {
        name: torch.randn_like(t) if t.is_floating_point() else t for name, t in Net(**options).state_dict().items()
    }


def load(content):
    """(loaded state dict, notes)"""
    net = Net()
    notes = apply(match(content, shapes_of(net), "file.pt"), net)
    return net.state_dict(), [str(n) for n in notes]


def same(found, expected):
    return found.keys() == expected.keys() and all(torch.equal(found[k], expected[k]) for k in expected)


def misfit(content):
    with pytest.raises(OpenError) as caught:
        load(content)
    assert caught.value.message.code == "checkpoint.misfit"
    return caught.value


@pytest.mark.parametrize(
    "keys", [[], ["state_dict"], ["model"], ["model_state_dict"], ["params"], ["model", "state_dict"]]
)
def test_weights_are_found_under_any_key(keys):
    weights = randomised(1)
    content = weights
    for key in reversed(keys):
        content = {key: content, "epoch": 3, "optimizer": {"state": {0: {"step": torch.ones(1)}}}}
    found, notes = load(content)
    assert same(found, weights)
    assert all(key in " ".join(notes) for key in keys)


@pytest.mark.parametrize("prefix", ["module.", "model.", "net.", "_orig_mod.", "module._orig_mod.", "backbone.body."])
def test_prefixes_are_stripped_and_noted(prefix):
    weights = randomised(2)
    found, notes = load({"state_dict": {prefix + name: t for name, t in weights.items()}})
    assert same(found, weights)
    if prefix != "_orig_mod.":
        assert any(prefix.replace("_orig_mod.", "") in n and str(len(weights)) in n for n in notes)


def test_a_compiled_child_inside_is_unwrapped():
    weights = randomised(3)
    found, _ = load({name.replace("model.", "model._orig_mod."): t for name, t in weights.items()})
    assert same(found, weights)


def test_a_prefix_of_the_model_itself_is_not_stripped():
    weights = randomised(4)
    found, notes = load(weights)
    assert same(found, weights) and notes == []


def test_a_model_that_wears_the_prefix_takes_a_bare_checkpoint():
    weights, wrapped = randomised(4), nn.DataParallel(Net())
    apply(match(weights, shapes_of(wrapped), "file.pt"), wrapped)
    assert same(wrapped.module.state_dict(), weights)


def test_averaged_weights_come_first_and_are_noted():
    raw, averaged = randomised(5), randomised(6)
    found, notes = load({"state_dict": raw, "ema_state_dict": averaged})
    assert same(found, averaged)
    assert any("'ema_state_dict'" in n and "averaged" in n for n in notes)


def test_averaged_weights_that_are_absent_do_not_matter():
    raw = randomised(5)
    found, _ = load({"model": raw, "ema": None})
    assert same(found, raw)


def test_swa_counters_are_harmless():
    weights = randomised(7)
    content = {"module." + name: t for name, t in weights.items()} | {"module.n_averaged": torch.tensor(3)}
    assert same(load(content)[0], weights)


def test_an_old_checkpoint_without_batch_counters_is_taken():
    weights = randomised(8)
    content = {name: t for name, t in weights.items() if not name.endswith("num_batches_tracked")}
    assert torch.equal(load(content)[0]["bn.running_mean"], weights["bn.running_mean"])


def test_a_trusted_whole_module_is_taken_by_its_weights():
    torch.manual_seed(9)
    other = Net()
    found, _ = load({"model": copy.deepcopy(other), "ema": None})
    assert same(found, other.state_dict())


def test_what_stands_beside_the_prefix_is_left_out_and_noted():
    weights = randomised(10)
    content = {"net." + name: t for name, t in weights.items()} | {"teacher.head.weight": torch.ones(2)}
    found, notes = load(content)
    assert same(found, weights)
    assert any("Ignored 1" in n for n in notes)


def test_half_precision_weights_are_loaded_as_float():
    weights = {name: t.half() if t.is_floating_point() else t for name, t in randomised(11).items()}
    found, _ = load(weights)
    assert found["fc.weight"].dtype == torch.float32
    assert torch.equal(found["fc.weight"], weights["fc.weight"].float())


def test_missing_and_unexpected_keys_are_listed():
    weights = randomised(12)
    del weights["fc.bias"]
    weights["extra.weight"] = torch.ones(2)
    error = misfit(weights)
    assert "missing: fc.bias" in error.details and "unexpected: extra.weight" in error.details
    assert "missing tensors: 1" in str(error)


def test_shapes_are_listed_with_both_sides():
    error = misfit(randomised(13, width=16))
    assert "stem.weight: [8, 3, 3, 3] in the model, [16, 3, 3, 3] in the checkpoint" in error.details


def test_long_lists_are_cut_after_ten():
    error = misfit(randomised(14) | {f"more.{n}": torch.ones(1) for n in range(25)})
    assert error.details.count("unexpected:") == 10 and "and 15 more" in error.details


def test_the_number_of_classes_is_seen_only_when_nothing_else_differs():
    shapes = shapes_of(Net(classes=4))
    assert match(randomised(1, classes=7), shapes, "f").class_count() == 7
    assert match(randomised(1, classes=4), shapes, "f").class_count() is None
    assert match(randomised(1, classes=7, width=16), shapes, "f").class_count() is None


def test_a_checkpoint_without_tensors_says_so():
    with pytest.raises(OpenError, match="no state dict"):
        match({"epoch": 3, "config": {"lr": 0.1}}, {"a": (1,)}, "f.pt")


def test_a_fit_is_not_refused():
    found = match({"a": torch.ones(2)}, {"a": (2,)}, "f")
    require_fit(found)
    assert torch.equal(found.tensors["a"], torch.ones(2))
