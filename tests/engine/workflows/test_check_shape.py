"""A target shape is checked as it is typed: what it comes to is what is cut, and offers are shapes that plans have."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers

from secateur.engine.errors import PlanError
from secateur.engine.jobs import Cancelled, finish
from secateur.engine.planning.goal import solve
from secateur.engine.planning.protocol import Cost, Goal, KindLimit, Limit, kind_limit_of, read_kind
from secateur.engine.process.answers import RESULTS
from secateur.engine.process.plain_data import decode, encode
from secateur.engine.session.session import Session
from secateur.engine.session.states import PlanIntent
from secateur.engine.sources.protocol import ModelSpec
from secateur.engine.structures.analysis import Kind, identities
from secateur.engine.surgery.cut.cut import cut
from secateur.engine.surgery.repair import keep_uniform
from secateur.engine.surgery.repair.config_fields import fields_of
from secateur.engine.surgery.repair.kv_cache import cached_by_heads
from secateur.engine.workflows import check_shape as check_shape_module
from secateur.engine.workflows.check_shape import check_shape
from secateur.engine.workflows.prune import PruneRequest, prune_state
from secateur.engine.workflows.shape_answer import ShapeAnswer

from ..planning.test_target_shape import llama


@pytest.fixture(scope="module")
def uniform(tmp_path_factory: pytest.TempPathFactory) -> Session:
    """A tiny Llama with grouped queries, of which every plan is one configuration."""
    folder = tmp_path_factory.mktemp("llama")
    torch.manual_seed(0)
    transformers.LlamaForCausalLM(llama(3, 32, 8, 4, 48)).save_pretrained(folder / "model")
    session = Session(folder / "session")
    finish(session.open(ModelSpec(str(folder / "model"), uniform=True)))
    return session


@pytest.fixture(scope="module")
def free(uniform: Session, tmp_path_factory: pytest.TempPathFactory) -> Session:
    """The same model, of which layers may differ."""
    session = Session(tmp_path_factory.mktemp("free"))
    finish(session.open(ModelSpec(uniform.prepared.spec.source)))
    return session


@pytest.fixture(scope="module")
def resnet(tmp_path_factory: pytest.TempPathFactory) -> Session:
    """Layers have different numbers of filters."""
    session = Session(tmp_path_factory.mktemp("resnet"))
    finish(session.open(ModelSpec("bundled:resnet")))
    return session


def asked(session: Session, *limits: Limit, locked: dict[str, list[int]] | None = None, **shape: float) -> ShapeAnswer:
    limited = tuple(kind_limit_of((read_kind(name), value)) for name, value in shape.items())
    intent = PlanIntent("l1", goal=Goal(limits, shape=limited), locked=locked or {})
    return finish(check_shape(session, "s0", intent))


def test_what_a_shape_comes_to_is_what_the_cut_model_has(uniform: Session) -> None:
    answer = asked(uniform, layers=2, width=16, heads=4, ffn=24)
    plan, removed = answer.plan, answer.removed
    assert plan is not None and removed is not None and not answer.problems
    opened = uniform.prepared.opened
    made = cut(opened.model, uniform.analysis, removed, uniform.prepared.inputs).model
    assert plan.parameters[1] == sum(one.numel() for one in made.parameters())
    config = llama(2, 16, 4, 2, 24)
    config.head_dim = 4
    assert plan.parameters[1] == sum(one.numel() for one in transformers.LlamaForCausalLM(config).parameters())
    assert plan.cached == (2 * 3 * 4 * 4, 2 * 2 * 2 * 4)  # keys and values of all layers, heads and channels


def test_the_cache_is_known_too_where_layers_may_differ(uniform: Session, free: Session) -> None:
    shapes: list[dict[str, float]] = [{"layers": 2}, {"layers": 2, "heads": 4}, {"kv": 1, "ffn": 0.5}, {}]
    for shape in shapes:
        plans = [asked(session, locked=None, **shape).plan for session in (uniform, free)]
        assert plans[0] is not None and plans[1] is not None
        assert plans[0].cached is not None and plans[0].cached == plans[1].cached
    assert asked(free, **{"head-dim": 2}).plan.cached is None  # type: ignore[union-attr]
    gone = free.analysis.empty()
    one = next(each for each in free.analysis.sets if each.kind is Kind.KV_GROUP)
    gone[one.first] = True  # of one layer alone, which no configuration says
    opened = free.prepared.opened
    assert cached_by_heads(opened.model, free.analysis, gone) == (96, 96 - 2 * 4)


def test_a_shape_that_no_configuration_has_is_told_where_layers_may_differ(uniform: Session, free: Session) -> None:
    with pytest.raises(Exception, match="multiple"):  # what the library says of this width
        transformers.LlamaForCausalLM(llama(3, 30, 4, 2, 48))
    plan = asked(free, width=30, heads=4).plan
    assert plan is not None and [note.code for note in plan.notes] == ["plan.shape_no_config"]
    assert "Nearest possible width: 28 or 32" in str(asked(uniform, width=30, heads=4).problems[0].message)
    stock = asked(free, width=28, heads=4).plan
    assert stock is not None and not stock.notes


def test_kinds_that_no_configuration_lets_go_are_told_by_name(free: Session) -> None:
    plan = asked(free, locked=None, **{"head-dim": 2}).plan
    assert plan is not None and [note.code for note in plan.notes] == ["plan.shape_no_field"]
    assert "fewer head dimensions" in str(plan.notes[0]) and "Keep all head dimensions" in str(plan.notes[0])
    fewer = asked(free, heads=4, kv=4).plan  # heads of a group are no field of their own, but their product is
    assert fewer is not None and not fewer.notes


@pytest.mark.parametrize(
    ("shape", "kind"),
    [
        ({"layers": 7}, Kind.BLOCK),
        ({"width": 17, "ffn": 24}, None),
        ({"width": 30, "heads": 4, "ffn": 24}, None),
        ({"heads": 3}, Kind.HEAD),
        ({"heads": 4, "kv": 3}, None),
    ],
)
def test_offers_are_the_nearest_shapes_that_plans_have(uniform: Session, shape, kind) -> None:
    answer = asked(uniform, **shape)
    assert answer.plan is None and [one.kind for one in answer.problems] == [kind]
    offers = answer.problems[0].offers
    assert offers
    for offer in offers:
        name = next(name for name in shape if read_kind(name) is offer.kind)
        assert asked(uniform, **(shape | {name: offer.count})).plan is not None
        between = range(min(offer.count, shape[name]) + 1, max(offer.count, shape[name]))
        assert all(asked(uniform, **(shape | {name: number})).plan is None for number in between)


def test_what_locks_forbid_is_told_and_the_nearest_offered(uniform: Session) -> None:
    analysis = uniform.analysis
    one = next(each for each in analysis.sets if each.kind is Kind.NEURON)
    locked = analysis.empty()
    locked[one.first : one.first + 30] = True
    answer = asked(uniform, ffn=24, locked=identities(analysis, locked))
    assert "locked" in str(answer.problems[0].message)
    assert answer.problems[0].offers == (KindLimit(Kind.NEURON, count=30),)


@pytest.mark.parametrize(("asks", "nearest"), [(17, (16, 24)), (31, (24, 32)), (1, (8,)), (40, (32,))])
def test_widths_that_no_configuration_has_are_not_planned(uniform: Session, monkeypatch, asks, nearest) -> None:
    tried: list[Any] = []
    fields_of(uniform.prepared.opened.model).accepted.clear()
    for module, name in ((check_shape_module, "plan_masks"), (keep_uniform, "fits")):
        monkeypatch.setattr(module, name, counting(tried, name, getattr(module, name)))
    (problem,) = asked(uniform, width=asks).problems
    assert tuple(one.count for one in problem.offers) == nearest
    assert len([one for one in tried if one == "plan_masks"]) <= 2 + len(nearest)
    sizes = [one for one in tried if one != "plan_masks"]
    assert len(sizes) == len(set(sizes))  # no configuration is sought twice for the same sizes


def counting(tried: list[Any], name: str, right: Any) -> Any:
    def called(*arguments: Any, **named: Any) -> Any:
        tried.append(name if name == "plan_masks" else str(sorted(arguments[1].items())))
        return right(*arguments, **named)

    return called


@pytest.mark.parametrize("looks", range(1, 12, 3))
def test_a_check_ends_when_its_token_is_set(uniform: Session, looks: int) -> None:
    fields_of(uniform.prepared.opened.model).accepted.clear()
    token = SetLater(looks)
    goal = Goal((), shape=(KindLimit(Kind.WIDTH, count=17),))
    with pytest.raises(Cancelled):
        finish(check_shape(uniform, "s0", PlanIntent("l1", goal=goal), token=token))
    assert token.left == -1  # nothing goes on after it was seen


@dataclass
class SetLater:
    """A token that is set after it was looked at some times."""

    left: int

    def is_set(self) -> bool:
        """True once the looks are over."""
        self.left -= 1
        return self.left < 0


def test_layers_of_different_sizes_are_offered_a_share(resnet: Session) -> None:
    (problem,) = asked(resnet, filters=64).problems
    assert problem.kind is Kind.FILTER and problem.offers == (KindLimit(Kind.FILTER, 0.5),)
    assert asked(resnet, filters=0.5).plan is not None


@pytest.mark.parametrize("cost", [Cost.MACS, Cost.PARAMETERS])
def test_a_budget_becomes_the_largest_shape_within_it(uniform: Session, resnet: Session, cost: Cost) -> None:
    for session in (uniform, resnet):
        answer = asked(session, Limit(cost, 0.5))
        plan = answer.plan
        assert plan is not None and answer.shape
        before, after = plan.macs if cost is Cost.MACS else plan.parameters
        assert 0.4 * before < after <= 0.5 * before
        again = finish(check_shape(session, "s0", PlanIntent("l1", goal=Goal((), shape=answer.shape))))
        assert again.plan == plan
    assert len({one.share for one in answer.shape}) == 1  # the same of each kind


def test_a_budget_that_nothing_meets_is_told_over_the_wire(uniform: Session, resnet: Session) -> None:
    for session in (uniform, resnet):
        answer = asked(session, Limit(Cost.MACS, 1e-5))
        back = decode(encode(answer), RESULTS["shape"])
        assert back.plan is None and str(back.problems[0].message) == str(answer.problems[0].message)


def test_the_plan_of_an_answer_is_that_of_the_solver(resnet: Session) -> None:
    scores = np.random.default_rng(1).random(resnet.analysis.count)
    goal = Goal((), shape=(KindLimit(Kind.FILTER, 0.5),))
    answer = finish(check_shape(resnet, "s0", PlanIntent("l1", goal=goal), scores))
    assert answer.removed is not None and (answer.removed == solve(resnet.analysis, scores, goal).removed).all()


def test_a_shape_that_no_plan_has_is_refused_before_anything_is_scored(uniform: Session) -> None:
    goal = Goal((), shape=(KindLimit(Kind.WIDTH, count=17),))
    with pytest.raises(PlanError, match="Nearest possible width: 16 or 24"):
        finish(prune_state(uniform, "s0", PruneRequest(goal, "l1")))


def test_the_latency_is_predicted_where_the_target_was_measured(resnet: Session, tmp_path: Path) -> None:
    assert asked(resnet, filters=0.5).latency is None


def test_numbers_that_miss_the_multiple_are_offered_beside_the_nearest_that_keep_to_it(uniform: Session) -> None:
    def answered(multiple: int, **shape: float) -> ShapeAnswer:
        limits = tuple(kind_limit_of((read_kind(name), value)) for name, value in shape.items())
        intent = PlanIntent("l1", goal=Goal((), multiple=multiple, shape=limits))
        return finish(check_shape(uniform, "s0", intent))

    near = answered(8, ffn=21, width=16)
    assert near.plan is not None and not near.problems  # legal all the same
    assert near.rounded == (KindLimit(Kind.NEURON, count=16), KindLimit(Kind.NEURON, count=24))
    assert not answered(8, ffn=24, width=16).rounded and not answered(1, ffn=21).rounded
    refused = answered(8, width=13)
    assert refused.plan is None and refused.problems
    assert [one.count % 8 for one in refused.rounded] == [0] * len(refused.rounded) != []
