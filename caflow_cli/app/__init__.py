"""`caflow app`: a web page for trying models.

`sessions` implements everything that the page can do, without Gradio. `page` is the interface, and
`serve` starts it.
"""
