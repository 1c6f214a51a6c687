"""Studies: a matrix of backbones, arms, heads and seeds; each cell trained, probed and evaluated as single commands do it."""
