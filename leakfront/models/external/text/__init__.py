"""Reading external text-to-image models: pipeline folders of several networks, their tokenizers and their adapters."""
