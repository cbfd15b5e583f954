"""The window in the language of the system, where a translation lies beside the program."""

from pathlib import Path

from PySide6.QtCore import QCoreApplication, QLibraryInfo, QLocale, QTranslator

FOLDER = Path(__file__).parents[1] / "translations"
"""Files `secateur_de.qm` and the like; how they are made says `packaging/strings.py`."""


def install(application: QCoreApplication, locale: QLocale | None = None, folder: Path = FOLDER) -> list[QTranslator]:
    """Load what there is for a language: our words, and Qt's own for its dialogs; English needs neither."""
    locale = locale or QLocale.system()
    qt = QLibraryInfo.path(QLibraryInfo.LibraryPath.TranslationsPath)
    found: list[QTranslator] = []
    for name, place in (("secateur", str(folder)), ("qtbase", qt)):
        translator = QTranslator(application)
        if (not found and name == "qtbase") or not translator.load(locale, name, "_", place):
            translator.deleteLater()
            continue
        application.installTranslator(translator)
        found.append(translator)
    return found
