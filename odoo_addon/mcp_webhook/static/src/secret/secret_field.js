import {Component, useRef, useState} from "@odoo/owl";
import {_t} from "@web/core/l10n/translation";
import {browser} from "@web/core/browser/browser";
import {registry} from "@web/core/registry";
import {useService} from "@web/core/utils/hooks";
import {useInputField} from "@web/views/fields/input_field_hook";
import {standardFieldProps} from "@web/views/fields/standard_field_props";

const SECRET_BYTES = 32;

/**
 * A write-only text: what is stored never comes here. What is typed or generated can
 * be read until it is saved, so that it can be copied to the receiver.
 */
export class SecretField extends Component {
    static template = "mcp_webhook.SecretField";
    static props = {
        ...standardFieldProps,
        isSetField: {type: String, optional: true},
    };

    setup() {
        this.notification = useService("notification");
        this.input = useRef("input");
        this.state = useState({shown: false});
        useInputField({getValue: () => this.value, refName: "input"});
    }

    get value() {
        return this.props.record.data[this.props.name] || "";
    }

    get placeholder() {
        const isSet = this.props.record.data[this.props.isSetField];
        return isSet ? _t("Type another to replace it") : _t("Not signed");
    }

    async generate() {
        const bytes = crypto.getRandomValues(new Uint8Array(SECRET_BYTES));
        const secret = "whsec_" + btoa(String.fromCharCode(...bytes));
        await this.props.record.update({[this.props.name]: secret});
        this.state.shown = true;
    }

    async copy() {
        await browser.navigator.clipboard.writeText(this.value);
        this.notification.add(_t("Copied. After saving it cannot be read any more."), {
            type: "info",
        });
    }
}

registry.category("fields").add("mcp_webhook_secret", {
    component: SecretField,
    displayName: _t("Write-only Secret"),
    supportedTypes: ["char"],
    extractProps: ({options}) => ({isSetField: options.is_set}),
});
