# Copyright 2026 mcp-webhookd contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""Ready-made payload templates: `{key: (dialect, JSON value)}`."""

import json

SUMMARY = "{{ model }} {{ event_type }}: {{ record.display_name }}"

TEMPLATES = {
    "slack": (
        "slack",
        {
            "text": SUMMARY,
            "blocks": [
                {
                    "type": "section",
                    "text": {
                        "type": "mrkdwn",
                        "text": "*{{ record.display_name }}*\n{{ model }} {{ event_type }}",
                    },
                },
                {
                    "type": "context",
                    "elements": [{"type": "mrkdwn", "text": "{{ timestamp }}"}],
                },
            ],
        },
    ),
    "teams": (
        "teams",
        {
            "type": "message",
            "attachments": [
                {
                    "contentType": "application/vnd.microsoft.card.adaptive",
                    "content": {
                        "type": "AdaptiveCard",
                        "version": "1.4",
                        "body": [
                            {
                                "type": "TextBlock",
                                "weight": "Bolder",
                                "text": "{{ record.display_name }}",
                                "wrap": True,
                            },
                            {
                                "type": "TextBlock",
                                "text": "{{ model }} {{ event_type }}",
                                "wrap": True,
                            },
                        ],
                    },
                }
            ],
        },
    ),
    "discord": ("discord", {"content": SUMMARY, "allowed_mentions": {"parse": []}}),
    "google_chat": ("google_chat", {"text": SUMMARY}),
    "generic": (
        "plain",
        {
            "id": "{{ event_id }}",
            "event": "{{ model }}.{{ event_type }}",
            "time": "{{ timestamp }}",
            "ids": "{{ record_ids | json }}",
            "records": "{{ records | json }}",
        },
    ),
    "automation": (
        "plain",
        {
            "event_id": "{{ event_id }}",
            "model": "{{ model }}",
            "event_type": "{{ event_type }}",
            "timestamp": "{{ timestamp }}",
            "record_ids": "{{ record_ids | json }}",
            "record": "{{ record | json }}",
        },
    ),
}


def template_text(key):
    """The template as it stands in the editor."""
    return json.dumps(TEMPLATES[key][1], indent=2, ensure_ascii=False)
