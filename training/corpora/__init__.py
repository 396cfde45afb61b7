"""The corpora of the blog post: where they are and how to download them."""
