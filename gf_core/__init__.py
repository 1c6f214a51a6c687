"""The registry and the runner. Importing this loads no torch, transformers, peft or mujoco."""

__version__ = "0.1.0"
