"""The parts of TensorFlow that run a SavedModel. THE ONLY MODULE THAT IMPORTS TENSORFLOW.

They are imported without `tensorflow/__init__.py`, which imports four times as many modules, Keras and JAX among them
if they are installed: that takes three times as long and 100 MB more memory (docs/experiments.md). Their places in the
package are not public, so a new version of TensorFlow may need changes here; tests/service/model/test_tf.py shows it.
"""

from service.model.bare_package import bare_package

with bare_package("tensorflow"):
    from tensorflow.core.protobuf.config_pb2 import CallableOptions, ConfigProto
    from tensorflow.python.client.session import Session
    from tensorflow.python.framework.dtypes import as_dtype
    from tensorflow.python.framework.ops import Graph
    from tensorflow.python.framework.tensor_shape import TensorShape
    from tensorflow.python.framework.versions import VERSION
    from tensorflow.python.saved_model.loader_impl import load
    from tensorflow.python.saved_model.tag_constants import SERVING

__all__ = [
    "SERVING",
    "VERSION",
    "CallableOptions",
    "ConfigProto",
    "Graph",
    "Session",
    "TensorShape",
    "as_dtype",
    "load",
]
