"""Transfer techniques: one module each, loaded when a recipe uses it."""
