"""Demonstrations: an expert's run, played once more before the cameras and written as a LeRobot data set."""
