"""A model with random weights says so and has the buttons that bring trained ones; the network is asked for first."""

from dataclasses import replace

import pytest
from PySide6.QtCore import Qt
from PySide6.QtWidgets import QLabel

from secateur.app.commands.registry import command_named, next_step
from secateur.app.dialogs import consent
from secateur.app.dialogs.checkpoint import ChooseCheckpoint, take_pretrained
from secateur.app.document.message_log import Level
from secateur.app.window.offer_bars import WeightsBar
from secateur.engine.errors import OpenError
from secateur.engine.session.states import OpenedModel, StateKind
from secateur.engine.sources.pretrained import PretrainedWeights
from secateur.engine.sources.protocol import ModelSpec
from tests.app.playing import Player, Window
from tests.app.stand_in import state_of

LEFT = Qt.MouseButton.LeftButton
SPEC = ModelSpec("torchvision:resnet18")
OFFER = PretrainedWeights("torchvision", "resnet18", "IMAGENET1K_V1", "https://example.org/a.pth", 46_800_000)


def open_untrained(player: Player, offer: PretrainedWeights | None = OFFER) -> None:
    document = player.document
    assert document.analysis is not None
    state = state_of(document.analysis, "s0", "", StateKind.ORIGINAL, document.analysis.empty())
    opened = OpenedModel("resnet18", document.analysis, state, (), None, SPEC, untrained=True, offered=offer)
    player.workbench.model.open(SPEC)
    player.answer("open", opened)


@pytest.fixture
def bar(qtbot, player: Player, window: Window) -> WeightsBar:
    open_untrained(player)
    made = WeightsBar(window)
    made.refresh()
    return made


def test_the_bar_names_what_is_missing_and_starts_what_brings_it(qtbot, bar: WeightsBar, window: Window):
    assert bar.sentence.text() == "Untrained weights: scores mean nothing."
    assert not bar.isHidden() and bar.name.isHidden()
    for button, command in ((bar.checkpoint, "file.checkpoint"), (bar.pretrained, "file.pretrained")):
        qtbot.mouseClick(button, LEFT)
        assert window.ran[-1] == command and command_named(command).enabled(window.document) == ""


def test_a_model_of_no_library_is_offered_a_checkpoint_alone(bar: WeightsBar, player: Player):
    open_untrained(player, None)
    bar.refresh()
    assert not bar.checkpoint.isHidden() and bar.pretrained.isHidden()
    assert "No library" in command_named("file.pretrained").enabled(player.document)


def test_an_untrained_model_is_not_to_be_exported_next(bar: WeightsBar, player: Player):
    document = player.document
    assert document.analysis is not None
    removed = document.analysis.empty()
    removed[3] = True
    for state, parent, kind in (("s1", "s0", StateKind.CUT), ("s2", "s1", StateKind.ATTACHED)):
        document.add_state(state_of(document.analysis, state, parent, kind, removed), "step")
        bar.refresh()
        if kind is StateKind.CUT:
            assert next_step(document).id == "file.checkpoint" and not bar.isHidden()
    assert next_step(document).id == "file.export_onnx" and bar.isHidden()  # trained weights came from elsewhere
    assert "has trained weights" in command_named("file.checkpoint").enabled(document)


def test_a_checkpoint_opens_the_model_again(qtbot, tmp_path, bar: WeightsBar, window: Window):
    dialog = ChooseCheckpoint(window)
    dialog.open()
    assert not dialog.accept_button.isEnabled()
    (tmp_path / "a.pth").write_bytes(b"")
    dialog.path.setText(str(tmp_path / "a.pth"))
    qtbot.mouseClick(dialog.accept_button, LEFT)
    assert window.opened == [replace(SPEC, weights=str(tmp_path / "a.pth"))]


def test_the_weights_of_a_library_are_downloaded_only_after_a_question(qtbot, bar, player: Player, window: Window):
    take_pretrained(window)
    asked = replace(SPEC, pretrained="IMAGENET1K_V1")
    assert window.opened == [asked] and not asked.download
    player.workbench.model.open(asked)
    error = OpenError("source.pretrained", "From {host}: {size}, licence {licence}.", host="h", size="s", licence="l")
    assert consent.ask(window, error, player.workbench.runner.consent)
    dialog = next(one for one in window.findChildren(consent.ConsentDialog) if one.isVisible())
    assert "From h: s, licence l." in [one.text() for one in dialog.findChildren(QLabel)]
    ended = list[str]()
    player.workbench.runner.ended.connect(lambda words, _took: ended.append(words))
    player.link.failed.emit(player.link.last("open"), error)
    line = next(one for one in player.document.messages.lines() if "licence" in one)
    assert line.level is Level.INFO and ended == ["Open torchvision:resnet18 waits for your answer"]
    qtbot.mouseClick(dialog.accept_button, LEFT)
    assert player.link.asked("open")[0] == replace(asked, download=True)
    player.link.failed.emit(player.link.last("open"), OpenError("source.no_file", "It is gone."))
    assert player.document.messages.lines()[-1].level is Level.ERROR
    assert ended[1:] == ["Failed: Open torchvision:resnet18"]
