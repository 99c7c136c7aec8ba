import {graphView} from "@web/views/graph/graph_view";
import {GraphRenderer} from "@web/views/graph/graph_renderer";
import {registry} from "@web/core/registry";

const COLORS = {success: "#28a745", pending: "#ffac00", failed: "#dc3545"};

/** The status that all points of a series share, or undefined when it is grouped otherwise. */
function statusOf(dataset) {
    const domain = dataset.domains.find((points) => points.length) || [];
    const leaf = domain.find((part) => Array.isArray(part) && part[0] === "status");
    return leaf && leaf[2];
}

/** Bars in the colours of the badges: a red success would be misread. */
export class StatusGraphRenderer extends GraphRenderer {
    getBarChartData() {
        const data = super.getBarChartData();
        for (const dataset of this.model.data.datasets) {
            dataset.backgroundColor = COLORS[statusOf(dataset)] || dataset.backgroundColor;
        }
        return data;
    }
}

registry.category("views").add("mcp_webhook_status_graph", {
    ...graphView,
    Renderer: StatusGraphRenderer,
});
