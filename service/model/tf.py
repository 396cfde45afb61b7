"""The parts of TensorFlow that run a SavedModel. THE ONLY MODULE THAT IMPORTS TENSORFLOW.

In the version that the tests check, they are imported without `tensorflow/__init__.py`, which takes three times as long
and 100 MB more memory. In any other version, and after an error, all of TensorFlow is imported
(docs/decisions/0006-parts-of-tensorflow.md).
"""

import sys

from service.model.bare_package import bare_package

CHECKED_VERSION = "2.21."

try:
    with bare_package("tensorflow"):
        from tensorflow.python import tf2

        tf2.enable()  # `__init__.py` starts with it, because other modules read it when they are imported
        from tensorflow.python.framework.versions import VERSION

        if not VERSION.startswith(CHECKED_VERSION):
            raise ImportError(f"its parts were checked in version {CHECKED_VERSION}*, and this is {VERSION}")
        from tensorflow.core.protobuf.config_pb2 import CallableOptions, ConfigProto
        from tensorflow.python.client.session import Session
        from tensorflow.python.framework.constant_op import constant
        from tensorflow.python.framework.dtypes import as_dtype
        from tensorflow.python.framework.ops import Graph
        from tensorflow.python.framework.tensor_shape import TensorShape
        from tensorflow.python.saved_model.loader_impl import SavedModelLoader
        from tensorflow.python.saved_model.tag_constants import SERVING
except Exception as error:  # noqa: BLE001  # the import of a private module can raise any
    # Lines written to stderr during this import become records of the log (service/server/logs.py).
    sys.stderr.write(f"All of TensorFlow is imported, which takes longer: {error}\n")
    import tensorflow
    from tensorflow.core.protobuf.config_pb2 import CallableOptions
    from tensorflow.python.saved_model.loader_impl import SavedModelLoader

    VERSION, SERVING = tensorflow.__version__, tensorflow.saved_model.SERVING
    Graph, TensorShape = tensorflow.Graph, tensorflow.TensorShape
    as_dtype, constant = tensorflow.as_dtype, tensorflow.constant
    v1 = tensorflow.compat.v1
    ConfigProto, Session = v1.ConfigProto, v1.Session

__all__ = [
    "SERVING",
    "VERSION",
    "CallableOptions",
    "ConfigProto",
    "Graph",
    "SavedModelLoader",
    "Session",
    "TensorShape",
    "as_dtype",
    "constant",
]
