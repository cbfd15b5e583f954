"""What takes longer than a frame: the job queue, the link to the engine process, each kind of job."""
