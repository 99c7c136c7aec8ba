import {Component} from "@odoo/owl";
import {DropdownItem} from "@web/core/dropdown/dropdown_item";
import {registry} from "@web/core/registry";
import {user} from "@web/core/user";

const MODEL = "mcp.event.subscription";
const REMEMBER_MS = 60_000;

let watched = {until: 0, models: Promise.resolve([])};

/** Names of the watched models; asked at most once a minute. */
function watchedModels(orm) {
    if (Date.now() > watched.until) {
        watched = {
            until: Date.now() + REMEMBER_MS,
            models: orm.silent.call(MODEL, "watched_models", []).catch(() => []),
        };
    }
    return watched.models;
}

/** "Webhook Deliveries" in the menu of a record whose model is watched. */
export class RecordDeliveries extends Component {
    static template = "mcp_webhook.RecordDeliveries";
    static components = {DropdownItem};
    static props = {};

    async open() {
        // Not by useService: the menu closes at the click, and what a closed component
        // waits for never comes.
        const {action, orm} = this.env.services;
        const {root} = this.env.model;
        const deliveries = await orm.call(
            "mcp.webhook.delivery",
            "action_deliveries_of_record",
            [root.resModel, root.resId]
        );
        await action.doAction(deliveries);
    }
}

registry.category("cogMenu").add(
    "mcp-webhook-deliveries",
    {
        Component: RecordDeliveries,
        groupNumber: 20,
        isDisplayed: async (env) => {
            const root = env.model?.root;
            if (env.config.viewType !== "form" || !root?.resId) {
                return false;
            }
            if (!(await user.hasGroup("mcp_webhook.group_manager"))) {
                return false;
            }
            return (await watchedModels(env.services.orm)).includes(root.resModel);
        },
    },
    {sequence: 50}
);
