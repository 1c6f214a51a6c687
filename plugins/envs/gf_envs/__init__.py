"""The GrinningFace environments, card decks and suites."""
