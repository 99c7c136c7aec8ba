import {registry} from "@web/core/registry";
import {FormController} from "@web/views/form/form_controller";
import {formView} from "@web/views/form/form_view";
import {ListController} from "@web/views/list/list_controller";
import {listView} from "@web/views/list/list_view";
import {useLive, useSidecarBanner} from "./live";

export class LiveListController extends ListController {
    static template = "mcp_webhook.LiveListView";

    setup() {
        super.setup();
        const {banner, look} = useSidecarBanner();
        this.sidecar = banner;
        useLive(async () => {
            await look();
            // Whoever edits or selects rows keeps what is on the screen.
            if (!this.model.root.editedRecord && !this.model.root.selection.length) {
                await this.model.load();
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
            const ours = !touched || !touched.length || touched.includes(root.resId);
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
