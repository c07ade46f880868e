"""The benchmark: systems under measurement, what is measured of them, and the report. Entry: benchmarks/run.py."""
