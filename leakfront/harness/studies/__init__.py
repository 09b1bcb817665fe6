"""Studies: their configs with arms, their runs one after another, and the report over them."""
