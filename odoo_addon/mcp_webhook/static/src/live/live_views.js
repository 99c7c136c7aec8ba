import {registry} from "@web/core/registry";
import {FormController} from "@web/views/form/form_controller";
import {formView} from "@web/views/form/form_view";
import {ListController} from "@web/views/list/list_controller";
import {listView} from "@web/views/list/list_view";
import {useLive, useSidecarBanner} from "./live";

/**
 * Watch a model's loads. It answers only its newest one: a reload of ours must not take
 * the place of what the user has just asked for, nor wait for an answer that never comes.
 *
 * @param {Object} model
 * @returns {Function} answers a promise that ends when no load is under way
 */
function watchLoads(model) {
    const load = model.load.bind(model);
    let newest = 0;
    let done = 0;
    let waiting = [];
    model.load = async (params) => {
        newest += 1;
        const mine = newest;
        try {
            return await load(params);
        } finally {
            if (mine === newest) {
                done = mine;
                waiting.forEach((resolve) => resolve());
                waiting = [];
            }
        }
    };
    return () =>
        done === newest
            ? Promise.resolve()
            : new Promise((resolve) => waiting.push(resolve));
}

export class LiveListController extends ListController {
    static template = "mcp_webhook.LiveListView";

    setup() {
        super.setup();
        const {banner, look} = useSidecarBanner();
        const loaded = watchLoads(this.model);
        this.sidecar = banner;
        useLive(async () => {
            await look();
            await loaded();
            // Whoever edits or selects rows keeps what is on the screen.
            if (!this.model.root.editedRecord && !this.model.root.selection.length) {
                this.model.load().catch(() => {});
                await loaded();
            }
        });
    }
}

export class LiveFormController extends FormController {
    setup() {
        super.setup();
        useLive(async ({subscription_ids: subscriptions, delivery_ids: deliveries}) => {
            const root = this.model.root;
            const touched =
                this.props.resModel === "mcp.webhook.delivery" ? deliveries : subscriptions;
            // An empty list tells that the sidecar came or went.
            const shown = root.resId && (root.data.subscription_id?.id || 0);
            const ours =
                !touched ||
                !touched.length ||
                touched.includes(root.resId) ||
                (this.props.resModel === "mcp.webhook.backfill" && touched.includes(shown));
            if (root.resId && ours && !(await root.isDirty())) {
                await root.load();
            }
        });
    }
}

registry.category("views").add("mcp_webhook_live_list", {
    ...listView,
    Controller: LiveListController,
});
registry.category("views").add("mcp_webhook_live_form", {
    ...formView,
    Controller: LiveFormController,
});
