# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
from . import test_capture
from . import test_client
from . import test_mirror
from . import test_outbox
from . import test_payload
from . import test_redelivery
from . import test_wake
from . import test_watched
from . import test_hooks, test_rights
