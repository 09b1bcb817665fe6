"""From scores, coins and rows to numbers with intervals, tests and bounds; one file for each question."""
