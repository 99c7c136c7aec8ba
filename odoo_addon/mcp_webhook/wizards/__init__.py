# Copyright 2026 mcp-webhookd contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
from . import mcp_webhook_dialog  # isort: skip  # what the others extend
from . import mcp_webhook_again
from . import mcp_webhook_explain
from . import mcp_webhook_preview
from . import mcp_webhook_redelivery
from . import mcp_webhook_rejection
from . import mcp_webhook_rotation
from . import mcp_webhook_secret
from . import mcp_webhook_send
from . import mcp_webhook_waiting
