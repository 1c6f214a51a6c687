"""How much of a VLM's knowledge survived its training: the checkpoint's backbone beside the one it began from (`gf probe`).

Behaviour comes first (:mod:`.answers`: what it answers, and how far its predictions moved), then drift (:mod:`.weights`,
:mod:`.representations`), then what a linear reader still finds (:mod:`.linear`). Drift is not damage.
"""
