"""JSON schemas (draft 2020-12) of every document that GrinningFace reads or writes, one file per kind and major version."""
