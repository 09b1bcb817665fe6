"""What is measured and shown: utility metrics, statistics, the table, figures, report."""
