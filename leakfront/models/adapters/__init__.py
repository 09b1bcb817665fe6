"""Low-rank adapters (LoRA) of a network's layers, and their file as diffusers writes it."""
