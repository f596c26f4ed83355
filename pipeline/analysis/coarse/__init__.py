"""The same network on coarse inputs: averaged inputs, the run on them, and the comparison with the fine map.

Public modules: comparison.
Inner modules: fields, figure, inputs, run.
"""
