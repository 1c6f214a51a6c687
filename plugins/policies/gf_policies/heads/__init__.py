"""Action heads: continuous (``regression``, ``flow``) and in tokens (``bins``, ``fast``, ``latent``, ``text``)."""
