"""What text-to-image models share: the tokenizer, and the text encoder and UNet as one network."""
