"""Dialogs, one a file: `ask(window)` opens one without stopping the window; accepted, it calls the document."""
