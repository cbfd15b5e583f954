"""What an option says of a setting holds everywhere: a new field is on the command line, in dialogs and in reports."""

import argparse
from dataclasses import dataclass, fields
from typing import Annotated, Any

import pytest

from secateur.engine.cli import options as groups
from secateur.engine.cli import prune_request
from secateur.engine.cli.arguments import parser
from secateur.engine.cli.settings import add_settings, read_settings
from secateur.engine.errors import SecateurError
from secateur.engine.options import Option, require_in_range, settings_of
from secateur.engine.planning.protocol import Goal
from secateur.engine.recovery.protocol import Optimizer, RecoverySettings
from secateur.engine.scoring.score_options import Choices, Combine
from secateur.engine.session.state_text import _settings
from secateur.engine.sources.protocol import ModelSpec
from secateur.engine.tasks.protocol import TaskSpec
from secateur.engine.text.notation import SHARES
from secateur.engine.workflows.prune import PruneRequest

Capture = pytest.CaptureFixture[str]


@dataclass(frozen=True, slots=True)
class Smoothed(RecoverySettings):
    """A setting more than there is."""

    smoothing: Annotated[
        float, Option(title="Label smoothing", help="share of each label that is spread", minimum=0, maximum=0.5)
    ] = 0.1


def test_a_new_field_is_an_option_of_the_command_line(monkeypatch: pytest.MonkeyPatch, capsys: Capture) -> None:
    monkeypatch.setattr(groups, "RecoverySettings", Smoothed)
    monkeypatch.setattr(prune_request, "RecoverySettings", Smoothed)
    given = parser().parse_args(["prune", "m", "--smoothing", "0.2"])
    recovery: Any = prune_request.request_from(given).recovery
    assert recovery.smoothing == 0.2
    with pytest.raises(SystemExit) as stopped:
        parser().parse_args(["prune", "m", "--smoothing", "0.9"])
    assert stopped.value.code == 2
    assert "Label smoothing must be from 0 to 0.5, not 0.9" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        parser().parse_args(["prune", "--help"])
    shown = capsys.readouterr().out
    assert "--smoothing" in shown and "share of each label that is spread (default: 0.1)" in " ".join(shown.split())


@dataclass(frozen=True, slots=True)
class Shuffled(PruneRequest):
    """A setting more than there is."""

    shuffled: Annotated[
        tuple[float, ...], Option(title="Shuffled", help="shares that are shuffled", notation=SHARES, group="scores")
    ] = ()


def test_a_new_field_of_a_pruning_is_an_option_under_its_heading(
    monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    monkeypatch.setattr(groups, "PruneRequest", Shuffled)
    monkeypatch.setattr(prune_request, "PruneRequest", Shuffled)
    for command in (["prune", "m"], ["sweep", "m"]):
        given = parser().parse_args([*command, "--shuffled", "50%,20%"])
        settings: Any = prune_request.request_from(given, (prune_request.HALF,))
        assert settings.shuffled == (0.5, 0.2)
    with pytest.raises(SystemExit):
        parser().parse_args(["prune", "--help"])
    scores = capsys.readouterr().out.split("scores:")[1].split("\n\n")[0]
    assert "--shuffled 80%,50%,20%" in scores


def test_a_new_field_is_in_the_report_and_in_the_range_check() -> None:
    text = "\n".join(f"{title}: {line}" for title, line in _settings(Smoothed(epochs=2)))
    assert "Label smoothing: 0.1" in text and "Epochs: 2" in text
    with pytest.raises(SecateurError, match=r"Label smoothing must be from 0 to 0\.5, not 0\.7"):
        require_in_range(Smoothed(smoothing=0.7))


def test_a_report_has_every_setting_of_a_training() -> None:
    settings = RecoverySettings(epochs=3, mirror=True, half=True, distillation=1.0, optimizer=Optimizer.SGD)
    text = " ".join(line for _, line in _settings(settings))
    for one in settings_of(RecoverySettings):
        assert one.option.title in text
    assert "Mirrored images: always" in text and "Mixed precision (bfloat16): yes" in text
    assert "Optimiser: SGD" in text and "Warm-up: 15 %" in text and "Stop after evaluations without gain: never" in text


def test_every_recovery_setting_has_an_option_and_its_default_is_in_range() -> None:
    assert [one.name for one in settings_of(RecoverySettings)] == [one.name for one in fields(RecoverySettings)]
    require_in_range(RecoverySettings())


def test_what_is_not_given_keeps_the_default_and_choices_may_be_none() -> None:
    command = argparse.ArgumentParser()
    add_settings(command, Choices, "scores")
    add_settings(command, RecoverySettings, "recovery", only=("warm_up", "repair", "features"))
    assert read_settings(Choices, command.parse_args([])) == Choices()
    assert read_settings(Choices, command.parse_args(["--combine", "max"])) == Choices(combine=Combine.MAX)
    for text, value in (("25%", 0.25), ("25 %", 0.25), ("0.25", 0.25), ("0", 0.0)):
        given = command.parse_args(["--warm-up", text, "--repair", "least-squares", "--feature-distillation", "2"])
        settings = read_settings(RecoverySettings, given)
        assert (settings.warm_up, settings.repair, settings.features) == (value, "least squares", 2.0)


@pytest.mark.parametrize(
    ("option", "words"),
    [
        (Option(title="N", help="", minimum=0), "at least 0"),
        (Option(title="N", help="", minimum=0, maximum=9), "from 0 to 9"),
        (Option(title="N", help="", maximum=9), "at most 9"),
    ],
)
def test_a_range_is_said_in_words_and_never_holds_what_is_no_number(option: Option, words: str) -> None:
    assert str(option.range) == words
    assert not option.holds(float("nan")) and not option.holds(float("inf"))
    assert option.holds(5) and not (option.holds(-1) and option.holds(10))


@pytest.mark.parametrize("kind", [Goal, ModelSpec, PruneRequest, RecoverySettings, TaskSpec])
def test_words_that_the_window_shows_too_name_no_flag_of_the_command_line(kind: type) -> None:
    for one in settings_of(kind):
        option = one.option
        said = " ".join(filter(None, (option.title, option.help, option.details, option.hint)))
        assert "--" not in said, (one.name, said)
