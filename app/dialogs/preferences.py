"""Preferences, kept for every start: look, text size, what computes, what is asked before; and the cache."""

from PySide6.QtCore import Slot
from PySide6.QtWidgets import QSizePolicy
from shiboken6 import isValid

from secateur.engine.machine.devices import THREADS
from secateur.engine.session.measurement_cache import clear_cache, size_of_cache, user_cache

from ..storage import settings
from ..text.format import size
from ..theme import Scheme, sizes, theme
from ..theme.design_tokens import LARGEST, SMALLEST
from ..widgets.buttons import button
from ..widgets.check_boxes import CheckBox
from ..widgets.fields import ComboBox, SpinBox
from ..widgets.labels import ElidedLabel, label
from .form import FormDialog, one_row
from .window_api import WindowApi


class Preferences(FormDialog):
    """The dialog.

    Attributes:
        look: Combo box of looks.
        still: Whether nothing moves that need not.
        text: Size of body text, in device-independent pixels.
        threads: Threads to compute with, 0 for what PyTorch chooses.
        device: Where models are trained and evaluated, None where there is only the processor.
        ask_cancel: Whether it is asked before a cancel loses much work.
        ask_close: Whether it is asked before the window closes over jobs.
        cache: How large the cache is.
        clear: Empties it.
    """

    def __init__(self, window: WindowApi) -> None:
        """Ask in a window."""
        sentence = self.tr(
            "Secateur never looks for updates: update it as you installed it. It sends no data; a name of the Hugging "
            "Face Hub that is not in the local cache is looked up there."
        )
        super().__init__(window.as_widget(), self.tr("Preferences"), sentence, self.tr("Save"))
        self._window = window
        self._add_settings()
        self._add_cache()
        self.check()
        self.look.setFocus()

    def _add_settings(self) -> None:
        self.look = ComboBox(self.tr("Theme"))
        for title, scheme in (
            (self.tr("As the system"), Scheme.SYSTEM),
            (self.tr("Light"), Scheme.LIGHT),
            (self.tr("Dark"), Scheme.DARK),
            (self.tr("High contrast"), Scheme.CONTRAST),
        ):
            self.look.addItem(title, scheme.value)
        self.look.setCurrentIndex(self.look.findData(theme().scheme.value))
        self.text = SpinBox(self.tr("Text size"), SMALLEST, LARGEST, self.tr(" px"))
        self.text.setValue(sizes().body)
        for field in (self.look, self.text):
            self.add_row(field.accessibleName(), field)
        self.still = CheckBox(self.tr("Reduce motion: no blinking cursor, no moving bars"))
        self.still.setChecked(theme().still)
        self.add_row("", self.still)
        self.threads = SpinBox(self.tr("Threads"), 0, THREADS)
        self.threads.setSpecialValueText(self.tr("automatic"))
        self.threads.setValue(settings.value(settings.THREADS, 0))
        self.threads.setToolTip(self.tr("Threads of scoring, evaluation and training. Targets have their own number."))
        self.add_row(self.threads.accessibleName(), self.threads)
        contents = self._window.document.contents
        self.device: ComboBox | None = None
        if len(contents.devices) > 1:
            self.device = ComboBox(self.tr("Device"))
            self.device.addItems(list(contents.devices))
            self.device.setCurrentText(contents.device)
            self.device.setToolTip(
                self.tr("Device for scores, evaluation and training. See Run > Device for its memory.")
            )
            self.add_row(self.device.accessibleName(), self.device)
        self.ask_cancel = CheckBox(self.tr("Before a cancelled job loses more than a minute of work"))
        self.ask_close = CheckBox(self.tr("Before the window closes while a job runs"))
        for box, name in ((self.ask_cancel, settings.ASK_CANCEL), (self.ask_close, settings.ASK_CLOSE)):
            box.setChecked(settings.value(name, True))
            self.add_row(self.tr("Ask") if box is self.ask_cancel else "", box)

    def _add_cache(self) -> None:
        self.cache = ElidedLabel()
        self.clear = button(
            self.tr("Clear"), "small", self.tr("Delete what was measured. It is measured again when needed.")
        )
        self.clear.clicked.connect(self._clear_cache)
        self.add_row(self.tr("Cache"), one_row(self.cache, self.clear))
        hint = self.tr(
            "Measured latencies, sensitivities and ablation scores. Drafts, projects and interrupted trainings stay."
        )
        words = label(hint, "caption", wrap=True)
        words.setSizePolicy(QSizePolicy.Policy.Expanding, words.sizePolicy().verticalPolicy())
        self.form.addRow("", words)
        self._look_at_cache()

    def _look_at_cache(self) -> None:
        def show(number_of_bytes: int) -> None:
            if isValid(self):
                words = self.tr("{size} in {folder}")
                self.cache.setText(words.format(size=size(number_of_bytes), folder=user_cache()))
                self.clear.setEnabled(number_of_bytes > 0)

        self.cache.setText(self.tr("looking"))
        self._window.workbench.files.run(lambda: size_of_cache(user_cache()), on_done=show)

    @Slot()
    def _clear_cache(self) -> None:
        self._window.workbench.files.run(lambda: clear_cache(user_cache()))
        self._look_at_cache()

    def act(self) -> None:
        """Keep what is set, and go by it now."""
        window = self._window
        settings.store(settings.STILL, self.still.isChecked())
        theme().reduce_motion(self.still.isChecked())
        settings.store(settings.ASK_CANCEL, self.ask_cancel.isChecked())
        settings.store(settings.ASK_CLOSE, self.ask_close.isChecked())
        if self.threads.value() != settings.value(settings.THREADS, 0):
            settings.store(settings.THREADS, self.threads.value())
            window.workbench.model.use_threads()
        if self.device is not None and self.device.currentText() != window.document.contents.device:
            settings.store(settings.DEVICE, self.device.currentText())
            window.workbench.model.set_device(self.device.currentText())
        if self.text.value() != sizes().body:
            window.resize_text(self.text.value() - sizes().body)
        window.dress(self.look.currentData())
