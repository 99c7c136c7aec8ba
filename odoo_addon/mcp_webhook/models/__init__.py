# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
# isort: skip_file
# The subscription model comes before what extends it.
from . import base
from . import sidecar_access
from . import mcp_webhook_delivery
from . import mcp_webhook_delivery_mirror
from . import mcp_webhook_outbox
from . import mcp_webhook_mirror
from . import mcp_event_subscription
from . import mcp_event_subscription_check
from . import mcp_event_subscription_capture
from . import mcp_event_subscription_sync
from . import mcp_event_subscription_ai
from . import mcp_event_subscription_actions
from . import mcp_event_subscription_templates
from . import mcp_event_subscription_preview
from . import mcp_webhook_alerts
from . import delivery_advice
from . import res_config_settings
from . import res_users
