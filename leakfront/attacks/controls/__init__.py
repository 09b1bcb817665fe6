"""Controls of stated membership: can members and decoys be told apart without the model?"""
