# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
from . import test_administrator
from . import test_ai
from . import test_capture
from . import test_client
from . import test_hooks
from . import test_i18n
from . import test_mirror
from . import test_outbox
from . import test_payload
from . import test_redelivery
from . import test_rights
from . import test_secrets
from . import test_settings
from . import test_subscription
from . import test_sync
from . import test_wake
from . import test_watched
