# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
{
    "name": "MCP Webhook",
    "summary": "Durable, signed webhooks for any model, delivered by a sidecar",
    "version": "19.0.1.0.0",
    "author": "mcp-webhookd contributors",
    "license": "LGPL-3",
    "category": "Productivity",
    "depends": ["mail", "rpc", "base_setup"],
    "excludes": ["mcp_server_ts"],
    "external_dependencies": {"python": ["requests"]},
    "data": [
        "data/ir_cron.xml",
    ],
    "application": True,
}
