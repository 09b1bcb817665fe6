"""The stages of a run, one file each: pool, prepare, train, sample, probe, attack, reference, measure."""
