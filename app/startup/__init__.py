"""Starting the program: application object, hook for unexpected errors, translations, loading of panels."""
