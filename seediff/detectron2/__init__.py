"""An optional backend: detectron2 trains our segmenters, or those of Mask2Former's authors, on our training sets.

``availability`` says whether it is there; ``dataset_dicts`` gives training sets and benchmarks the form detectron2
expects and needs no detectron2 itself; ``catalog`` registers them; ``engine`` trains; ``official`` is the authors'
model. docs/detectron2.md says how to install and use it.
"""
