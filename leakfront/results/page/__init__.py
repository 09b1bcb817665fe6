"""The report page: its text, its findings, its layout."""
