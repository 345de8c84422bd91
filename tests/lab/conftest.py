# SPDX-License-Identifier: Apache-2.0
"""Tests that are about the lab's host itself, such as how it boots, run beside it: they import what the lab is made of."""
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
