import {deserializeDateTime} from "@web/core/l10n/dates";
import {MessagingMenu} from "@mail/core/public_web/messaging_menu";
import {patch} from "@web/core/utils/patch";
import {reactive, useState} from "@odoo/owl";
import {registry} from "@web/core/registry";
import {session} from "@web/session";
import {useService} from "@web/core/utils/hooks";

const MODEL = "mcp.event.subscription";

/** The endpoints in trouble, for whoever manages webhooks; nobody else asks for them. */
const failingEndpoints = {
    dependencies: ["orm", "bus_service"],
    start(env, {orm, bus_service: bus}) {
        const state = reactive({list: []});
        const load = async () => {
            const found = await orm.silent.call(MODEL, "failing_endpoints", []).catch(() => []);
            state.list = found.map((one) => ({
                ...one,
                since: one.since ? deserializeDateTime(one.since) : undefined,
            }));
        };
        if (session.mcp_webhook_manager) {
            load();
            bus.subscribe("mcp_webhook/health", load);
            bus.start();
        }
        return {state, load: session.mcp_webhook_manager ? load : () => {}};
    },
};

registry.category("services").add("mcp_webhook.failing_endpoints", failingEndpoints);

/** Where Odoo shows failed mail and SMS. */
patch(MessagingMenu.prototype, {
    setup() {
        super.setup();
        this.failingService = useService("mcp_webhook.failing_endpoints");
        this.failing = useState(this.failingService.state);
    },
    beforeOpen() {
        this.failingService.load();
        return super.beforeOpen();
    },
    get failingEndpoints() {
        const {activeTab, searchTerm} = this.store.discuss;
        return activeTab === "notification" && !searchTerm ? this.failing.list : [];
    },
    get hasPreviews() {
        return super.hasPreviews || this.failingEndpoints.length > 0;
    },
    get counter() {
        return super.counter + this.failing.list.length;
    },
    openFailingEndpoint(endpoint) {
        this.dropdown.close();
        this.action.doAction({
            type: "ir.actions.act_window",
            res_model: MODEL,
            res_id: endpoint.id,
            views: [[false, "form"]],
        });
    },
});
