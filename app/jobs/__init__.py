"""What takes longer than a frame: the job queue, the engine process beside the window, each kind of job."""
