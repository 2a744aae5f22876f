"""What a language model knows of a concept, as a graph of triplets that it wrote and judged itself.

After Yamashita et al. (arXiv 2509.15621); procedure reconstructed, not checked against the paper.

The stages, a file each: `prompts` asks, `parsing` reads, `triplets` merges, `validation` asks the model again,
`sentences` has each triplet explained, `extraction` runs them in turn, `files` keeps and `drawing` shows the result.
"""
