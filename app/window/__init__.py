"""The main window and its bars: tool bar, status bar, start page, docks, command palette, shortcut sheet."""
