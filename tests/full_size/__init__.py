"""The published architectures at full size, with random weights: minutes and gigabytes.

pytest --full-size tests/full_size -s
"""
