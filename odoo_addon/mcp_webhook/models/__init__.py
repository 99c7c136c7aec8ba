# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
# isort: skip_file
# The subscription model comes before what extends it.
from . import base
from . import sidecar_access
from . import mcp_webhook_export
from . import mcp_webhook_delivery
from . import mcp_webhook_delivery_mirror
from . import mcp_webhook_delivery_build
from . import mcp_webhook_delivery_again
from . import mcp_webhook_delivery_event
from . import mcp_webhook_delivery_records
from . import mcp_webhook_outbox
from . import mcp_webhook_seen
from . import mcp_webhook_binding
from . import mcp_webhook_mirror
from . import mcp_event_subscription
from . import mcp_event_subscription_faults
from . import mcp_event_subscription_check
from . import mcp_event_subscription_success
from . import mcp_event_subscription_rotation
from . import mcp_event_subscription_newer
from . import mcp_event_subscription_capture
from . import mcp_event_subscription_sync
from . import mcp_event_subscription_approval
from . import mcp_event_subscription_room
from . import mcp_event_subscription_ai
from . import mcp_event_subscription_actions
from . import mcp_event_subscription_templates
from . import mcp_event_subscription_preview
from . import mcp_webhook_alerts
from . import mcp_event_subscription_health
from . import mcp_event_subscription_deletion
from . import mcp_webhook_loop
from . import delivery_advice
from . import res_company
from . import res_config_settings
from . import res_users
