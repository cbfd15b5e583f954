"""Starting the program: the application and its first window, and the hook for unexpected errors."""
