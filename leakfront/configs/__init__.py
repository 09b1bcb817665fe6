"""The bundled benchmarks, one TOML file each."""
