"""Nano: a vision-language model small enough to ship, what it is pretrained on, and how."""
