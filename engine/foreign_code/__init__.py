"""The one gate for code and files of others: consent, import of Python files, search path, network."""
