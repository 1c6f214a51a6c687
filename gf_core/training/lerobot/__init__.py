"""LeRobot data sets, read and written without LeRobot: v3.0 (written and read), v2.1 and v2.0 (read).

A data set's own numbers have names, not meanings. What they mean is said in its ``meta/grinningface.json`` (schema ``demos-1``).
"""

from gf_core.training.lerobot.dataset import RobotDataset

__all__ = ["RobotDataset"]
