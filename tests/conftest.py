"""Programs that tests start import the package under test, whatever folder they start in."""
import os
from pathlib import Path

import tensorgrad

os.environ["PYTHONSAFEPATH"] = "1"
os.environ["PYTHONPATH"] = str(Path(tensorgrad.__file__).parent.parent)
