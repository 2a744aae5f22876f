"""Data sets of which only names are given: concepts to be forgotten.

After Yamashita et al. (arXiv 2509.15621); procedure reconstructed, not checked against the paper.
"""
