"""What another model, state or criterion makes useless is cancelled in silence, and comes back where none comes."""

from dataclasses import replace

import pytest

from secateur.engine.errors import OpenError
from secateur.engine.jobs import Cancelled
from secateur.engine.session.states import OpenedModel, StateKind
from secateur.engine.sources.protocol import ModelSpec
from tests.app.playing import Player
from tests.app.stand_in import state_of

OTHER = ModelSpec("bundled:vit")


@pytest.fixture
def busy(player: Player) -> Player:
    """Scores of another criterion are made, and the metric of the original waits behind them."""
    player.document.set_criterion("l2")
    player.workbench.states.evaluate()
    assert waiting(player) == ["score", "evaluate"]
    return player


def waiting(player: Player) -> list[str]:
    return [job.method for job in player.workbench.runner.queue.jobs()]


def obey(player: Player) -> None:
    """The engine stops what it was asked to stop."""
    for number in list(player.link.cancelled):
        if player.workbench.runner.queue.get(number) is not None:
            player.link.failed.emit(number, Cancelled())


def test_opening_waits_for_nothing_of_the_model_before(busy: Player):
    document, said = busy.document, len(busy.sentences)
    scoring = busy.link.last("score")
    busy.workbench.model.open(OTHER)
    assert busy.link.cancelled == [scoring] and waiting(busy) == ["score", "open"]
    obey(busy)
    assert busy.link.sent[-1] == busy.link.last("open") and len(busy.sentences) == said
    assert document.analysis is not None
    state = state_of(document.analysis, "s0", "", StateKind.ORIGINAL, document.analysis.empty())
    busy.answer("open", OpenedModel("vit", document.analysis, state, (), None, OTHER))
    assert "evaluate" not in waiting(busy)


def test_what_belongs_to_the_present_model_goes_on_where_the_other_one_does_not_open(busy: Player):
    busy.workbench.model.open(OTHER)
    obey(busy)
    busy.link.failed.emit(busy.link.last("open"), OpenError("any", "It is no model."))
    assert waiting(busy) == ["score", "evaluate"]
    busy.answer("score", busy.document.contents.scores["s0", "obs"])
    assert busy.document.scores is not None


def test_files_that_were_asked_for_are_written_before_another_model_opens(busy: Player, tmp_path):
    busy.workbench.states.export("onnx", str(tmp_path / "a.onnx"))
    busy.workbench.model.open(OTHER)
    obey(busy)
    assert waiting(busy) == ["export", "open"]


def test_a_file_does_not_wait_for_scores_which_come_behind_it(busy: Player, tmp_path):
    said, scoring = len(busy.sentences), busy.link.last("score")
    busy.workbench.states.export("onnx", str(tmp_path / "a.onnx"))
    assert busy.link.cancelled == [scoring]
    obey(busy)
    assert waiting(busy) == ["evaluate", "export", "score"] and len(busy.sentences) == said


def test_scores_that_a_plan_waits_for_are_finished_before_a_file(player: Player, tmp_path):
    player.document.set_criterion("l2")
    player.workbench.plan.suggest()
    player.workbench.states.export("onnx", str(tmp_path / "a.onnx"))
    assert not player.link.cancelled and waiting(player) == ["score", "export"]


def test_a_cut_does_not_wait_for_scores_of_what_it_was_cut_from(busy: Player):
    busy.document.plan.mark([3], True)
    busy.workbench.states.cut()
    assert busy.link.cancelled == [busy.link.last("score")]
    obey(busy)
    assert waiting(busy) == ["evaluate", "cut"]


def test_scores_of_a_criterion_that_was_left_are_not_finished_but_a_plan_still_follows(player: Player):
    document, workbench = player.document, player.workbench
    document.set_criterion("l2")
    workbench.plan.suggest()
    first = player.link.last("score")
    workbench.plan.rate("lamp")  # asked for by itself, to be compared
    document.set_criterion("random")
    assert player.link.cancelled == [first]
    obey(player)
    assert [job.about for job in workbench.runner.queue.jobs()] == [("s0", "lamp"), ("s0", "random")]
    assert workbench.runner.queue.jobs()[-1].then is not None


def test_what_is_asked_for_twice_is_done_once(player: Player):
    player.settle()
    evaluate = player.workbench.states.evaluate
    evaluate()
    evaluate("s0")
    assert waiting(player) == ["evaluate"]
    player.link.cancelled.clear()
    player.workbench.runner.cancel(player.link.last("evaluate"))
    evaluate()  # the one before is going away
    assert waiting(player) == ["evaluate", "evaluate"]


def test_the_original_is_evaluated_before_scores_that_were_asked_for_earlier(player: Player):
    document, workbench = player.document, player.workbench
    player.settle()
    assert document.original is not None
    workbench.states.evaluate()
    document.set_criterion("taylor")
    document.contents.states["s0"] = replace(document.original, metrics=())
    workbench.states.measure_missing()
    asked = [method for method in waiting(player) if method != "measure"]
    assert asked == ["evaluate", "first_scores", "evaluate_original", "score"]
    assert document.evaluation_words() == "The evaluation of the original waits for: Evaluate the original."
    workbench.plan.suggest()
    scoring = "Score structures of the original by Taylor, first order"
    assert player.sentences[-1] == f"The plan waits for: Evaluate the original, then {scoring}."
    player.stop("evaluate")
    player.stop("first_scores")
    assert document.evaluation_words() == "The original is being evaluated."


def test_the_original_that_is_evaluated_by_itself_is_not_evaluated_once_more(player: Player):
    document, states = player.document, player.workbench.states
    assert document.original is not None
    document.contents.states["s0"] = replace(document.original, metrics=())
    states.measure_missing()
    assert "evaluate_original" in waiting(player)
    states.evaluate()
    assert "evaluate" not in waiting(player)


def test_a_measurement_that_runs_by_itself_goes_on_where_a_person_asks_for_it(player: Player):
    player.settle()
    states = player.workbench.states
    states.measure(background=True)
    number = player.link.last("measure")
    states.measure()
    assert waiting(player) == ["measure"] and not player.link.cancelled
    player.document.plan.mark([3], True)
    player.workbench.states.cut()  # what a person asked for does not step aside
    assert number not in player.link.cancelled and waiting(player) == ["measure", "cut"]
