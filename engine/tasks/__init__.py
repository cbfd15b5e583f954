"""Tasks: data, loss and metric, from arrays, image folders and the user's own `task.py`; `open.open_task` opens one."""
