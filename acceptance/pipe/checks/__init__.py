"""Checks on applied scenarios of the module, one file per concern.

Every public function of these files is a check: it takes a `World` and raises if something is wrong. Its name is its
label.
"""
