import lit.formats
from lit.TestingConfig import TestingConfig

config: TestingConfig = globals()["config"]  # lit's own, given to this file
config.name = "webdnn"
config.test_format = lit.formats.ShTest(execute_external=False)
config.suffixes = {".mlir"}
