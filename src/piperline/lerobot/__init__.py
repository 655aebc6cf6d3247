"""LeRobot datasets on disk: a reader and a writer for each format."""
