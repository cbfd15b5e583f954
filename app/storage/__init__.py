"""What the window keeps on disk: settings, recent files, autosave and restore, damaged files."""
