"""The verdict on a release: the rules of a gate against the unfavourable ends of a run's intervals."""
