"""Optional: detectron2's engine trains our segmenters, or those of Mask2Former's authors, on our training sets.

``availability`` says whether it is there; ``dataset_dicts`` gives training sets and benchmarks the form detectron2
expects and needs no detectron2 itself; ``engine`` runs the steps of a training; ``official`` is the authors'
architecture. docs/detectron2.md says how to install and use it.
"""
