"""`caflow app`: a page to try models on.

`sessions` is all that the page can do, and imports no Gradio. `page` is how it looks, and `serve`
starts it.
"""
