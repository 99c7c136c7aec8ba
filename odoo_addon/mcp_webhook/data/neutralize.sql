-- A copy of the database must reach nobody's endpoint, and keep nobody's secrets.
UPDATE mcp_event_subscription
   SET active = FALSE,
       webhook_url = NULL,
       secret_value = NULL,
       headers_value = NULL;

DELETE FROM mcp_webhook_outbox;

-- Whatever sidecar it is given later: an administrator must say first that it is production.
UPDATE mcp_webhook_binding SET confirmed = FALSE;

DELETE FROM ir_config_parameter
 WHERE key IN ('mcp_webhook.sidecar_token', 'mcp_webhook.sidecar_url', 'mcp_webhook.wake_url');
