"""Sources: open a model by name, from a Python file, a library or an export, with its weights."""
