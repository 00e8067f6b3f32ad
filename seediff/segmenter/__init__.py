"""Mask2Former, trained on image-mask pairs and tested by confusion matrix."""
