# Copyright 2026 mcp-webhookd contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
{
    "name": "MCP Webhook",
    "summary": "Durable, signed webhooks for any model, delivered by a sidecar",
    "version": "19.0.1.0.1",
    "author": "mcp-webhookd contributors",
    "license": "LGPL-3",
    "development_status": "Beta",
    "category": "Productivity",
    "depends": ["mail", "rpc", "base_setup"],
    "excludes": ["mcp_server_ts"],
    "external_dependencies": {"python": ["urllib3"]},
    "data": [
        "security/mcp_webhook_groups.xml",
        "security/ir.model.access.csv",
        "security/mcp_webhook_rules.xml",
        "data/ir_cron.xml",
        "data/ir_exports.xml",
        "data/mail_activity_type.xml",
        "views/mcp_webhook_delivery_views.xml",
        "views/mcp_webhook_backfill_views.xml",
        "views/ir_actions_server_views.xml",
        "views/mcp_event_subscription_views.xml",
        "wizards/mcp_webhook_dialog_views.xml",
        "views/res_config_settings_views.xml",
        "views/mcp_webhook_menus.xml",
    ],
    "demo": ["demo/mcp_webhook_demo.xml"],
    "assets": {
        "web.assets_backend": [
            "mcp_webhook/static/src/**/*",
            ("remove", "mcp_webhook/static/src/graph/**/*"),
        ],
        "web.assets_backend_lazy": ["mcp_webhook/static/src/graph/**/*"],
    },
    "uninstall_hook": "uninstall_hook",
    "application": True,
}
