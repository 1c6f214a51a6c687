"""The GrinningFace environments, card decks and suites."""

from gf_envs.gymnasium_id import register_when_imported

register_when_imported()
