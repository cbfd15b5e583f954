"""Dialogs, one a file: each has `ask(window)`, opens without stopping the window, and calls the document when accepted."""
