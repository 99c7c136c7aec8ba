"""Which of Odoo's tests run."""

import zlib

from odoo.tests import loader
from odoo.tests.suite import OdooSuite

# Not on a loaded database, or not without what a test machine of Odoo's has.
LEFT_OUT = {
    "odoo.addons.base.tests.test_test_suite": "tests the test runner that is patched here",
    "odoo.addons.base.tests.test_cli": "starts other Odoo processes",
    "odoo.addons.base.tests.test_init": "imports every module of Odoo, and writes nothing",
}


def chosen(modules, share, classes):
    """A suite of the modules' tests, at_install and post_install together, on the loaded registry.

    :param share: one class of so many
    :param classes: names of classes, or nothing for all
    """
    tests = []
    for module in modules:
        for position in ("at_install", "post_install"):
            tests += list(loader.make_suite([module], position))
    return OdooSuite(test for test in tests if _is_chosen(type(test), share, classes))


def _is_chosen(test_class, share, classes):
    if test_class.__module__ in LEFT_OUT:
        return False
    if classes:
        return test_class.__name__ in classes
    name = f"{test_class.__module__}.{test_class.__name__}"
    return zlib.crc32(name.encode()) % share == 0
