import {onMounted, onWillStart, onWillUnmount, useState} from "@odoo/owl";
import {browser} from "@web/core/browser/browser";
import {useService} from "@web/core/utils/hooks";

const MESSAGE = "mcp_webhook/delivery";
const POLL_MS = 2000;

/**
 * Keep an open screen up to date: by the bus, and, where the websocket cannot be
 * reached (workers without a proxy), by looking every two seconds while visible.
 *
 * @param {Function} reload called with the message's payload, or {} when polling
 */
export function useLive(reload) {
    const bus = useService("bus_service");
    let timer = null;
    let running = null;
    let again = false;

    // One reload at a time; news that come meanwhile make one more.
    const refresh = (payload) => {
        if (running) {
            again = true;
            return;
        }
        running = Promise.resolve(reload(payload))
            .catch(() => {})
            .finally(() => {
                running = null;
                if (again) {
                    again = false;
                    refresh({});
                }
            });
    };
    const poll = () => {
        const connected = bus.workerState === "CONNECTED";
        if (!connected && document.visibilityState === "visible") {
            refresh({});
        }
    };
    onMounted(() => {
        bus.subscribe(MESSAGE, refresh);
        bus.start();
        timer = browser.setInterval(poll, POLL_MS);
    });
    onWillUnmount(() => {
        bus.unsubscribe(MESSAGE, refresh);
        browser.clearInterval(timer);
    });
}

/** The sentence about a sidecar that does not serve us, or false. */
export function useSidecarBanner() {
    const orm = useService("orm");
    const banner = useState({text: false});
    const look = async () => {
        banner.text = await orm.silent.call("mcp.event.subscription", "sidecar_trouble", []);
    };
    onWillStart(look);
    return {banner, look};
}
