"""Fields of a dialog come from the options of a settings dataclass, also those that are added later."""

from dataclasses import dataclass, replace
from typing import Annotated, Any

from PySide6.QtWidgets import QLabel, QWidget

from secateur.app.dialogs.recovery_settings import RecoverySettingsDialog
from secateur.engine.options import Option, settings_of
from secateur.engine.recovery.protocol import Optimizer, RecoverySettings


@dataclass(frozen=True, slots=True)
class Smoothed(RecoverySettings):
    """A setting more than there is."""

    smoothing: Annotated[
        float, Option(title="Label smoothing", help="share of each label that is spread", minimum=0, maximum=0.5)
    ] = 0.1


def test_a_new_field_has_a_row_with_its_title_range_and_tooltip(qtbot) -> None:
    parent, used = QWidget(), []
    qtbot.addWidget(parent)
    dialog = RecoverySettingsDialog(parent, Smoothed(), used.append)
    field: Any = dialog.fields.widgets["smoothing"]
    assert "Label smoothing" in [one.text() for one in dialog.findChildren(QLabel)]
    assert (field.value(), field.minimum(), field.maximum()) == (0.1, 0, 0.5)
    assert field.toolTip() == "Share of each label that is spread."
    field.setValue(0.3)
    dialog.act()
    assert used == [Smoothed(smoothing=0.3)]


def test_values_come_back_as_they_were_given(qtbot) -> None:
    parent = QWidget()
    qtbot.addWidget(parent)
    settings = RecoverySettings(
        3, 0.1, 1.0, 4.0, 0.00025, 7, optimizer=Optimizer.SGD, warm_up=0.3, patience=2, features=0.5, mirror=True
    )
    dialog = RecoverySettingsDialog(parent, settings, print)
    assert dialog.settings() == settings
    shown = {one.name for one in settings_of(RecoverySettings) if one.option.in_dialog}
    assert set(dialog.fields.widgets) == shown
    warm_up: Any = dialog.fields.widgets["warm_up"]
    warm_up.setValue(15)
    assert dialog.settings() == replace(settings, warm_up=0.15)
