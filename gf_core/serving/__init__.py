"""Policies beyond this process: the wire protocol of vla-eval 0.8, spoken from both ends."""
