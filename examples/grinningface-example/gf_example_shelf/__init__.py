"""Coloured balls on a shelf: an example plugin for GrinningFace."""
