"""A Hugging Face Space of the page of `caflow app`."""

import threading

from caflow_cli.app.serve import serving

# Models of the Hub are named here: serving(["user/my-faces"], ...). The bundled ones are offered.
# The Space says where to serve, by GRADIO_SERVER_NAME and GRADIO_SERVER_PORT.
with serving(host=None):
    threading.Event().wait()
