"""Expert and control policies."""
