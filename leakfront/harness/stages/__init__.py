"""The stages of a run, one file each: pool, prepare, train, sample, features, probe, attack, reference, measure."""
