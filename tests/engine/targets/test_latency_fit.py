"""Tables of latencies against a runtime whose times are a formula."""

from dataclasses import replace

import numpy as np
import pytest

from secateur.engine.errors import SecateurError
from secateur.engine.planning.marks import check_plan
from secateur.engine.planning.sample_plans import draw_plan, samples, steps
from secateur.engine.structures.costs import kept_sizes
from secateur.engine.targets.latency_table import LatencyTable, fit
from secateur.engine.targets.protocol import Kernel, TargetSpec
from tests.engine.builders import tiny_analysis
from tests.engine.planning.stacks import stack
from tests.engine.targets.invented import Invented

CHAIN = stack(5, 64)


def table(runtime: Invented, multiple: int = 8, count: int = 12) -> LatencyTable:
    return fit(runtime.samples(multiple, count), TargetSpec(), "a machine", multiple, 0.0)


def off(runtime: Invented, made: LatencyTable, multiple: int, plans: int = 20) -> np.ndarray:
    """Relative errors on random plans that the table has not seen."""
    random, analysis = np.random.default_rng(7), runtime.analysis
    tried = [draw_plan(analysis, multiple, random, float(random.uniform(0.2, 0.9)), 0.3) for _ in range(plans)]
    found = made.nanoseconds(np.stack([kept_sizes(analysis, plan) for plan in tried]))
    return np.abs(found / [runtime.seconds(plan) * 1e9 for plan in tried] - 1)


def test_plans_that_were_not_measured_are_predicted_although_the_machine_slowed_down():
    runtime = Invented(CHAIN)
    made = table(runtime)
    assert off(runtime, made, 8).max() < 0.02
    assert made.trust.ninetieth < 0.02
    assert made.original == pytest.approx(runtime.seconds(CHAIN.empty()) * 1e9)


def test_widths_that_a_runtime_pads_are_recognised():
    runtime = Invented(CHAIN, padding=16)
    made = table(runtime, multiple=1)
    assert set(made.padding[made.axes >= 0].tolist()) == {16}
    assert off(runtime, made, 1).max() < 0.02


def test_whole_widths_that_a_runtime_does_not_like_are_told_from_all_others():
    runtime = Invented(stack(8, 60), likes=8)  # 60 is none of the multiples that all plans keep otherwise
    assert off(runtime, table(runtime, count=16), 8).max() < 0.06


def test_blocks_that_compute_the_same_share_their_measurements():
    """Three samples would not determine the four coefficients of one layer; four alike layers in them do."""
    runtime = Invented(CHAIN)
    made = table(runtime, count=6)
    assert off(runtime, made, 8).max() < 0.03


def test_noise_of_whole_models_is_told_as_the_errors_that_a_user_has_to_expect():
    runtime = Invented(CHAIN, noise=0.1)
    made = table(runtime)
    assert 0.02 < made.trust.median < 0.3 and made.trust.ninetieth > made.trust.median
    assert len(made.trust.errors) == 11


def test_a_plan_that_keeps_less_is_never_predicted_to_be_slower():
    made = table(Invented(CHAIN, noise=0.2))
    random = np.random.default_rng(3)
    plan = CHAIN.empty()
    before = made.nanoseconds(kept_sizes(CHAIN, plan)[None])[0]
    for structure in random.permutation(CHAIN.count)[:200]:
        plan[structure] = True
        after = made.nanoseconds(kept_sizes(CHAIN, plan)[None])[0]
        assert after <= before
        before = after


def test_blocks_add_up_to_the_whole_without_its_overhead():
    made = table(Invented(CHAIN))
    kept = kept_sizes(CHAIN, CHAIN.empty())[None]
    assert made.by_block(kept).sum() + made.overhead == pytest.approx(float(made.nanoseconds(kept)[0]), abs=1)
    assert [name for name, _ in made.blocks] == [f"block{n}" for n in range(6)]


def test_what_a_runtime_runs_instead_in_one_sample_does_not_bend_the_table():
    """At one width it runs something short with other shapes under the names of its layers."""
    runtime, rows = Invented(CHAIN), Invented(CHAIN).samples()
    other = tuple(replace(one, sizes=((1,),), seconds=1e-8) if "block" in one.name else one for one in rows[10].kernels)
    rows[10] = replace(rows[10], kernels=other)
    assert off(runtime, fit(rows, TargetSpec(), "", 8, 0.0), 8).max() < 0.02


def test_what_a_runtime_adds_to_a_file_is_no_block_of_its_own():
    """Its names for that count what it added: the same name is something else in another cut model."""
    rows = Invented(CHAIN).samples()
    for n, row in enumerate(rows):
        added = [Kernel(f"Gelu_{(k + n) % 6}", "Gelu", ((2, k),), 1e-7) for k in range(6)]
        mixed = [one for pair in zip(row.kernels, [*added, *added, *added], strict=False) for one in pair]
        rows[n] = replace(row, kernels=(*mixed, *row.kernels[len(mixed) // 2 :]))
    made = fit(rows, TargetSpec(), "", 8, 0.0)
    assert [name for name, _ in made.blocks] == [f"block{n}" for n in range(6)]


def test_few_samples_make_no_table():
    with pytest.raises(SecateurError, match="needs 5"):
        fit(Invented(CHAIN).samples(count=4), TargetSpec(), "", 8, 0.0)


@pytest.mark.parametrize("analysis", [CHAIN, tiny_analysis()], ids=["chain", "tiny"])
def test_samples_are_legal_plans_from_the_original_to_a_small_one(analysis):
    plans = list(samples(analysis, 8))
    assert not plans[0].any()
    kept = [1 - plan.mean() for plan in plans]
    assert kept[1] > 0.6 > 0.5 > kept[-1]
    for plan in plans:
        check_plan(analysis, plan)
    assert [size for size, _ in steps(analysis)][:2] == [1, 2]
    for _, plan in steps(analysis):
        check_plan(analysis, plan)
