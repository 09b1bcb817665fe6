"""Clipped sums of per-example gradients from one forward and one backward pass, on top of Opacus.

Book-keeping: Bu et al., "Differentially Private Optimization on Large Model at Small Cost", ICML 2023, arXiv
2210.00038. Nothing here depends on the rest of the project.
"""

from leakfront.defenses.training.book_keeping.book import BookKeeping, UnsupportedError
from leakfront.defenses.training.book_keeping.private_optimizer import PrivateOptimizer

__all__ = ["BookKeeping", "PrivateOptimizer", "UnsupportedError"]
